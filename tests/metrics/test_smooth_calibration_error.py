"""Smooth calibration error, against an integral of its definition."""

import checks
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm

from keras_seqtools.metrics import expected_calibration_error
from keras_seqtools.metrics import smooth_calibration_error


def smooth_by_hand(y, p, weight, bandwidth):
    """The mean absolute smoothed error: no grid of errors, no transform."""
    t = (np.arange(20_000) + 0.5) / 20_000
    smoothed = np.zeros(len(t))
    for yi, pi, wi in zip(y, p, weight, strict=True):
        for center in (2 * np.arange(-3, 4)[:, None] + [pi, -pi]).ravel():
            smoothed += wi * (yi - pi) * norm.pdf(t, center, bandwidth)
    return np.abs(smoothed).mean() / weight.sum()


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("edges", [False, True])
def test_equals_the_definition(power, edges):
    p = checks.rng(1).random(40)
    y = checks.rng(2).random(40) < p**power
    weight = checks.rng(3).random(40)
    if edges:
        p[:10] = np.repeat([0.0, 1.0], 5)
    expected = brentq(
        lambda s: smooth_by_hand(y, p, weight, s) - s, 0.005, 1.0, xtol=1e-5
    )
    value = smooth_calibration_error(y, p, sample_weight=weight)
    np.testing.assert_allclose(value, expected, rtol=2e-4)


@pytest.mark.parametrize("gap", [0.01, 0.2, 0.6])
def test_a_constant_gap_is_the_error(gap):
    p = np.linspace(0.0, 0.99 - gap, 101)
    y = np.stack([np.zeros(101), np.ones(101)])
    weight = np.stack([1.0 - p - gap, p + gap])
    value = smooth_calibration_error(
        y.ravel(), np.tile(p, 2), sample_weight=weight.ravel()
    )
    np.testing.assert_allclose(value, gap, rtol=1e-6)


def test_perfect_forecasts():
    assert smooth_calibration_error([0, 1, 1], [0.0, 1.0, 1.0]) < 1e-12
    assert smooth_calibration_error([1, 0, 0], [0.0, 1.0, 1.0]) > 0.3


def test_modes_masks_and_nothing():
    p = checks.rng(1).dirichlet(np.ones(3), (20, 4))
    y = checks.rng(2).integers(0, 3, (20, 4))
    mask = checks.rng(3).random((20, 4)) < 0.6
    q, labels = p[mask], y[mask]
    top = smooth_calibration_error(labels == q.argmax(-1), q.max(-1))
    each = [smooth_calibration_error(labels == k, q[:, k]) for k in range(3)]
    p[~mask], y[~mask] = np.nan, -1
    np.testing.assert_allclose(
        smooth_calibration_error(y, p, mask=mask), top, rtol=1e-8
    )
    np.testing.assert_allclose(
        smooth_calibration_error(y, p, mask=mask, mode="classwise"),
        np.mean(each),
        rtol=1e-8,
    )
    assert np.isnan(smooth_calibration_error(y, p, mask=np.zeros((20, 4))))
    assert np.isnan(smooth_calibration_error([], []))


def test_logits():
    z = 2 * checks.rng(1).normal(size=50)
    y = checks.rng(2).integers(0, 2, 50)
    np.testing.assert_allclose(
        smooth_calibration_error(y, z, from_logits=True),
        smooth_calibration_error(y, expit(z)),
        rtol=1e-8,
    )


def test_a_small_move_changes_little_where_bins_jump():
    y = np.repeat([0, 1], 50)
    p = np.where(y, 0.5 + 1e-6, 0.5 - 1e-6)
    np.testing.assert_allclose(
        expected_calibration_error(y, p, num_bins=2), 0.5, rtol=1e-5
    )
    assert smooth_calibration_error(y, np.full(100, 0.5)) < 1e-8
    assert smooth_calibration_error(y, p) < 2e-3
