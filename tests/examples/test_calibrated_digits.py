"""The parts of the digits example are what they say, and it runs."""

import calibrated_digits
import keras
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

import keras_seqtools as kst


def test_split_has_every_image_once():
    x, y = load_digits(return_X_y=True)
    parts = calibrated_digits.split(3)
    assert [len(part.y) for part in parts] == [449, 449, 899]
    together = [
        np.concatenate([part.x.reshape(-1, 64) * 16.0 for part in parts]),
        np.concatenate([part.y for part in parts])[:, None],
    ]
    # As sorted rows, labels last: neither lost, doubled nor mixed up.
    found = sorted(map(tuple, np.hstack(together)))
    assert found == sorted(map(tuple, np.column_stack([x, y])))
    for part in parts:
        share = np.bincount(part.y, minlength=10) / len(part.y)
        np.testing.assert_allclose(share, np.bincount(y) / len(y), atol=2e-3)


def test_split_is_the_seeds():
    first, again, other = (calibrated_digits.split(k)[2] for k in (0, 0, 1))
    np.testing.assert_array_equal(first.x, again.x)
    assert np.any(first.y != other.y)


@pytest.mark.parametrize("digit", [0, 4, 9])
def test_without_a_digit(digit):
    rows = calibrated_digits.split(0)[0]
    known = rows.without(digit)
    kept = rows.y != digit
    np.testing.assert_array_equal(known.x, rows.x[kept])
    names = [k for k in range(10) if k != digit]
    assert [names[k] for k in known.y] == rows.y[kept].tolist()


def test_gain_is_the_paired_t_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1.0, 10), rng.normal(size=10)
    found = calibrated_digits.gain(a - b)
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert (found.low, found.high) == pytest.approx(tuple(interval))
    assert (found.won, found.trials) == (sum(map(float.__gt__, a, b)), 10)
    assert str(found).endswith(f"{found.won}/10")


def test_quality_by_hand():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(10, 0.2), 200)
    y = rng.integers(10, size=200)
    top, hit = p.max(-1), p.argmax(-1) == y
    gaps = []
    for k in range(15):
        inside = (k / 15 <= top) & (top < (k + 1) / 15)
        gaps.append(abs(np.sum(top[inside]) - np.sum(hit[inside])))
    expected = {
        "accuracy": np.mean(hit),
        "NLL": -np.mean(np.log([row[k] for row, k in zip(p, y, strict=True)])),
        "Brier": np.mean(np.sum((p - np.eye(10)[y]) ** 2, axis=-1)),
        "ECE": np.sum(gaps) / 200,
    }
    assert tuple(expected) == calibrated_digits.COLUMNS[:4]
    found = calibrated_digits.quality(y, p)
    np.testing.assert_allclose(found[:4], list(expected.values()), rtol=1e-9)


def test_chance_ece_in_one_bin_is_the_mean_deviation_of_a_binomial():
    p = np.tile([0.83, 0.17], (400, 1))
    hits = np.arange(401)
    deviation = np.abs(hits / 400 - 0.83) @ stats.binom.pmf(hits, 400, 0.83)
    # Over 100 draws: within three of their standard errors.
    width = 3 * np.sqrt((0.83 * 0.17 / 400 - deviation**2) / 100)
    assert abs(calibrated_digits.chance_ece(p) - deviation) < width
    assert calibrated_digits.chance_ece(np.eye(3)) == 0.0


def test_networks_without_dropout_are_the_deterministic_ones():
    x = np.random.default_rng(0).random((7, 8, 8, 1))
    keras.utils.set_random_seed(0)
    models = [calibrated_digits.make_model(9) for _ in range(2)]
    rows = calibrated_digits.Rows(x, np.zeros(7))
    plain = [calibrated_digits.without_dropout(model) for model in models]
    u = calibrated_digits.ask(plain, rows, 50)
    each = [kst.predict_deterministic(model, x, verbose=0) for model in models]
    assert u.num_samples == 2
    np.testing.assert_allclose(u.probabilities, np.mean(each, 0), atol=1e-6)
    np.testing.assert_allclose(
        u.mutual_information,
        kst.uncertainty.mutual_information(np.stack(each)),
        atol=1e-6,
    )


@pytest.mark.slow
def test_runs(tmp_path, capsys):
    path = tmp_path / "digits.png"
    calibrated_digits.main(["--quick", "--picture", str(path)])
    assert path.stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "nan" not in printed
    tables = {
        block.splitlines()[0]: block.splitlines()[2:]
        for block in printed.split("\n\n")
        if block.startswith("|")
    }
    heads = [
        [cell.strip() for cell in head.strip("|").split("|")] for head in tables
    ]
    assert ["", *calibrated_digits.COLUMNS] in heads
    assert ["", *calibrated_digits.ASKED] in heads
    for head, rows in tables.items():
        assert rows
        assert {row.count("|") for row in rows} == {head.count("|")}
    assert printed.count("\nDropout ") == 2
