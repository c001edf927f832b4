"""The pieces of likelihoods, against float64 where that is exact itself."""

import decimal
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from keras_seqtools.heads import _precise


def test_stirling_error():
    x = np.geomspace(1e-12, 1e7, 2000).astype("float32")
    exact = x.astype("float64")
    stirling = (exact - 0.5) * np.log(exact) - exact + np.log(2 * np.pi) / 2
    # Where they cancel, both are below 1/12, and the series is exact.
    expected = np.where(
        exact < 1e3, special.gammaln(exact) - stirling, 1.0 / (12.0 * exact)
    )
    error = np.abs(_precise.stirling_error(x) - expected)
    assert error.max() < 4e-6


def test_exp_remainder():
    t = np.geomspace(1e-10, 80.0, 1000)
    t = np.concatenate([-t, t]).astype("float32")
    exact = t.astype("float64")
    series = exact**2 / 2 * (1 + exact / 3 * (1 + exact / 4))
    expected = np.where(np.abs(exact) < 1e-3, series, np.expm1(exact) - exact)
    np.testing.assert_allclose(_precise.exp_remainder(t), expected, rtol=1e-6)


PI = decimal.Decimal("3.14159265358979323846264338327950288419716939937511")


def test_stirling_error_in_float64():
    """Of integers and halves, whose gamma functions are factorials."""
    x = [*range(1, 30), 100, 1000, 10000]
    expected = []
    with decimal.localcontext(prec=60):
        for two_x in (2 * n - half for n in x for half in (0, 1)):
            n = two_x // 2
            if two_x % 2:
                value = decimal.Decimal(math.factorial(2 * n)) * PI.sqrt()
                value /= math.factorial(n) * 4**n
            else:
                value = decimal.Decimal(math.factorial(n - 1))
            place = decimal.Decimal(two_x) / 2
            rest = (place - 1 / decimal.Decimal(2)) * place.ln() - place
            expected.append(float(value.ln() - rest - (2 * PI).ln() / 2))
    x = np.array([n - half for n in x for half in (0.0, 0.5)])
    found = _precise.stirling_error(x)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-14)


def test_stirling_slope_in_float64():
    x = np.geomspace(0.1, 30.0, 100)
    expected = special.digamma(x) - np.log(x) + 0.5 / x
    found = _precise.stirling_slope(x)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)


def test_exp_remainder_in_float64():
    t = np.concatenate([np.geomspace(1e-8, 9.0), -np.geomspace(1e-8, 9.0)])
    with decimal.localcontext(prec=60):
        places = [decimal.Decimal(float(one)) for one in t]
        expected = [float(one.exp() - 1 - one) for one in places]
    found = _precise.exp_remainder(t)
    np.testing.assert_allclose(found, expected, rtol=2e-15)


def by_products(y, log_mean, dispersion):
    """The derivatives of a negative binomial by its mean and dispersion.

    With the ratio of gamma functions as what it is for integers, a product.
    """
    mean = np.exp(log_mean)
    spread = 1.0 + dispersion * mean
    i = np.arange(y)
    by_dispersion = (
        (i / (1.0 + dispersion * i)).sum()
        + np.log1p(dispersion * mean) / dispersion**2
        - (y + 1.0 / dispersion) * mean / spread
    )
    return (y - mean) / spread, by_dispersion


@pytest.mark.parametrize("dispersion", [1e-6, 1e-5, 1e-4, 1e-3, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("mean", [0.05, 1.0, 30.0, 1e3, 1e6])
def test_gradients_of_a_negative_binomial_with_little_dispersion(
    mean, dispersion
):
    std = np.sqrt(mean + dispersion * mean**2)
    for away in (-3.0, -1.0, -0.1, 0.3, 2.0, 5.0):
        y = max(0.0, np.floor(mean + away * std))
        inputs = [
            tf.constant(value, "float32")
            for value in (np.log(mean), dispersion)
        ]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            log_prob = _precise.negative_binomial_log_prob(
                tf.constant(y, "float32"), *inputs
            )
        found = tape.gradient(log_prob, inputs)
        exact = [float(value) for value in inputs]
        expected = by_products(y, *exact)
        # And what the next float32 number for the logarithm would change.
        moved = by_products(y, np.nextafter(inputs[0].numpy(), 99.0), exact[1])
        for one, right, next_to_it in zip(found, expected, moved, strict=True):
            explained = abs(next_to_it - right)
            assert abs(one - right) < 1e-3 * abs(right) + explained + 1e-6
