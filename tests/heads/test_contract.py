"""What every head promises, whatever its family."""

import functools

import checks
import families
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seqtools.losses import NegativeLogLikelihood

HAS_DISPERSION = families.by_name(
    [case for case in families.CASES if case.make().dispersions]
)


def with_units(case, **kwargs):
    """A head with two units, or the one that classes have."""
    if case is families.CATEGORICAL:
        return functools.partial(case.make, **kwargs)
    return functools.partial(case.make, units=2, **kwargs)


@families.EVERY_FAMILY
def test_contract(case, tmp_path):
    checks.check_head(with_units(case), tmp_path, targets=case.targets)


@families.EVERY_FAMILY
@pytest.mark.parametrize("garbage", [1e30, np.nan])
def test_hidden_targets_change_no_bit_of_loss_or_gradient(case, garbage):
    """Neither those behind a mask, nor missing ones with `ignore_nan`."""
    head = with_units(case)()
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.Masking(), head]
    )
    x = checks.rng().normal(size=(4, 5, 3)).astype("float32")
    x[1, 2:] = 0.0  # masked from here
    y = case.targets((4, 5, head.units)).astype("float32")
    spoiled = y.copy()
    spoiled[1, 2:] = garbage
    missing = y.copy()
    missing[1, 2:] = np.nan

    def loss_and_gradients(y, x=x, **kwargs):
        loss = NegativeLogLikelihood(head, **kwargs)
        with tf.GradientTape() as tape:
            value = loss(y, model(x))
        return [value, *tape.gradient(value, model.trainable_variables)]

    clean = loss_and_gradients(y)
    assert all(np.isfinite(values).all() for values in clean)
    for others in (
        loss_and_gradients(spoiled),
        loss_and_gradients(missing, ignore_nan=True),
    ):
        for a, b in zip(clean, others, strict=True):
            np.testing.assert_array_equal(a, b)

    x[1, 2:] = 1.0  # no mask any more, only targets that are missing
    known = ~np.isnan(missing).any(-1)
    value, *gradients = loss_and_gradients(missing, x, ignore_nan=True)
    nll = -np.asarray(head.log_likelihood(y, model(x)))[known].mean()
    np.testing.assert_allclose(value, nll, rtol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@HAS_DISPERSION
def test_constant_dispersion_does_not_follow_the_input(case, tmp_path):
    head = with_units(case, dispersion="constant")()
    model = keras.Sequential([keras.Input((3,)), head])
    constant = sum(head.sizes[name] for name in head.dispersions)
    assert head.kernel.shape == (3, sum(head.sizes.values()) - constant)
    assert head.bias.shape == (sum(head.sizes.values()),)
    x = checks.rng().normal(size=(6, 3)).astype("float32")
    y = case.targets((6, 2))
    before = head.bias.numpy()
    model.compile("sgd", loss=NegativeLogLikelihood(head), run_eagerly=True)
    model.fit(x, y, verbose=0)
    assert (head.bias.numpy() != before)[-1]  # it is learned
    others = head.split(model(x[::-1].copy()))
    for name, values in head.split(model(x)).items():
        follows = (np.asarray(values) != np.asarray(others[name])).any()
        assert follows == (name not in head.dispersions)
    checks.check_saved(model, x, tmp_path)
    checks.check_config(head)


@HAS_DISPERSION
def test_constant_dispersion_is_the_dense_head_without_those_weights(case):
    """The other parameters are what they are of a head with that kernel."""
    head, dense = with_units(case, dispersion="constant")(), with_units(case)()
    x = checks.rng().normal(size=(6, 3)).astype("float32")
    y_pred = head(x)
    dense.build((None, 3))
    kernel, used = np.zeros(dense.kernel.shape, "float32"), 0
    start = 0
    for name, size in dense.sizes.items():
        if name not in head.dispersions:
            kernel[:, start : start + size] = head.kernel[:, used : used + size]
            used += size
        start += size
    assert used == head.kernel.shape[1]
    dense.kernel.assign(kernel)
    np.testing.assert_allclose(y_pred, dense(x), rtol=1e-6)


@families.EVERY_FAMILY
def test_regularizers_and_initializers(case):
    initializer = keras.initializers.RandomNormal(stddev=0.3, seed=5)
    head = with_units(
        case,
        kernel_initializer=initializer,
        bias_initializer=keras.initializers.Constant(0.2),
        kernel_regularizer=keras.regularizers.L2(0.01),
        bias_regularizer=keras.regularizers.L1(0.1),
    )()
    again = checks.check_config(head)
    for each in (head, again):
        each.build((None, 3))
    kernel = initializer(head.kernel.shape).numpy()
    penalties = [0.01 * np.square(kernel).sum(), 0.02 * head.bias.shape[0]]
    for each in (head, again):
        np.testing.assert_array_equal(each.kernel, kernel)
        np.testing.assert_array_equal(each.bias, np.float32(0.2))
        np.testing.assert_allclose(each.losses, penalties, rtol=1e-5)
