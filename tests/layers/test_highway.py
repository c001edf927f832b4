"""Highway against its formula in NumPy, and what its gate is for."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from keras_seqtools.layers import Highway

X = checks.rng().normal(size=(5, 3))


def make_layer(gate_bias=None, **kwargs):
    """In float64, with random weights and, if given, one bias of the gate."""
    layer = Highway(dtype="float64", **kwargs)
    layer.build((None, 3))
    rng = checks.rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    if gate_bias is not None:
        layer.gate.bias.assign(np.full(3, gate_bias))
    return layer


@pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 3, 4)])
def test_contract(shape, tmp_path):
    checks.check_layer(
        lambda **kwargs: Highway("tanh", **kwargs), shape, tmp_path
    )


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", lambda z: np.maximum(z, 0.0)),
        ("tanh", np.tanh),
        (None, lambda z: z),
    ],
)
@pytest.mark.parametrize("shape", [(5, 3), (5, 1, 3), (1, 5, 1, 3)])
def test_is_its_formula(activation, function, shape):
    layer = make_layer(activation=activation)
    kernel, bias, gate_kernel, gate_bias = layer.get_weights()
    gate = special.expit(X @ gate_kernel + gate_bias)
    expected = function(X @ kernel + bias) * gate + X * (1.0 - gate)
    y = layer(X.reshape(shape))
    np.testing.assert_allclose(y, expected.reshape(shape), rtol=1e-12)


def test_a_shut_gate_passes_the_input_and_its_gradient():
    layer, x = make_layer(gate_bias=-1e3), tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    np.testing.assert_array_equal(y, X)
    jacobian = tape.batch_jacobian(y, x)
    np.testing.assert_array_equal(jacobian, np.tile(np.eye(3), (5, 1, 1)))


def test_an_open_gate_passes_the_dense_layer_alone():
    layer = make_layer(gate_bias=1e3)
    dense = keras.layers.Dense(3, activation="relu", dtype="float64")
    dense.build((None, 3))
    dense.set_weights(layer.get_weights()[:2])
    np.testing.assert_array_equal(layer(X), dense(X))


def test_carries_most_of_the_input_at_first():
    layer = Highway(dtype="float64")
    layer.build((None, 3))
    layer.transform.kernel.assign(np.zeros((3, 3)))
    layer.gate.kernel.assign(np.zeros((3, 3)))
    np.testing.assert_allclose(layer(X), special.expit(2.0) * X, rtol=1e-12)


def test_masks_pass_through():
    tokens = np.array([[1, 2, 0, 0]])
    embedding = keras.layers.Embedding(5, 3, mask_zero=True)
    model = keras.Sequential([embedding, Highway()])
    np.testing.assert_array_equal(model(tokens)._keras_mask, tokens != 0)


def test_refuses_bad_input():
    with pytest.raises(ValueError, match="expected min_ndim=2, found ndim=1"):
        Highway()(np.ones(3))
    with pytest.raises(ValueError, match="expected axis -1"):
        make_layer()(np.ones((2, 4)))
    with pytest.raises(ValueError, match="activation function identifier"):
        Highway("no such function")
