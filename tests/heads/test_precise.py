"""The pieces of likelihoods, against float64 where that is exact itself."""

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
