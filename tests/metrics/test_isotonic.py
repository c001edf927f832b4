"""Isotonic regression, against scikit-learn and by its definition."""

import checks
import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from keras_seqtools.metrics._isotonic import isotonic_fit


@pytest.mark.parametrize("size", [1, 2, 10, 1000])
@pytest.mark.parametrize("decimals", [1, 2, 16])
def test_equals_scikit_learn(size, decimals):
    for seed in range(5):
        random = checks.rng(seed)
        x = np.round(random.random(size), decimals)
        y = (random.random(size) < x).astype(float)
        weight = random.random(size) + 0.1
        knots, values = isotonic_fit(x, y, weight)
        np.testing.assert_array_equal(knots, np.unique(x))
        peer = IsotonicRegression().fit(x, y, sample_weight=weight)
        np.testing.assert_allclose(values, peer.predict(knots), atol=1e-12)
        order = random.permutation(size)
        _, again = isotonic_fit(x[order], y[order], weight[order])
        np.testing.assert_allclose(again, values, atol=1e-12)
        assert (np.diff(values) >= 0.0).all()


@pytest.mark.parametrize(
    "y",
    [
        np.arange(3000.0),
        -np.arange(3000.0),
        np.append(np.arange(2999.0), -1e6),
        np.where(np.arange(3000) % 20, np.arange(3000), np.arange(3000) + 25),
    ],
    ids=["rises", "falls", "falls at the end", "saw"],
)
def test_few_or_many_violations(y):
    x = np.arange(3000.0)
    _, values = isotonic_fit(x, y, np.ones(3000))
    expected = IsotonicRegression().fit(x, y).predict(x)
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_nothing():
    knots, values = isotonic_fit(np.zeros(0), np.zeros(0), np.zeros(0))
    assert knots.shape == values.shape == (0,)
