"""Several targets together, against SciPy in float64."""

import checks
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_seqtools.heads import MultivariateNormalHead
from keras_seqtools.heads import links

UNITS = 3


def rows(shape, seed=0):
    """What a head might emit: locations far from 0, strong correlations."""
    rng = checks.rng(seed)
    loc = rng.normal(10.0, 30.0, (*shape, UNITS))
    tril = np.tril(rng.normal(size=(*shape, UNITS, UNITS)))
    tril += np.eye(UNITS) * (0.1 - np.minimum(tril, 0.0) + np.abs(tril))
    tril *= rng.uniform(0.1, 20.0, (*shape, UNITS, 1))
    flat = tril.reshape(*shape, UNITS**2)
    return np.concatenate([loc, flat], axis=-1).astype("float32")


def laws(y_pred):
    """The same in SciPy, one for each item."""
    y_pred = y_pred.reshape(-1, UNITS + UNITS**2).astype("float64")
    for row in y_pred:
        tril = row[UNITS:].reshape(UNITS, UNITS)
        yield stats.multivariate_normal(row[:UNITS], tril @ tril.T)


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_log_prob_is_that_of_all_units(shape):
    y_pred = rows(shape)
    y = np.asarray(
        [law.rvs(random_state=i) for i, law in enumerate(laws(y_pred))]
    )
    y = y.astype("float32")
    found = MultivariateNormalHead(UNITS).log_prob(
        y.reshape(*shape, UNITS), y_pred
    )
    assert found.shape == shape
    expected = [
        law.logpdf(row)
        for law, row in zip(laws(y_pred), y.astype("float64"), strict=True)
    ]
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_the_rest_is_that_of_each_unit_alone(shape):
    head, y_pred = MultivariateNormalHead(UNITS), rows(shape)
    mean = np.array([law.mean for law in laws(y_pred)])
    cov = np.array([law.cov for law in laws(y_pred)])
    alone = stats.norm(mean, np.sqrt(np.diagonal(cov, axis1=1, axis2=2)))

    def equals(found, expected):
        assert found.shape == (*shape, UNITS)
        np.testing.assert_allclose(
            np.reshape(found, expected.shape), expected, rtol=1e-5, atol=1e-5
        )

    equals(head.mean(y_pred), mean)
    equals(head.mode(y_pred), mean)
    equals(head.variance(y_pred), alone.var())
    equals(head.stddev(y_pred), alone.std())
    equals(head.prob_below(y_pred, 3.0), alone.cdf(3.0))
    equals(head.prob_above(y_pred, 3.0), alone.sf(3.0))
    y = alone.ppf(0.3).astype("float32")
    equals(head.cdf(y.reshape(*shape, UNITS), y_pred), alone.cdf(y))
    for q, found in zip(
        (0.05, 0.9), head.quantile(y_pred, (0.05, 0.9)), strict=True
    ):
        equals(found, alone.ppf(q))


def test_draws_have_the_covariance():
    head, y_pred = MultivariateNormalHead(UNITS), rows((4,))
    draws = np.asarray(head.sample(y_pred, 20_000, seed=3), "float64")
    for i, law in enumerate(laws(y_pred)):
        # Standardised by the law they are three independent normals.
        z = np.linalg.solve(
            np.linalg.cholesky(law.cov), (draws[:, i] - law.mean).T
        )
        for each in z:
            assert stats.kstest(each, stats.norm.cdf).pvalue > 1e-4
        # Of which a covariance has the standard error 1 / sqrt(n).
        error = np.abs(np.cov(z) - np.eye(UNITS))
        assert (error < 5.0 * np.sqrt(2.0 / 20_000)).all()


@pytest.mark.slow
def test_adapt_finds_mean_and_covariance():
    rng = checks.rng(3)
    tril = np.array([[2.0, 0.0], [-300.0, 100.0]])
    y = [5.0, 1e3] + rng.normal(size=(500, 2)) @ tril.T
    head = MultivariateNormalHead(2)
    head.build((None, 3))
    head.adapt(y)
    law = head.distribution(head(np.zeros((1, 3), "float32")))
    np.testing.assert_allclose(law.mean()[0], y.mean(0), rtol=1e-3)
    np.testing.assert_allclose(
        law.covariance()[0], np.cov(y.T, bias=True), rtol=5e-3
    )


@pytest.mark.parametrize("size", [1e-20, 1.0, 30.0, 1e20])
def test_any_output_of_a_network_is_a_covariance(size):
    raw = tf.constant(size * checks.rng().normal(size=(50, 4, 4)), "float32")
    tril = np.asarray(links.scale_tril(raw), "float64")
    np.testing.assert_array_equal(tril, np.tril(tril))
    assert np.isfinite(tril).all()
    assert (np.diagonal(tril, axis1=1, axis2=2) > 0.0).all()


def test_one_impossible_target_has_no_likelihood():
    y = np.zeros((6, UNITS))
    y[2, 1] = np.nan
    found = MultivariateNormalHead(UNITS).log_prob(y, rows((6,)))
    np.testing.assert_array_equal(np.isnan(found), np.arange(6) == 2)
