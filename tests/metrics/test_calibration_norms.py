"""Norms, bins of equal mass, debiasing and thresholds, against plain loops."""

from fractions import Fraction

import checks
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve

from keras_seqtools import metrics

NORMS = ("l1", "l2", "max", "average")


def make_data(size=300, classes=4, seed=1):
    logits = 2 * checks.rng(seed).normal(size=(size, classes))
    return checks.rng(seed + 1).integers(0, classes, size), softmax(logits, -1)


def uniform_bins(p, num_bins):
    return [min(int(x * num_bins), num_bins - 1) for x in p]


def split_bins(p, num_bins):
    """What `np.array_split` makes of the items in order."""
    bins = np.empty(len(p), int)
    for b, items in enumerate(np.array_split(np.argsort(p), num_bins)):
        bins[items] = b
    return bins


def error_by_hand(hits, p, bins, norm="l1", debias=False):
    """Of one class: one bin after the other, each a list of its items."""
    gaps, sizes = [], []
    for b in sorted(set(bins)):
        items = [i for i in range(len(p)) if bins[i] == b]
        frequency = sum(float(hits[i]) for i in items) / len(items)
        gap = abs(sum(float(p[i]) for i in items) / len(items) - frequency)
        if norm == "l2":
            gap = gap**2
        if debias:
            chance = frequency * (1 - frequency)
            gap = gap - chance / (len(items) - 1) if len(items) > 1 else 0.0
        gaps.append(gap)
        sizes.append(len(items))
    if norm == "max":
        return max(gaps)
    if norm == "average":
        return sum(gaps) / len(gaps)
    error = sum(g * n for g, n in zip(gaps, sizes, strict=True)) / sum(sizes)
    return max(error, 0.0) ** 0.5 if norm == "l2" else error


def columns(y, p, mode):
    if mode == "top_label":
        return [(y == p.argmax(-1), p.max(-1))]
    return [(y == k, p[:, k]) for k in range(p.shape[-1])]


def over_classes(errors, norm):
    if norm == "max":
        return max(errors)
    return (
        np.mean(np.square(errors)) ** 0.5 if norm == "l2" else np.mean(errors)
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("mode", ["top_label", "classwise"])
@pytest.mark.parametrize(
    ("binning", "bins"), [("uniform", uniform_bins), ("quantile", split_bins)]
)
@pytest.mark.parametrize("num_bins", [1, 7, 200])
def test_equals_a_loop_over_the_bins(norm, mode, binning, bins, num_bins):
    y, p = make_data()
    expected = over_classes(
        [
            error_by_hand(hits, q, bins(q, num_bins), norm)
            for hits, q in columns(y, p, mode)
        ],
        norm,
    )
    error = metrics.calibration_error(
        y, p, norm=norm, mode=mode, binning=binning, num_bins=num_bins
    )
    np.testing.assert_allclose(error, expected, rtol=1e-12)


@pytest.mark.parametrize("mode", ["top_label", "classwise"])
@pytest.mark.parametrize(
    ("binning", "bins"), [("uniform", uniform_bins), ("quantile", split_bins)]
)
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_debiased_as_defined(mode, binning, bins, scale):
    y, p = make_data(size=60)
    y = np.where(checks.rng(5).random(60) < scale, p.argmax(-1), y)
    expected = over_classes(
        [
            error_by_hand(hits, q, bins(q, 9), "l2", debias=True)
            for hits, q in columns(y, p, mode)
        ],
        "l2",
    )
    error = metrics.calibration_error(
        y, p, norm="l2", debias=True, mode=mode, binning=binning, num_bins=9
    )
    np.testing.assert_allclose(error, expected, rtol=1e-12)


def test_debiasing_takes_the_error_of_a_calibrated_model_to_0():
    squares, biased = [], []
    for seed in range(200):
        p = checks.rng(seed).random(100)
        y = checks.rng(seed + 1000).random(100) < p
        curve = metrics.reliability_curve(y, p, num_bins=5)
        chance = curve.frequency * (1 - curve.frequency) / (curve.count - 1)
        gap = (curve.mean_prob - curve.frequency) ** 2
        squares.append(((gap - chance) * curve.count).sum() / 100)
        biased.append(metrics.rms_calibration_error(y, p, num_bins=5) ** 2)
        np.testing.assert_allclose(
            metrics.rms_calibration_error(y, p, num_bins=5, debias=True),
            max(squares[-1], 0.0) ** 0.5,
            rtol=1e-10,
            atol=1e-12,
        )
    error = np.std(squares) / 200**0.5
    assert abs(np.mean(squares)) < 3 * error
    assert np.mean(biased) > 10 * error


def edges_by_hand(p, weight, num_bins):
    """The first item that reaches beyond each share of the mass."""
    total = sum(map(Fraction, weight))
    share, rest = total / num_bins, 0
    if all(Fraction(w).denominator == 1 for w in weight):
        share, rest = divmod(total, num_bins)
    edges, order = [], np.argsort(p)
    for b in range(num_bins):
        reached, items = Fraction(0), iter(order)
        while reached <= b * share + min(b, rest):
            item = next(items)
            reached += Fraction(weight[item])
        edges.append(p[item])
    return [*edges, p.max()]


@pytest.mark.parametrize("weight", [1.0, 2.0, 0.25, [0.25, 1.5], [1.0, 3.0]])
@pytest.mark.parametrize("decimals", [1, 8])
@pytest.mark.parametrize("num_bins", [4, 15])
def test_bins_of_equal_mass_are_cut_by_weight(weight, decimals, num_bins):
    p = checks.rng(1).random(60).round(decimals)
    weight = np.resize(weight, 60)
    curve = metrics.reliability_curve(
        p > 0.5, p, num_bins=num_bins, binning="quantile", sample_weight=weight
    )
    np.testing.assert_array_equal(
        curve.edges, edges_by_hand(p, weight, num_bins)
    )


def test_bins_of_equal_mass_as_scikit_learn_has_them():
    p = checks.rng(1).random(401)
    y = checks.rng(2).random(401) < p**2
    frequency, mean = calibration_curve(y, p, n_bins=8, strategy="quantile")
    curve = metrics.reliability_curve(y, p, num_bins=8, binning="quantile")
    np.testing.assert_allclose(curve.mean_prob, mean, rtol=1e-12)
    np.testing.assert_allclose(curve.frequency, frequency, rtol=1e-12)
    expected = np.average(np.abs(frequency - mean), weights=curve.count)
    np.testing.assert_allclose(
        metrics.adaptive_calibration_error(y, p, num_bins=8),
        expected,
        rtol=1e-12,
    )


@pytest.mark.parametrize("num_bins", [4, 15, 300])
def test_ties_stay_together_in_any_order(num_bins):
    p = checks.rng(1).integers(0, 6, 200) / 5.0
    y = checks.rng(2).integers(0, 2, 200)
    curve = metrics.reliability_curve(
        y, p, num_bins=num_bins, binning="quantile"
    )
    assert np.isnan(curve.frequency[curve.count == 0.0]).all()
    assert np.count_nonzero(curve.count) <= 6
    error = metrics.adaptive_calibration_error(y, p, num_bins=num_bins)
    for seed in range(5):
        order = checks.rng(seed).permutation(200)
        again = metrics.adaptive_calibration_error(
            y[order], p[order], num_bins=num_bins
        )
        np.testing.assert_allclose(again, error, rtol=1e-12)
    if num_bins > 15:  # a bin for every value
        by_value = error_by_hand(y, p, list(p))
        np.testing.assert_allclose(error, by_value, rtol=1e-12)


def test_many_bins_find_the_same_bins_as_few():
    p = checks.rng(1).random(2000)
    y = checks.rng(2).integers(0, 2, 2000)
    for num_bins in (254, 255, 256, 700):
        np.testing.assert_allclose(
            metrics.adaptive_calibration_error(y, p, num_bins=num_bins),
            error_by_hand(y, p, split_bins(p, num_bins)),
            rtol=1e-12,
        )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("binning", ["uniform", "quantile"])
@pytest.mark.parametrize("debias", [False, True])
def test_a_weight_of_2_is_a_row_twice(norm, binning, debias):
    if debias and norm != "l2":
        return
    y, p = make_data(size=90)
    p = np.round(p, 1)
    p /= p.sum(-1, keepdims=True)
    weight = checks.rng(3).integers(0, 3, 90)
    kwargs = {"norm": norm, "binning": binning, "debias": debias}
    for mode in ("top_label", "classwise"):
        np.testing.assert_allclose(
            metrics.calibration_error(
                y, p, sample_weight=weight, mode=mode, **kwargs
            ),
            metrics.calibration_error(
                np.repeat(y, weight),
                np.repeat(p, weight, 0),
                mode=mode,
                **kwargs,
            ),
            rtol=1e-12,
        )


def test_weights_that_count_no_rows_divide_the_mass():
    p, y = np.arange(1, 9) / 10, np.array([0, 1, 0, 1, 1, 0, 1, 1])
    weight = np.array([3, 1, 1, 1, 1, 1, 1, 3]) / 7.3
    curve = metrics.reliability_curve(
        y, p, num_bins=4, binning="quantile", sample_weight=weight
    )
    np.testing.assert_allclose(curve.count, np.array([3, 3, 3, 3]) / 7.3)


def test_only_probabilities_above_the_threshold_count():
    y, p = make_data(size=200, classes=6)
    for threshold in (0.01, 0.2, 0.9):
        for binning, bins in (
            ("uniform", uniform_bins),
            ("quantile", split_bins),
        ):
            kept = [
                (hits[q > threshold], q[q > threshold])
                for hits, q in columns(y, p, "classwise")
            ]
            expected = np.mean(
                [error_by_hand(h, q, bins(q, 5)) for h, q in kept if len(q)]
            )
            error = metrics.classwise_calibration_error(
                y, p, num_bins=5, binning=binning, threshold=threshold
            )
            np.testing.assert_allclose(error, expected, rtol=1e-12)


def test_a_class_without_probabilities_above_the_threshold_is_left_out():
    p = np.array([[0.9, 0.1], [0.8, 0.2]])
    for binning in ("uniform", "quantile"):
        error = metrics.classwise_calibration_error(
            [0, 0], p, binning=binning, threshold=0.5, num_bins=1
        )
        np.testing.assert_allclose(error, 0.15, rtol=1e-12)
        assert np.isnan(
            metrics.classwise_calibration_error(
                [0, 0], p, binning=binning, threshold=0.95
            )
        )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("binning", ["uniform", "quantile"])
def test_masked_rows_may_hold_garbage(norm, binning):
    y, p = make_data()
    mask = checks.rng(3).random(len(y)) < 0.5
    kwargs = {"norm": norm, "binning": binning}
    expected = metrics.calibration_error(y[mask], p[mask], **kwargs)
    y[~mask], p[~mask] = -1, np.nan
    masked = metrics.calibration_error(y, p, mask=mask, **kwargs)
    np.testing.assert_allclose(masked, expected, rtol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("binning", ["uniform", "quantile"])
def test_nothing_and_certainty(norm, binning):
    kwargs = {"norm": norm, "binning": binning}
    assert np.isnan(metrics.calibration_error([], [], **kwargs))
    nothing = np.zeros((0, 4, 3))
    assert np.isnan(
        metrics.calibration_error(np.zeros((0, 4)), nothing, **kwargs)
    )
    assert metrics.calibration_error([0, 1], [0.0, 1.0], **kwargs) == 0.0
    assert metrics.calibration_error([1, 0], [0.0, 1.0], **kwargs) == 1.0
    assert metrics.calibration_error([1], [0.25], **kwargs) == 0.75


def test_the_named_forms():
    y, p = make_data()
    error = metrics.calibration_error
    for named, kwargs in (
        (metrics.expected_calibration_error, {}),
        (metrics.maximum_calibration_error, {"norm": "max"}),
        (metrics.rms_calibration_error, {"norm": "l2"}),
        (metrics.adaptive_calibration_error, {"binning": "quantile"}),
    ):
        for mode in ("top_label", "classwise"):
            assert named(y, p, num_bins=9, mode=mode) == error(
                y, p, num_bins=9, mode=mode, **kwargs
            )
    assert metrics.classwise_calibration_error(
        y, p, num_bins=9, binning="quantile"
    ) == error(y, p, num_bins=9, mode="classwise", binning="quantile")


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("norm", {"norm": "l3"}),
        ("binning", {"binning": "adaptive"}),
        ("debias", {"debias": True}),
        ("threshold", {"threshold": 0.1}),
        ("threshold", {"threshold": 1.0, "mode": "classwise"}),
        ("threshold", {"threshold": np.nan, "mode": "classwise"}),
    ],
)
def test_refuses_bad_arguments(name, kwargs):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        metrics.calibration_error(*make_data(), **kwargs)


def test_weights_that_make_up_a_row_have_no_variance_to_take_off():
    y, p = checks.rng().integers(0, 2, 50), checks.rng(1).random(50)
    weight = np.full(50, 1 / 50)
    error = metrics.rms_calibration_error(
        y, p, debias=True, sample_weight=weight
    )
    assert np.isnan(error)
