"""Observed and expected counts, against SciPy."""

import checks
import families
import numpy as np
import pytest
from scipy import stats

from keras_seqtools import heads
from keras_seqtools.metrics import count_calibration


def make(shape=(300,)):
    log_rate = checks.rng(1).normal(size=(*shape, 1))
    y = checks.rng(2).poisson(1.5 * np.exp(log_rate[..., 0]))
    return y, log_rate


def by_hand(y, rate, weight, max_count):
    law = stats.poisson(rate)
    return {
        "frequency": [
            np.average(y == k, weights=weight) for k in range(max_count + 1)
        ],
        "probability": [
            np.average(law.pmf(k), weights=weight) for k in range(max_count + 1)
        ],
        "dispersion": np.average((y - rate) ** 2 / rate, weights=weight),
    }


def check(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-8)


@pytest.mark.parametrize("max_count", [1, 20])
def test_equals_means_by_scipy(max_count):
    y, log_rate = make()
    weight = checks.rng(3).random(300)
    found = count_calibration(
        y,
        log_rate,
        heads.PoissonHead(),
        max_count=max_count,
        sample_weight=weight,
    )
    check(found, by_hand(y, np.exp(log_rate[:, 0]), weight, max_count))
    assert found["frequency"].shape == (max_count + 1,)


@families.by_name(
    [
        c
        for c in families.CASES
        if c.name.endswith(("PoissonHead", "BinomialHead"))
    ]
)
def test_every_family_of_counts(case):
    y_pred = case.emitted().astype("float64")
    law = case.law(y_pred)
    y = law.ppf(np.full((len(y_pred), 1), 0.7))
    found = count_calibration(y, y_pred, case.make(), max_count=3)
    np.testing.assert_allclose(
        found["probability"],
        [np.exp(law.logpmf(np.full(y.shape, k))).mean() for k in range(4)],
        rtol=1e-7,
    )
    np.testing.assert_allclose(
        found["dispersion"],
        ((y - law.mean()) ** 2 / law.var()).mean(),
        rtol=1e-6,
    )


def test_masks_weights_units_and_garbage():
    log_rate = checks.rng(1).normal(size=(5, 5, 2))
    y = checks.rng(2).poisson(np.exp(log_rate)).astype(float)
    head = heads.PoissonHead(2)
    for mask in (checks.rng(3).random((5, 5)) < 0.5, np.arange(5) % 2 == 0):
        rate = np.exp(log_rate[mask]).ravel()
        kept = y[mask].ravel()
        expected = by_hand(kept, rate, np.ones(kept.size), 20)
        dirty, garbage = y.copy(), log_rate.copy()
        dirty[~mask], garbage[~mask] = -3.5, np.nan
        check(count_calibration(dirty, garbage, head, mask=mask), expected)
        weight = np.where(mask, 2.0, 0.0)
        found = count_calibration(dirty, garbage, head, sample_weight=weight)
        check(found, expected)


def test_nothing_is_nan():
    y, log_rate = make()
    found = count_calibration(
        y, log_rate, heads.PoissonHead(), mask=np.zeros(300, bool)
    )
    assert np.isnan(found["frequency"]).all()
    assert np.isnan(found["probability"]).all()
    assert np.isnan(found["dispersion"])


def test_refusals():
    y, log_rate = make()
    two = np.repeat(log_rate, 2, axis=1)
    for head in (heads.NormalHead(), heads.CategoricalHead(2)):
        with pytest.raises(ValueError, match="integers from 0"):
            count_calibration(y % 2, two, head)
    with pytest.raises(ValueError, match="`max_count`"):
        count_calibration(y, log_rate, heads.PoissonHead(), max_count=0)
    for bad in (-1.0, 0.5, np.nan):
        with pytest.raises(ValueError, match="integers from 0"):
            count_calibration([bad], log_rate[:1], heads.PoissonHead())
