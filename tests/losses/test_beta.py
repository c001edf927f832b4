"""The weighted likelihood of Seitzer et al., 2022, against its definition."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_seqtools import heads
from keras_seqtools.losses import NegativeLogLikelihood

LOC = checks.rng().normal(size=(6, 2)).astype("float32")
SCALE = checks.rng(1).uniform(0.2, 3.0, (6, 2)).astype("float32")
Y = checks.rng(2).normal(size=(6, 2)).astype("float32")
Y_PRED = np.hstack([LOC, SCALE])


class CauchyHead(heads.DistributionHead):
    parameters = heads.NormalHead.parameters

    def make_distribution(self, loc, scale):
        from tensorflow_probability import distributions as tfd

        return tfd.Cauchy(loc, scale)


def loss(beta, head=None, **kwargs):
    head = heads.NormalHead(units=2) if head is None else head
    return NegativeLogLikelihood(head, beta=beta, **kwargs)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_value(beta):
    law = stats.norm(LOC.astype("float64"), SCALE.astype("float64"))
    weighted = law.var() ** beta * -law.logpdf(Y.astype("float64"))
    np.testing.assert_allclose(
        loss(beta)(Y, Y_PRED), weighted.sum(-1).mean(), rtol=1e-5
    )


def test_value_of_counts():
    log_rate = np.array([[0.0], [1.0], [2.5]], "float32")
    y = np.array([[1.0], [0.0], [9.0]])
    law = stats.poisson(np.exp(log_rate.astype("float64")))
    np.testing.assert_allclose(
        loss(0.5, heads.PoissonHead())(y, log_rate),
        (law.std() * -law.logpmf(y)).mean(),
        rtol=1e-5,
    )


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_no_gradient_flows_through_the_weight(beta):
    """By hand: the weight times the derivatives of the normal density."""
    y_pred = tf.constant(Y_PRED)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(beta, reduction="sum")(Y, y_pred)
    y, loc, scale = (each.astype("float64") for each in (Y, LOC, SCALE))
    weight = scale ** (2.0 * beta)
    by_loc = weight * (loc - y) / scale**2
    by_scale = weight * (1.0 / scale - (y - loc) ** 2 / scale**3)
    np.testing.assert_allclose(
        tape.gradient(value, y_pred),
        np.hstack([by_loc, by_scale]),
        rtol=1e-4,
        atol=1e-6,
    )


def test_1_gives_the_location_the_gradients_of_the_squared_error():
    y_pred, loc = tf.constant(Y_PRED), tf.constant(LOC)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([y_pred, loc])
        value = loss(1.0, reduction="sum")(Y, y_pred)
        half = 0.5 * tf.reduce_sum((loc - Y) ** 2)
    np.testing.assert_allclose(
        tape.gradient(value, y_pred)[:, :2], tape.gradient(half, loc), rtol=1e-5
    )


def test_hidden_targets_change_no_bit():
    y_pred, weight = tf.constant(Y_PRED), [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]

    def value_and_gradient(y):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(0.5)(y, y_pred, sample_weight=np.array(weight))
        return value, tape.gradient(value, y_pred)

    for garbage in (1e30, np.nan):
        spoiled = Y.copy()
        spoiled[2] = garbage
        for a, b in zip(
            value_and_gradient(Y), value_and_gradient(spoiled), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_name_and_config():
    assert loss(0.0).name == "negative_log_likelihood"
    assert loss(0.5).name == "weighted_negative_log_likelihood"
    assert loss(0.5, name="mine").name == "mine"
    again = checks.check_config(loss(0.5))
    assert (again.beta, again.name) == (0.5, loss(0.5).name)
    assert again(Y, Y_PRED) == loss(0.5)(Y, Y_PRED)


def test_is_saved_with_a_model(tmp_path):
    head = heads.NormalHead(units=2)
    model = keras.Sequential([keras.Input((3,)), head])
    model.compile("sgd", loss=loss(0.5, head))
    x = checks.rng().normal(size=(6, 3))
    loaded = checks.save_and_load(model, tmp_path)
    assert loaded.loss.beta == 0.5
    assert loaded.evaluate(x, Y, verbose=0) == model.evaluate(x, Y, verbose=0)


@pytest.mark.parametrize("beta", [-0.1, 1.1, np.nan])
def test_is_a_fraction(beta):
    with pytest.raises(ValueError, match=r"`beta`.*from 0 to 1"):
        loss(beta)


def test_needs_a_variance_of_each_target():
    with pytest.raises(ValueError, match=r"`CategoricalHead` has no variance"):
        loss(0.5, heads.CategoricalHead(3))
    with pytest.raises(ValueError, match="one likelihood for all targets"):
        loss(0.5, heads.MultivariateNormalHead(2))
    with pytest.raises(ValueError, match=r"`CauchyHead` has no variance"):
        loss(0.5, CauchyHead())
