"""The problems are the ones described, and gradients obey the closed form."""

import keras
import numpy as np
import pytest
import recurrent_layers

ONE_OF_EACH = ["--layers", "GRU", "LayerNormLSTM", "--seeds", "0"]


def test_adding_problem():
    x, y = recurrent_layers.adding_data(np.random.default_rng(0), 5000, 20)
    values, marks = x[..., 0], x[..., 1]
    assert np.all(np.sum(marks[:, :10], axis=1) == 1)
    assert np.all(np.sum(marks[:, 10:], axis=1) == 1)
    # Every step is marked as often as any other of its half.
    assert np.all(np.abs(np.mean(marks, axis=0) - 0.1) < 0.02)
    marked = values[marks == 1].reshape(-1, 2)
    np.testing.assert_allclose(np.sum(marked, axis=1), y[:, 0], rtol=1e-6)
    assert np.mean(np.square(y - 1)) == pytest.approx(1 / 6, rel=0.05)


def test_solved_at_counts_batches():
    assert recurrent_layers.solved_at([0.2, 0.02, 0.009, 0.02]) == "300"
    assert recurrent_layers.solved_at([0.2, np.nan, 0.01]) == "never"


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_gradient_of_a_linear_rnn_is_a_power_of_its_gain(gain):
    layer = keras.layers.SimpleRNN(
        8,
        activation="linear",
        recurrent_initializer=keras.initializers.Orthogonal(gain),
        return_state=True,
    )
    series = np.random.default_rng(0).normal(size=(3, 30, 2)).astype("float32")
    norms = recurrent_layers.gradient_by_lag(layer, series, 20)
    np.testing.assert_allclose(norms, gain ** np.arange(21), rtol=1e-4)


def test_gradient_of_any_linear_rnn_is_a_matrix_power():
    kernel = np.random.default_rng(1).normal(size=(4, 4)) / 2
    layer = keras.layers.SimpleRNN(
        4,
        activation="linear",
        recurrent_initializer=keras.initializers.Constant(kernel),
        return_state=True,
    )
    direction = np.random.default_rng(0).normal(size=(1, 4))
    direction /= np.linalg.norm(direction)
    norms = recurrent_layers.gradient_by_lag(layer, np.ones((1, 9, 2)), 8)
    for lag, norm in enumerate(norms):
        back = direction @ np.linalg.matrix_power(kernel, lag).T
        assert norm == pytest.approx(np.linalg.norm(back), rel=1e-4)


@pytest.mark.parametrize("name", recurrent_layers.LAYERS)
def test_gradient_depends_on_the_gain_but_for_a_norm(name):
    series, _ = recurrent_layers.adding_data(np.random.default_rng(0), 4, 20)
    norms = []
    for gain in (0.5, 2.0):
        keras.utils.set_random_seed(0)
        layer = recurrent_layers.make_layer(
            name,
            16,
            recurrent_initializer=keras.initializers.Orthogonal(gain),
            return_state=True,
        )
        norms.append(recurrent_layers.gradient_by_lag(layer, series, 10)[10])
    assert (norms[1] < 1.1 * norms[0]) == name.startswith("LayerNorm")


@pytest.mark.slow
@pytest.mark.parametrize("question", ["adding", "glucose", "gradients"])
def test_runs(question, capsys):
    recurrent_layers.main([question, "--quick", *ONE_OF_EACH])
    printed = capsys.readouterr().out
    assert "LayerNormLSTM" in printed
    # Nothing but SGD that is not clipped may diverge.
    rows = [line for line in printed.splitlines() if "nan" in line]
    assert all(row.startswith("| SGD  ") for row in rows)
    assert len(rows) == (question == "gradients")
