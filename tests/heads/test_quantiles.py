"""Quantiles of every family, and of mixtures of it, against float64."""

import families
import numpy as np
import pytest
import references

LEVELS = (1e-6, 0.05, 0.5, 0.9, 1 - 1e-6)


def check_solves(found, q, cdf, tolerance):
    """`found` is where the cdf passes q, give or take `tolerance`."""
    found, tolerance = np.asarray(found, "float64"), tolerance + 1e-37
    with np.errstate(over="ignore"):  # SciPy, far below a Gumbel
        assert (cdf(found - tolerance) <= q).all()
        assert (cdf(found + tolerance) >= q).all()


def check_smallest(found, expected, q, cdf):
    """`found` is the expected integer, unless the cdf there is just q."""
    found = np.asarray(found, "float64")
    tolerance = 1e-6 * min(q, 1.0 - q)
    is_tie = (np.abs(cdf(found) - q) < tolerance) | (
        np.abs(cdf(found - 1.0) - q) < tolerance
    )
    assert ((found == expected) | is_tie).all()


@families.CONTINUOUS
def test_continuous_quantiles_solve_the_cdf(case):
    y_pred = case.emitted()
    law = case.law(y_pred)
    found = np.asarray(case.make().quantile(y_pred, LEVELS), "float64")
    for q, y in zip(LEVELS, found, strict=True):
        expected = law.ppf(q)
        is_positive = case.make().support[0] == 0.0
        scale = 0.0 if is_positive else law.std()
        error = np.abs(y - expected)
        assert (error <= 1e-5 * (np.abs(expected) + scale) + 1e-37).all()


@families.DISCRETE
def test_discrete_quantiles_are_exact(case):
    y_pred = case.emitted()
    law = case.law(y_pred)
    found = case.make().quantile(y_pred, LEVELS)
    for q, y in zip(LEVELS, found, strict=True):
        check_smallest(y, law.ppf(q), q, law.cdf)


def mean_cdf(law):
    """The cdf of the mixture of all rows, of numbers `(..., 1)`."""

    def cdf(y):
        with np.errstate(over="ignore"):  # SciPy, far below a Gumbel
            return law.cdf(np.asarray(y)[..., None, None]).mean((-1, -2))

    return cdf


@families.CONTINUOUS
def test_quantiles_of_a_mixture_solve_the_mean_of_the_cdfs(case):
    """Rows are far apart and of unequal width, as passes hardly are."""
    y_pred = case.emitted()
    law, cdf = case.law(y_pred), mean_cdf(case.law(y_pred))
    found = case.make().mixture_quantile(y_pred[:, None], LEVELS)
    assert found.shape == (len(LEVELS), 1, 1)
    for q, y in zip(LEVELS, np.ravel(found), strict=True):
        is_positive = case.make().support[0] == 0.0
        tolerance = 1e-5 * np.abs(y)
        if not is_positive:
            tolerance += 1e-5 * law.std().min()
        check_solves(y, q, cdf, tolerance)


@families.DISCRETE
def test_quantiles_of_a_mixture_are_exact(case):
    y_pred = case.emitted()
    law, cdf = case.law(y_pred), mean_cdf(case.law(y_pred))
    found = case.make().mixture_quantile(y_pred[:, None], LEVELS)
    assert found.shape == (len(LEVELS), 1, 1)
    highest = law.ppf(1 - 1e-9).max()
    for q, y in zip(LEVELS, np.ravel(found), strict=True):
        expected = references.search(cdf, q, -1.0, highest, discrete=True)
        check_smallest(y, expected, q, cdf)


@families.EVERY_LAW
def test_mixtures_over_units_and_time(case):
    """Every item of (samples, batch, time, units) is a mixture of its own."""
    if case.make().joint:
        pytest.skip("units together are another distribution")
    columns = [np.array(column)[:4] for column in case.rows.values()]

    def rows(order):
        """Rows in this order, as (batch 1, time 2, units 2)."""
        blocks = [column[order].reshape(1, 2, -1) for column in columns]
        return np.concatenate(blocks, axis=-1).astype("float32")

    order = np.arange(4)
    y_pred = np.stack([rows(order), rows(order[::-1])])
    found = case.make(units=2).mixture_quantile(y_pred, (0.2, 0.6))
    assert found.shape == (2, 1, 2, 2)
    pairs = case.emitted()[:4]
    pairs = np.stack([pairs, pairs[::-1]])
    alone = case.make().mixture_quantile(pairs, (0.2, 0.6))
    np.testing.assert_allclose(
        np.reshape(found, (2, 4)), np.reshape(alone, (2, 4)), rtol=1e-5
    )


@families.EVERY_LAW
def test_intervals_are_quantiles(case):
    head, y_pred = case.make(), case.emitted()
    lower, upper = head.interval(y_pred, 0.8)
    ends = head.quantile(y_pred, (0.1, 0.9))
    np.testing.assert_allclose([lower, upper], ends, rtol=1e-6)
