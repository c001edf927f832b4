"""The speakers are read as published, and no model sees the padding."""

import keras
import numpy as np
import pytest
import sequence_models
from sequence_models import DESIGNS
from sequence_models import PADDING


@pytest.fixture(scope="module")
def parts():
    return sequence_models.split(3)


def unpadded(x):
    """Each series at its own length."""
    return [series[np.any(series != PADDING, axis=-1)] for series in x]


def of_all_lengths(part):
    """Ten series, the shortest first."""
    return sorted(unpadded(part.x), key=len)[:: len(part.x) // 10]


def test_data_are_the_published_ones():
    # https://archive.ics.uci.edu/dataset/128/japanese+vowels
    for part, longest, counts in (
        ("train", 26, [30] * 9),
        ("test", 29, [31, 35, 88, 44, 29, 24, 40, 50, 29]),
    ):
        series, y = sequence_models.read_part(part)
        lengths = [len(steps) for steps in series]
        assert (min(lengths), max(lengths)) == (7, longest)
        assert {steps.shape[1] for steps in series} == {12}
        assert np.bincount(y).tolist() == counts


def test_split_keeps_speakers_alike_and_tests_apart(parts):
    train, validation, test = parts
    assert np.bincount(train.y).tolist() == [24] * 9
    assert np.bincount(validation.y).tolist() == [6] * 9
    other = sequence_models.split(4)
    np.testing.assert_array_equal(test.y, other[2].y)
    assert np.any(train.y != other[0].y)


def test_training_series_set_the_scale(parts):
    train, validation, test = map(unpadded, (part.x for part in parts))
    steps = np.concatenate(train)
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(steps.std(axis=0), 1, atol=1e-5)
    # One line for each feature leads from the raw test steps to the scaled,
    # and the same from the raw training series to both other parts.
    raw, _ = sequence_models.read_part("test")
    raw_train, _ = sequence_models.read_part("train")
    x, y = np.concatenate(raw), np.concatenate(test)
    known = np.concatenate(raw_train)
    both = np.concatenate([*train, *validation])
    for k in range(12):
        slope, intercept = np.polyfit(x[:, k], y[:, k], 1)
        np.testing.assert_allclose(
            y[:, k], slope * x[:, k] + intercept, atol=1e-4
        )
        scaled = np.sort(slope * known[:, k] + intercept)
        np.testing.assert_allclose(np.sort(both[:, k]), scaled, atol=1e-4)


def test_padding_is_left_and_masked(parts):
    x = parts[2].x
    raw, _ = sequence_models.read_part("test")
    lengths = np.array([len(steps) for steps in raw])
    mask = keras.layers.Masking(PADDING).compute_mask(x)
    expected = np.arange(29) >= 29 - lengths[:, None]
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("name", DESIGNS)
def test_padding_changes_nothing(name, parts):
    series = of_all_lengths(parts[2])
    assert len(series[0]) == 7
    model = sequence_models.make_model(DESIGNS[name])
    together = model(sequence_models.pad(series))
    for steps, p in zip(series[::3], together[::3], strict=True):
        np.testing.assert_allclose(model(steps[None])[0], p, atol=1e-6)


@pytest.mark.parametrize("name", ["GRU 64, mean", "CausalConvStack 64, last"])
def test_padding_would_be_seen_without_its_mask(name, parts, monkeypatch):
    series = of_all_lengths(parts[2])
    monkeypatch.setattr(sequence_models, "PADDING", 1.0)
    model = sequence_models.make_model(DESIGNS[name])
    monkeypatch.undo()
    together = model(sequence_models.pad(series))
    alone = model(series[0][None])
    assert np.max(np.abs(together[0] - alone[0])) > 0.05


@pytest.mark.parametrize(
    ("name", "weights"),
    {
        "no layer, mean": 0,
        "CausalConvStack 64, mean": (3 * 12 + 1 + 2 * (3 * 64 + 1)) * 64,
        "SimpleRNN 64, last": 64 * (12 + 64 + 1),
        "LSTM 64, last": 4 * 64 * (12 + 64 + 1),
        # Two biases, since the reset gate comes after the product.
        "GRU 64, last": 3 * 64 * (12 + 64 + 2),
        # One bias, and a gain and a shift of each of two sums.
        "LayerNormGRU 64, last": 3 * 64 * (12 + 64 + 1 + 4),
        "GRU 32 both ways, last": 2 * 3 * 32 * (12 + 32 + 2),
    }.items(),
)
def test_parameters(name, weights):
    design = DESIGNS[name]
    outputs = 64 if design.units else 12
    model = sequence_models.make_model(design)
    assert model.count_params() == weights + 9 * (outputs + 1)


def test_penalty_is_of_both_kernels():
    model = sequence_models.make_model(DESIGNS["GRU 64, last, L2"])
    kernels = model.layers[1].get_weights()[:2]
    assert [kernel.shape for kernel in kernels] == [(12, 192), (64, 192)]
    penalty = 1e-3 * sum(np.sum(np.square(kernel)) for kernel in kernels)
    assert sum(map(float, model.losses)) == pytest.approx(penalty, rel=1e-5)


def test_dropout_is_of_inputs_states_and_output():
    model = sequence_models.make_model(DESIGNS["GRU 64, last, dropout"])
    _, layer, output, _ = model.layers
    assert (layer.dropout, layer.recurrent_dropout) == (0.3, 0.3)
    assert output.rate == 0.3


def test_fit_stops_and_keeps_the_best_epoch(parts):
    train, _, _ = parts
    rows = sequence_models.Rows(train.x[:32], train.y[:32])
    # Wrong labels: what is learned makes the validation worse and worse.
    wrong = sequence_models.Rows(rows.x, (rows.y + 1) % 9)
    design = DESIGNS["no layer, mean"]
    model, seconds = sequence_models.fit_model(design, rows, wrong, 0, 60)
    best = len(seconds) + 1 - 15
    assert 1 <= best < 45
    assert min(seconds) > 0
    same, _ = sequence_models.fit_model(design, rows, wrong, 0, best)
    for found, expected in zip(model.weights, same.weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_runs(capsys):
    names = ["no layer, mean", "GRU 64, last", "GRU 64, last, dropout"]
    sequence_models.main(["--quick", "--threads=0", "--models", *names])
    head, _, *rows = capsys.readouterr().out.strip().splitlines()[2:]
    cells = [[cell.strip() for cell in row.split("|")] for row in rows]
    assert {len(row) for row in cells} == {head.count("|") + 1}
    assert [row[1] for row in cells] == [*names, "its mean of 100 passes"]
    assert "nan" not in " ".join(rows)
    assert [row[2] for row in cells] == ["117", *["15,561"] * 3]
