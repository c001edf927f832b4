"""Probabilities of counts, from the rarest to a hundred million, by SciPy."""

import numpy as np
import pytest
import references
import tensorflow as tf
from scipy import special
from scipy import stats

from keras_seqtools import heads

RATES = np.array([1e-3, 0.1, 5.0, 300.0, 9e3, 1.1e4, 1e5, 1e6, 1e8])
DISPERSIONS = (1e-6, 1e-4, 1e-2, 0.5, 1.0, 50.0)
# A standard deviation further, SciPy's Poisson of 1e8 is wrong itself.
AWAY = np.array([-4.0, -2.0, -0.3, 0.0, 1e-3, 0.7, 3.0, 4.0])
LEVELS = (1e-6, 0.01, 0.4, 0.9, 1 - 1e-6)


def counts(mean, std):
    return np.maximum(np.floor(mean + AWAY[:, None] * std), 0.0)


def poisson_items():
    """`y_pred`, rates and counts, `(away, rates)` or with one unit more."""
    log_rate = np.broadcast_to(np.log(RATES), (len(AWAY), len(RATES)))
    rate = np.exp(log_rate)
    return log_rate[..., None], rate, counts(RATES, np.sqrt(RATES))


def scattered_items(dispersion):
    y_pred, mean, _ = poisson_items()
    y_pred = np.concatenate([y_pred, np.full_like(y_pred, dispersion)], -1)
    y = counts(RATES, np.sqrt(RATES + dispersion * RATES**2))
    return y_pred, mean, y


def above(head, y, y_pred):
    """P(Y > y) of one item after the other."""
    rows = y_pred.reshape(-1, y_pred.shape[-1])
    items = zip(y.reshape(-1), rows, strict=True)
    p = [float(head.prob_above(row[None], one)[0, 0]) for one, row in items]
    return np.reshape(p, y.shape)


def test_tensorflow_is_still_wrong():
    """If this fails, TensorFlow is mended: `_special.py` may go."""
    shape, rate = 1e6 + 501.0, 1e6
    found = tf.math.igammac(tf.constant(shape, "float64"), rate)
    assert abs(found - special.gammaincc(shape, rate)) > 1e-3


def test_poisson():
    y_pred, rate, y = poisson_items()
    head = heads.PoissonHead()
    found = head.cdf(y, y_pred)[..., 0]
    np.testing.assert_allclose(found, special.pdtr(y, rate), rtol=1e-9)
    found = above(head, y, y_pred)
    np.testing.assert_allclose(found, special.pdtrc(y, rate), rtol=1e-9)


@pytest.mark.parametrize("dispersion", DISPERSIONS)
def test_negative_binomial(dispersion):
    y_pred, mean, y = scattered_items(dispersion)
    head = heads.NegativeBinomialHead()
    prob = 1.0 / (1.0 + dispersion * mean)
    expected = special.betainc(1.0 / dispersion, y + 1.0, prob)
    found = head.cdf(y, y_pred)[..., 0]
    np.testing.assert_allclose(found, expected, atol=3e-9)
    found = above(head, y, y_pred)
    np.testing.assert_allclose(found, 1.0 - expected, atol=3e-9)


def test_zero_inflated():
    y_pred, rate, y = poisson_items()
    y_pred = np.concatenate([np.full_like(y_pred, -0.5), y_pred], -1)
    law = references.ZeroInflated(-0.5, stats.poisson(rate))
    head = heads.ZeroInflatedPoissonHead()
    found = head.cdf(y, y_pred)[..., 0]
    np.testing.assert_allclose(found, law.cdf(y), rtol=1e-9)
    found = above(head, y, y_pred)
    np.testing.assert_allclose(found, law.sf(y), rtol=1e-9)


@pytest.mark.parametrize(
    ("head", "first", "last", "law"),
    [
        (heads.PoissonHead(), [], [], stats.poisson(1e6)),
        (
            heads.ZeroInflatedPoissonHead(),
            [0.0],
            [],
            references.ZeroInflated(0.0, stats.poisson(1e6)),
        ),
        (
            heads.NegativeBinomialHead(),
            [],
            [1e-6],
            stats.nbinom(1e6, 1.0 / 2.0),
        ),
        (
            heads.NegativeBinomialHead(),
            [],
            [0.5],
            stats.nbinom(2.0, 1.0 / (1.0 + 5e5)),
        ),
    ],
)
def test_quantiles_of_a_million(head, first, last, law):
    y_pred = np.array([[*first, np.log(1e6), *last]])
    found = np.ravel(head.quantile(y_pred, LEVELS))
    expected = [float(law.ppf(level)) for level in LEVELS]
    np.testing.assert_array_equal(found, expected)


def gradient(head, y, y_pred):
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        p = head.cdf(y, y_pred)
    return tape.gradient(p, y_pred).numpy()


def test_gradient_of_a_poisson():
    """Exactly minus a probability, also where `y + 1` is the rate."""
    y_pred, rate, y = poisson_items()
    y[0] = np.maximum(RATES - 1.0, 0.0)
    found = gradient(heads.PoissonHead(), y, y_pred)[..., 0]
    # SciPy's logarithm has an error of 1e-16 * rate.
    expected = -rate * stats.poisson.pmf(y, rate)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    y_pred = tf.constant([[np.log(3.0)]])
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        p = heads.PoissonHead().prob_above(y_pred, 2.0)
    expected = 3.0 * stats.poisson.pmf(2, 3.0)
    np.testing.assert_allclose(tape.gradient(p, y_pred), [[expected]], 1e-6)


@pytest.mark.parametrize("dispersion", DISPERSIONS)
def test_gradient_of_a_negative_binomial(dispersion):
    y_pred, mean, y = scattered_items(dispersion)
    y[0] = np.maximum(RATES - 1.0, 0.0)
    found = gradient(heads.NegativeBinomialHead(), y, y_pred)
    assert np.isfinite(found).all()
    spread = 1.0 + dispersion * mean
    expected = -mean * (1.0 + dispersion * y) / spread
    expected *= stats.nbinom.pmf(y, 1.0 / dispersion, 1.0 / spread)
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-6, atol=1e-6)

    def cdf(dispersion):
        prob = 1.0 / (1.0 + dispersion * mean)
        return special.betainc(1.0 / dispersion, y + 1.0, prob)

    step = 1e-3
    expected = cdf(dispersion * (1.0 + step)) - cdf(dispersion * (1.0 - step))
    # TFP's own has four digits, and at a million and 1e-6 none.
    small = slice(None, -2 if dispersion < 1e-4 else None)
    np.testing.assert_allclose(
        dispersion * found[:, small, 1],
        expected[:, small] / (2.0 * step),
        rtol=3e-4,
        atol=2e-6,
    )


def test_small_and_large_together_in_a_compiled_function():
    head = heads.NegativeBinomialHead()
    y_pred, _, y = scattered_items(1e-2)
    compiled = tf.function(head.cdf, jit_compile=True)
    np.testing.assert_allclose(compiled(y, y_pred), head.cdf(y, y_pred), 1e-9)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (heads.PoissonHead(), [1.0]),
        (heads.NegativeBinomialHead(), [1.0, 0.5]),
        (heads.NegativeBinomialHead(), [1.0, 1e-6]),
        (heads.ZeroInflatedPoissonHead(), [0.0, 1.0]),
        (heads.ZeroInflatedNegativeBinomialHead(), [0.0, 1.0, 0.5]),
    ],
)
def test_what_is_no_count(head, row):
    y_pred = np.tile(np.float32(row), (4, 1))
    found = head.cdf([np.inf, np.nan, -1.0, -np.inf], y_pred)
    np.testing.assert_array_equal(found[:, 0], [1.0, np.nan, 0.0, 0.0])
    assert (head.prob_above(y_pred, np.inf) == 0.0).numpy().all()
    np.testing.assert_array_equal(
        head.cdf([2.7], y_pred[:1]), head.cdf([2.0], y_pred[:1])
    )
