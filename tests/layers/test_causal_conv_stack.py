"""CausalConvStack against loops of the formula and layers of Keras alone."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seqtools as kst
from keras_seqtools.layers import CausalConvStack

RESIDUAL = pytest.mark.parametrize("residual", [False, True])


def make_stack(features, filters, kernel_size, **kwargs):
    """In float64, with biases that are not 0."""
    stack = CausalConvStack(filters, kernel_size, dtype="float64", **kwargs)
    stack.build((None, None, features))
    rng = checks.rng(2)
    stack.set_weights([rng.normal(size=w.shape) for w in stack.weights])
    return stack


def convolve(x, kernel, bias, dilation):
    y = np.zeros((*x.shape[:2], kernel.shape[-1])) + bias
    for t in range(x.shape[1]):
        for tap in range(len(kernel)):
            seen = t - dilation * (len(kernel) - 1 - tap)
            if seen >= 0:
                y[:, t] += x[:, seen] @ kernel[tap]
    return y


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"dilations": [1, 3], "activation": None, "residual": True},
        {"filters": 4, "activation": "tanh", "dropout": 0.3, "residual": True},
    ],
)
def test_contract(kwargs, tmp_path):
    kwargs = {"filters": 3, "kernel_size": 2, **kwargs}
    checks.check_layer(
        lambda **more: CausalConvStack(**kwargs, **more), (12, 4), tmp_path
    )


def test_published_toy():
    stack = CausalConvStack(1, 2, dilations=(1,), activation=None)
    stack.build((None, None, 1))
    stack.set_weights([np.reshape([1.0, 2.0], (2, 1, 1)), np.zeros(1)])
    x = np.reshape([10.0, 20.0, 30.0], (1, 3, 1))
    np.testing.assert_array_equal(np.ravel(stack(x)), [20.0, 50.0, 80.0])


@RESIDUAL
def test_is_its_formula(residual):
    x = checks.rng().normal(size=(2, 9, 2))
    stack = make_stack(2, 3, 2, dilations=(1, 2, 3), residual=residual)
    expected, weights = x, iter(stack.get_weights())
    for dilation in (1, 2, 3):
        y = convolve(expected, next(weights), next(weights), dilation)
        y = np.maximum(y, 0.0)
        if residual and dilation == 1:  # from 2 features to 3
            expected = expected @ next(weights)[0] + next(weights)
        expected = expected + y if residual else y
    np.testing.assert_allclose(stack(x), expected, rtol=1e-12, atol=1e-12)
    assert next(weights, None) is None


@pytest.mark.parametrize("activation", ["relu", None])
def test_is_the_same_stack_of_keras_layers(activation):
    x = checks.rng().normal(size=(4, 40, 2))
    by_hand = keras.Sequential(
        [
            keras.layers.Conv1D(
                6,
                5,
                padding="causal",
                dilation_rate=dilation,
                activation=activation,
                dtype="float64",
            )
            for dilation in (1, 2, 4, 8)
        ]
    )
    by_hand.build((None, None, 2))
    stack = make_stack(2, 6, 5, activation=activation)
    by_hand.set_weights(stack.get_weights())
    np.testing.assert_array_equal(stack(x), by_hand(x))


@RESIDUAL
@pytest.mark.parametrize(
    ("kernel_size", "dilations", "expected"),
    [
        (2, (1, 1, 1, 1), 5),
        (2, (1, 2, 4, 8), 16),
        (5, (1, 1, 1, 1), 17),
        (5, (1, 2, 4, 8), 61),
    ],
)
def test_receptive_field(kernel_size, dilations, expected, residual):
    stack = make_stack(
        2,
        3,
        kernel_size,
        dilations=dilations,
        activation="softplus",
        residual=residual,
    )
    assert stack.receptive_field == expected
    x = checks.rng().normal(size=(1, expected + 3, 2))
    last = np.asarray(stack(x))[:, -1]
    for steps_back, is_seen in ((expected - 1, True), (expected, False)):
        changed = x.copy()
        changed[:, -1 - steps_back] += 100.0
        difference = np.asarray(stack(changed))[:, -1] - last
        assert (np.abs(difference).max() > 1e-3) == is_seen


@RESIDUAL
def test_does_not_see_the_future(residual):
    stack = make_stack(2, 3, 3, activation="softplus", residual=residual)
    x = checks.rng().normal(size=(1, 20, 2))
    before = np.asarray(stack(x))
    for now in range(1, 20):
        changed = x.copy()
        changed[:, now:] += 100.0
        after = np.asarray(stack(changed))
        np.testing.assert_array_equal(after[:, :now], before[:, :now])
        assert (after[:, now] != before[:, now]).all()


@RESIDUAL
@pytest.mark.parametrize("hidden", [0.0, 100.0, np.nan])
def test_padding_on_either_side_changes_nothing(residual, hidden):
    stack = make_stack(2, 3, 2, activation="softplus", residual=residual)
    alone = checks.rng().normal(size=(1, 7, 2))
    expected = stack(alone)
    for left, right in ((5, 0), (0, 5), (2, 3)):
        padding = ((0, 0), (left, right))
        x = np.pad(alone, (*padding, (0, 0)), constant_values=hidden)
        x = tf.constant(x)
        mask = np.pad(np.ones((1, 7), bool), padding)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = stack(x, mask=mask)
            loss = tf.reduce_sum(y[:, left : left + 7])
        np.testing.assert_array_equal(y._keras_mask, mask)
        np.testing.assert_allclose(
            y[:, left : left + 7], expected, rtol=1e-12, atol=1e-12
        )
        gradients = tape.gradient(loss, [x, *stack.trainable_weights])
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        assert (gradients[0].numpy()[~mask] == 0.0).all()


@pytest.mark.parametrize("shape", [(2, 1), (2, 4), (5,), (2, 5, 1)])
def test_refuses_a_mask_that_does_not_fit(shape):
    with pytest.raises(ValueError, match=r"`mask`.* \(2, 5\)"):
        CausalConvStack(3, 2)(np.ones((2, 5, 2)), mask=np.ones(shape, bool))


def test_dropout_drops_features_at_all_steps():
    stack = CausalConvStack(500, 1, (1,), activation=None, dropout=0.3)
    x = np.ones((2, 6, 1), "float32")
    y, kept = np.asarray(stack(x, training=True)), np.asarray(stack(x))
    assert (y == y[:, :1]).all()
    assert (y[0] != y[1]).any()
    share = (y[:, 0] != 0).mean()
    assert abs(share - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 1000)
    np.testing.assert_allclose(y[y != 0], kept[y != 0] / 0.7, rtol=1e-6)
    assert checks.check_config(stack).dropout == 0.3


def test_predict_uncertainty_samples_the_dropout_of_every_block():
    model = keras.Sequential(
        [
            keras.Input((None, 1)),
            CausalConvStack(8, 2, dropout=0.1),
            keras.layers.Dense(1),
        ]
    )
    x = checks.rng().normal(size=(3, 20, 1)).astype("float32")
    u = kst.predict_uncertainty(
        model, x, num_samples=50, seed=1, task="regression", verbose=0
    )
    assert list(u.stochastic_layers.values()) == [{"rate": 0.1}] * 4
    assert (u.epistemic_std > 0.0).all()
    np.testing.assert_allclose(
        u.deterministic, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )


def test_features_are_last_whatever_images_are():
    keras.config.set_image_data_format("channels_first")
    try:
        stack = CausalConvStack(3, 2, residual=True)
        assert stack(np.ones((2, 5, 4))).shape == (2, 5, 3)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filters", 0),
        ("filters", 2.0),
        ("kernel_size", (3,)),
        ("kernel_size", 0),
        ("dilations", ()),
        ("dilations", 4),
        ("dilations", (1, 0)),
        ("dilations", (1, True)),
        ("dropout", 1.0),
        ("dropout", -0.1),
    ],
)
def test_refuses_bad_arguments(name, value):
    arguments = {"filters": 3, "kernel_size": 2, name: value}
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        CausalConvStack(**arguments)


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3, 1)])
def test_refuses_an_input_that_is_no_sequence(shape):
    with pytest.raises(ValueError, match=r"expected ndim=3"):
        CausalConvStack(3, 2)(np.ones(shape))
