"""LayerNormGRU.from_gru starts from the weights and arguments of a GRU."""

import keras
import numpy as np
import pytest

from keras_seqtools.layers import LayerNormGRU


def trained_gru(**kwargs):
    keras.utils.set_random_seed(0)
    gru = keras.layers.GRU(4, bias_initializer="random_normal", **kwargs)
    gru.build((2, None, 3))
    return gru


def test_takes_over_weights_and_leaves_the_gru_alone():
    gru = trained_gru()
    before = gru.get_weights()
    layer = LayerNormGRU.from_gru(gru)
    kernel, recurrent_kernel, bias, gamma, beta = layer.get_weights()
    np.testing.assert_array_equal(kernel, before[0])
    np.testing.assert_array_equal(recurrent_kernel, before[1])
    np.testing.assert_array_equal(bias, before[2][0])
    np.testing.assert_array_equal(beta, [np.zeros(12), before[2][1]])
    np.testing.assert_array_equal(gamma, np.ones((2, 12)))
    layer.cell.kernel.assign(0 * layer.cell.kernel)
    for now, then in zip(gru.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_without_normalisation_it_is_the_gru(monkeypatch):
    """So each weight went to the place that has its part in the equations."""
    gru = trained_gru(return_sequences=True)
    layer = LayerNormGRU.from_gru(gru, unroll=True)
    monkeypatch.setattr(
        layer.cell,
        "_normalize",
        lambda summed, gamma, beta: gamma * summed + beta,
    )
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    np.testing.assert_allclose(layer(x), gru(x), rtol=0, atol=1e-6)


def test_takes_over_arguments_unless_told_otherwise():
    shared = {
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid",
        "kernel_regularizer": "l2",
        "bias_constraint": "non_neg",
        "dropout": 0.1,
        "recurrent_dropout": 0.2,
        "seed": 3,
        "return_sequences": True,
        "return_state": True,
        "go_backwards": True,
        "stateful": True,
        "unroll": True,
        "zero_output_for_mask": True,
        "dtype": "mixed_float16",
        "trainable": False,
    }
    gru = trained_gru(**shared)
    layer = LayerNormGRU.from_gru(gru, dropout=0.4, epsilon=1e-3)
    found, expected = layer.get_config(), gru.get_config()
    for name in set(shared) - {"dropout"}:
        assert found[name] == expected[name], name
    assert (found["dropout"], found["epsilon"]) == (0.4, 1e-3)
    assert layer.name != gru.name


def test_a_gru_without_bias_leaves_biases_at_zero():
    layer = LayerNormGRU.from_gru(trained_gru(use_bias=False))
    _, _, bias, _, beta = layer.get_weights()
    assert not bias.any()
    assert not beta.any()


@pytest.mark.parametrize("argument", [{"units": 8}, {"stateful": True}])
def test_refuses_arguments_that_do_not_fit_the_gru(argument):
    with pytest.raises(ValueError, match=f"`{next(iter(argument))}`"):
        LayerNormGRU.from_gru(trained_gru(), **argument)


@pytest.mark.parametrize(
    ("gru", "message"),
    [
        (keras.layers.GRU(4), "that has weights"),
        (keras.layers.LSTM(4), "a `keras.layers.GRU`"),
        (trained_gru(reset_after=False), "reset_after=True"),
    ],
    ids=["not built", "not a GRU", "another equation"],
)
def test_refuses(gru, message):
    with pytest.raises(ValueError, match=message):
        LayerNormGRU.from_gru(gru)
