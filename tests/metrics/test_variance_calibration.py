"""ENCE against a loop over the bins."""

import checks
import numpy as np
import pytest

from keras_seqtools.metrics import expected_normalized_calibration_error as ence


def make(n=200):
    mean, z = checks.rng(1).normal(size=(2, n))
    stddev = 0.2 + checks.rng(2).random(n)
    return mean + 1.3 * stddev * z, mean, stddev


def by_hand(y, mean, stddev, num_bins, weight):
    edges = np.linspace(stddev.min(), stddev.max(), num_bins + 1)
    errors = []
    for b in range(num_bins):
        last = b == num_bins - 1
        inside = (stddev >= edges[b]) & ((stddev < edges[b + 1]) | last)
        if weight[inside].sum():
            w = weight[inside]
            rmse = np.sqrt(np.average((y - mean)[inside] ** 2, weights=w))
            rmv = np.sqrt(np.average(stddev[inside] ** 2, weights=w))
            errors.append(abs(rmse - rmv) / rmv)
    return np.mean(errors)


@pytest.mark.parametrize("num_bins", [1, 10, 500])
def test_equals_a_loop_over_the_bins(num_bins):
    y, mean, stddev = make()
    weight = checks.rng(3).random(200)
    np.testing.assert_allclose(
        ence(y, mean, stddev, num_bins=num_bins, sample_weight=weight),
        by_hand(y, mean, stddev, num_bins, weight),
        rtol=1e-12,
    )


def test_one_standard_deviation_for_all():
    y, mean, _ = make()
    rmse = np.sqrt(np.mean((y - mean) ** 2))
    expected = abs(rmse - 0.7) / 0.7
    np.testing.assert_allclose(ence(y, mean, np.full(200, 0.7)), expected)


def test_a_mask_and_a_weight_of_0_drop_items_that_hold_garbage():
    y, mean, stddev = make()
    mask = checks.rng(3).random(200) < 0.5
    expected = ence(y[mask], mean[mask], stddev[mask])
    y[~mask], stddev[~mask] = np.nan, -1.0
    assert ence(y, mean, stddev, mask=mask) == expected
    assert ence(y, mean, stddev, sample_weight=mask * 1.0) == expected


def test_nothing_and_refusals():
    assert np.isnan(ence([], [], []))
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match=r"`stddev`.*Received: stddev="):
            ence([1.0], [1.0], [bad])
    with pytest.raises(ValueError, match=r"`mean`.*no NaN"):
        ence([1.0], [np.nan], [1.0])
    with pytest.raises(ValueError, match="same shape"):
        ence([1.0], [1.0], [[1.0]])
