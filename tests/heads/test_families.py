"""Every family against float64 that knows nothing of our code."""

import families
import numpy as np
import pytest

from keras_seqtools import heads
from keras_seqtools.heads import links

LEVELS = np.array([1e-6, 0.03, 0.4, 0.97, 1 - 1e-6]).reshape(-1, 1, 1)


def test_no_family_is_left_out():
    cases = [*families.CASES, families.CATEGORICAL]
    names = {name for name in heads.__all__ if name.endswith("Head")}
    assert names - {case.name for case in cases} == {"DistributionHead"}


def rows_and_targets(case):
    """`y_pred`, and targets where every row has mass, `(levels, rows, 1)`."""
    y_pred = case.emitted()
    y = case.law(y_pred).ppf(LEVELS).astype("float32")
    if not case.make().discrete and case.make().support[0] == 0.0:
        highest = np.nextafter(
            np.float32(case.make().support[1]), np.float32(0)
        )
        y = np.clip(y, 1e-30, highest)
    return np.broadcast_to(y_pred, (*y.shape[:2], y_pred.shape[-1])), y


@families.EVERY_LAW
def test_log_prob(case):
    y_pred, y = rows_and_targets(case)
    found = case.make().log_prob(y, y_pred)
    np.testing.assert_allclose(
        np.reshape(found, y.shape),
        case.log_density(y.astype("float64"), y_pred),
        rtol=1e-5,
        atol=1e-4,
    )


@families.EVERY_LAW
def test_cdf(case):
    y_pred, y = rows_and_targets(case)
    np.testing.assert_allclose(
        case.make().cdf(y, y_pred),
        case.law(y_pred).cdf(y.astype("float64")),
        rtol=1e-5,
        atol=1e-9,
    )


@families.EVERY_LAW
def test_moments(case):
    head, y_pred = case.make(), case.emitted()
    law = case.law(y_pred)
    error = np.abs(head.mean(y_pred) - law.mean())
    assert (error <= 1e-6 * np.abs(law.mean()) + 1e-5 * law.std()).all()
    np.testing.assert_allclose(head.variance(y_pred), law.var(), rtol=1e-4)
    np.testing.assert_allclose(head.stddev(y_pred), law.std(), rtol=1e-4)


@families.EVERY_LAW
def test_nothing_is_likelier_than_the_mode(case):
    head, y_pred = case.make(), case.emitted()
    law = case.law(y_pred)
    ends = law.ppf(1e-6), law.ppf(1 - 1e-6)
    if head.discrete:
        length = int(np.max(ends[1] - ends[0])) + 1
        places = ends[0] + np.arange(length).reshape(-1, 1, 1)
        places = np.minimum(places, ends[1])
    else:  # also dense where the mass is
        by_mass = law.ppf(np.linspace(1e-6, 1 - 1e-6, 2001).reshape(-1, 1, 1))
        places = np.concatenate([np.linspace(*ends, 2001), by_mass])
    highest = case.log_density(places, y_pred).max(0)
    mode = np.asarray(head.mode(y_pred), "float64")
    assert (case.log_density(mode, y_pred) >= highest - 1e-4).all()


@families.EVERY_LAW
def test_probabilities_of_thresholds(case):
    y_pred = case.emitted()
    head, law = case.make(), case.law(y_pred)
    for threshold in (-1.5, 0.0, 0.4, 2.0, 2.5, 100.0):
        # Of 2 or fewer, P(Y < 2) holds what is at most 1.
        last = np.ceil(threshold) - 1 if head.discrete else threshold
        with np.errstate(over="ignore"):  # SciPy, far below a Gumbel
            below, above = law.cdf(last), law.sf(threshold)
        close = {"rtol": 1e-5, "atol": 1e-7}
        np.testing.assert_allclose(
            head.prob_below(y_pred, threshold), below, **close
        )
        np.testing.assert_allclose(
            head.prob_above(y_pred, threshold), above, **close
        )


@families.EVERY_LAW
def test_units_and_time_are_only_axes(case):
    """Rows as (batch, time, units) mean what they mean as (batch, 1)."""
    y_pred = case.emitted()[:4]
    rows = case.make()
    series = case.make(units=2)
    if series.joint:
        pytest.skip("two units together are another distribution")
    blocks = [
        np.array(column)[:4].reshape(1, 2, -1) for column in case.rows.values()
    ]
    stacked = np.concatenate(blocks, axis=-1).astype("float32")
    for method in ("mean", "variance", "mode"):
        np.testing.assert_allclose(
            np.ravel(getattr(series, method)(stacked)),
            np.ravel(getattr(rows, method)(y_pred)),
            rtol=1e-5,
        )
    y = np.ravel(rows.quantile(y_pred, 0.7))
    assert series.quantile(stacked, (0.7, 0.9)).shape == (2, 1, 2, 2)
    np.testing.assert_allclose(
        np.ravel(series.quantile(stacked, 0.7)), y, rtol=1e-5, atol=1e-6
    )
    for method in ("log_prob", "cdf"):
        np.testing.assert_allclose(
            np.ravel(getattr(series, method)(y.reshape(1, 2, 2), stacked)),
            np.ravel(getattr(rows, method)(y.reshape(4, 1), y_pred)),
            rtol=1e-5,
        )


def test_support_may_end_above():
    class Negative(families.WeibullHead):
        support = (-np.inf, 0.0)

    assert Negative().possible_target < 0.0


RAW = [-1e28, -200.0, -1.0, 0.0, 25.0, 200.0, 1e28]


@pytest.mark.parametrize("raw", RAW)
@pytest.mark.parametrize(
    "link", [links.positive, links.dispersion, links.degrees_of_freedom]
)
def test_links_are_finite_and_valid(link, raw):
    value = float(link(np.float32(raw)))
    assert np.isfinite(value)
    assert value > (2.0 if link is links.degrees_of_freedom else 0.0)


@pytest.mark.parametrize("raw", RAW)
def test_rates_and_fractions_neither_overflow_nor_vanish(raw):
    assert np.exp(np.float32(links.log_rate(np.float32(raw)))) < np.inf
    logit = float(links.logit(np.float32(raw)))
    assert np.isfinite(logit)
    assert np.sign(logit) == np.sign(raw)
