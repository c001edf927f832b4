"""Probability integral transforms, their histogram and their quantiles."""

import checks
import families
import numpy as np
import pytest
from scipy import stats

from keras_seqtools import heads
from keras_seqtools.metrics import pit
from keras_seqtools.metrics import pit_histogram
from keras_seqtools.metrics import quantile_calibration


def make_counts(shape=(200,)):
    """Rates, counts, and P(Y < y) and P(Y <= y) of them."""
    rate = np.exp(checks.rng(1).normal(size=shape))
    y = checks.rng(2).poisson(1.3 * rate)
    return rate, y, stats.poisson.cdf(y - 1, rate), stats.poisson.cdf(y, rate)


def reached(below, at_most, weight, u):
    """Equation 2 of Czado et al. (2009), one item after the other."""
    share = 0.0
    for a, b, w in zip(below, at_most, weight, strict=True):
        share += w * (0.0 if u <= a else 1.0 if u >= b else (u - a) / (b - a))
    return share / sum(weight)


@families.EVERY_LAW
def test_transforms_are_the_cdf(case):
    head, y_pred = case.make(), case.emitted().astype("float64")
    law = case.law(y_pred)
    y = law.ppf(np.full((len(y_pred), 1), 0.3))
    lowest, highest = head.support
    # TensorFlow takes the smallest of numbers for 0.
    rows = ((y > lowest + 1e-300) & (y < highest)).all(-1) | head.discrete
    expected = law.cdf(y)
    if head.discrete:
        expected = (expected + law.cdf(y - 1.0)) / 2.0
    found = pit(y[rows], y_pred[rows], head)
    np.testing.assert_allclose(found, expected[rows], atol=1e-9)


def test_shapes_and_what_cannot_be():
    head, y_pred = heads.PoissonHead(), np.zeros((4, 1), "float32")
    values = pit([0.0, 2.5, np.nan, -1.0], y_pred, head)
    np.testing.assert_array_equal(np.isnan(values), [False, True, True, True])
    assert values.dtype == "float64"
    np.testing.assert_allclose(values[0], np.exp(-1.0) / 2.0)
    assert pit(np.zeros((4, 1)), y_pred, head).shape == (4, 1)


def test_histogram_of_jumps_is_that_of_numpy():
    values = checks.rng().beta(2.0, 1.0, 500)
    weight = checks.rng(1).random(500)
    heights, _ = np.histogram(values, 7, (0, 1), weights=weight, density=True)
    np.testing.assert_allclose(
        pit_histogram(values, num_bins=7, sample_weight=weight), heights
    )


def test_bins_hold_their_left_edge_and_the_last_one_both():
    tenths = np.arange(11) / 10
    heights = pit_histogram(tenths)
    np.testing.assert_allclose(heights, np.array([1] * 9 + [2]) * 10 / 11)
    np.testing.assert_allclose(pit_histogram([0.2, 1.0], num_bins=1), [1.0])


def test_histogram_of_counts_is_that_of_czado_et_al():
    _, _, below, at_most = make_counts()
    weight = checks.rng(3).random(200)
    edges = [reached(below, at_most, weight, j / 10) for j in range(11)]
    heights = pit_histogram(at_most, below, sample_weight=weight)
    np.testing.assert_allclose(heights, 10 * np.diff(edges), rtol=1e-9)
    np.testing.assert_allclose(heights.mean(), 1.0)


def test_histogram_of_counts_is_what_randomising_averages_to():
    _, _, below, at_most = make_counts()
    uniform = checks.rng(4).random((4000, 200))
    values = below + uniform * (at_most - below)
    heights, _ = np.histogram(values, 10, (0, 1), density=True)
    np.testing.assert_allclose(
        pit_histogram(at_most, below), heights, atol=0.02
    )


def test_true_counts_are_uniform():
    rate = np.exp(checks.rng(1).normal(size=40_000))
    y = checks.rng(2).poisson(rate)
    heights = pit_histogram(
        stats.poisson.cdf(y, rate), stats.poisson.cdf(y - 1, rate)
    )
    assert np.abs(heights - 1.0).max() < 5 * np.sqrt(9 / 40_000)


def test_quantiles_that_hold_are_counted():
    loc, y = checks.rng(1).normal(size=(2, 300))
    levels = (0.05, 0.5, 0.8)
    cdf = stats.norm.cdf(y, loc)
    expected = [(y <= stats.norm.ppf(q, loc)).mean() for q in levels]
    np.testing.assert_allclose(
        quantile_calibration(cdf, levels=levels), expected
    )
    assert quantile_calibration([0.5, 0.7], levels=0.5) == [0.5]  # at the level


def test_quantiles_of_counts():
    _, _, below, at_most = make_counts()
    expected = [reached(below, at_most, np.ones(200), q) for q in (0.1, 0.9)]
    np.testing.assert_allclose(
        quantile_calibration(at_most, below, levels=(0.1, 0.9)), expected
    )


both = pytest.mark.parametrize(
    "function",
    [
        lambda *args, **kwargs: pit_histogram(*args, num_bins=4, **kwargs),
        lambda *args, **kwargs: quantile_calibration(
            *args, levels=(0.25, 0.5, 0.9), **kwargs
        ),
    ],
    ids=["histogram", "quantiles"],
)


@both
def test_masks_weights_and_order(function):
    _, _, below, at_most = make_counts((6, 6))
    mask = checks.rng(5).random((6, 6)) < 0.5
    expected = function(at_most[mask], below[mask])
    dirty = np.where(mask, at_most, np.nan), np.where(mask, below, 7.0)
    np.testing.assert_allclose(function(*dirty, mask=mask), expected)
    np.testing.assert_allclose(
        function(*dirty, sample_weight=mask * 2.0), expected
    )
    rows = np.array([1, 0, 2, 1, 1, 0])
    twice = function(np.repeat(at_most, rows, 0), np.repeat(below, rows, 0))
    np.testing.assert_allclose(
        function(at_most, below, sample_weight=rows), twice
    )
    order = checks.rng(6).permutation(6)
    np.testing.assert_allclose(
        function(at_most[order], below[order]), function(at_most, below)
    )


@both
def test_nothing_and_what_is_no_probability(function):
    assert np.isnan(function([])).all()
    assert np.isnan(function([0.3], mask=[False])).all()
    for bad in (np.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match=r"`cdf`.*Received: cdf="):
            function([0.3, bad])
    with pytest.raises(ValueError, match=r"`cdf_below`.*at most `cdf`"):
        function([0.3], [0.4])
    with pytest.raises(ValueError, match=r"same shape.*Received: "):
        function([0.3], [[0.2]])
    with pytest.raises(ValueError, match=r"`mask`.*Received: mask"):
        function([0.3, 0.2], mask=[True])


def test_refuses_bad_arguments():
    with pytest.raises(ValueError, match=r"`num_bins`.*Received: num_bins=0"):
        pit_histogram([0.3], num_bins=0)
    for levels in (1.0, (), (0.5, np.nan)):
        with pytest.raises(ValueError, match=r"`levels`.*Received: levels="):
            quantile_calibration([0.3], levels=levels)
