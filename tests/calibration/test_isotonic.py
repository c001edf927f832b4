"""Isotonic and histogram maps against scikit-learn and by hand."""

import checks
import numpy as np
import pytest
from recalibrators import draw
from recalibrators import probabilities
from sklearn.isotonic import IsotonicRegression

from keras_seqtools.calibration import HistogramBinning
from keras_seqtools.calibration import IsotonicCalibration


def test_isotonic_is_published(published):
    inputs, value, rtol = published("isotonic_weighted_ties")
    scaling = IsotonicCalibration().fit(inputs["y"], inputs["p"])
    found = scaling.transform(np.arange(6) / 5)
    np.testing.assert_allclose(found, value, rtol=rtol)


@pytest.mark.parametrize("size", [1, 2, 10, 1000])
@pytest.mark.parametrize("decimals", [1, 16])
def test_isotonic_equals_scikit_learn(size, decimals):
    rng = checks.rng(size)
    p = np.round(rng.random(size), decimals)
    y, weight = (rng.random(size) < p).astype(int), 0.1 + rng.random(size)
    scaling = IsotonicCalibration().fit(y, p, sample_weight=weight)
    peer = IsotonicRegression(out_of_bounds="clip")
    peer.fit(p, y, sample_weight=weight)
    for x in (p, rng.random(500), np.array([0.0, 1.0])):
        np.testing.assert_allclose(
            scaling.transform(x), peer.predict(x), rtol=0.0, atol=1e-9
        )


def test_isotonic_keeps_no_more_than_the_ends_of_its_levels():
    y, logits = draw(1, (5000,))
    scaling = IsotonicCalibration().fit(y, probabilities(logits))
    levels = len(np.unique(scaling.values_))
    assert len(scaling.knots_) <= 2 * levels
    assert levels < 200


def test_isotonic_of_one_score():
    scaling = IsotonicCalibration().fit([0, 1, 1, 1], [0.3] * 4)
    np.testing.assert_allclose(scaling.transform([0.0, 0.3, 1.0]), 0.75)


def test_isotonic_of_logits_is_that_of_their_probabilities():
    y, logits = draw(1, (200,))
    p = probabilities(logits.astype("float64"))
    by_logits = IsotonicCalibration().fit(y, logits, from_logits=True)
    np.testing.assert_allclose(
        by_logits.transform(logits),
        IsotonicCalibration().fit(y, p).transform(p),
        atol=1e-9,
    )


def histogram_by_hand(y, p, num_bins, weight):
    bins = [[] for _ in range(num_bins)]
    for label, score, w in zip(y, p, weight, strict=True):
        place = min(int(score * num_bins), num_bins - 1)
        bins[place].append((label, w))
    return [
        sum(label * w for label, w in items) / sum(w for _, w in items)
        if items
        else (place + 0.5) / num_bins
        for place, items in enumerate(bins)
    ]


@pytest.mark.parametrize("num_bins", [1, 4, 15, 100])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_histogram_by_hand(num_bins, dtype):
    """Of scores on the edges too, in the precision that they have."""
    rng = checks.rng(2)
    p = np.append(np.arange(101) / 100, rng.random(50)).astype(dtype)
    y, weight = (rng.random(len(p)) < p).astype(int), rng.random(len(p))
    scaling = HistogramBinning(num_bins).fit(y, p, sample_weight=weight)
    expected = histogram_by_hand(y, p, num_bins, weight)
    np.testing.assert_allclose(scaling.values_, expected, rtol=1e-12)
    places = [min(int(score * num_bins), num_bins - 1) for score in p]
    np.testing.assert_array_equal(scaling.transform(p), scaling.values_[places])


def test_bins_of_equal_mass():
    rng = checks.rng(3)
    p = rng.random(1000) ** 3
    y = (rng.random(1000) < p).astype(int)
    scaling = HistogramBinning(10, "quantile").fit(y, p)
    mapped = scaling.transform(p)
    order = np.argsort(p)
    for items in np.array_split(order, 10):
        np.testing.assert_allclose(mapped[items], y[items].mean(), rtol=1e-12)


def test_bins_of_equal_mass_with_ties():
    p = np.array([0.2] * 50 + [0.4] * 3 + [0.9] * 47)
    y = np.arange(100) % 2
    mapped = HistogramBinning(10, "quantile").fit(y, p).transform(p)
    assert len(np.unique(mapped)) <= 3
    for score in (0.2, 0.4, 0.9):
        assert len(np.unique(mapped[p == score])) == 1


@pytest.mark.parametrize("num_bins", [0, -1, 2.5, None, True])
def test_refuses_a_number_of_bins_that_is_none(num_bins):
    with pytest.raises(ValueError, match="`num_bins`"):
        HistogramBinning(num_bins)


def test_refuses_a_binning_it_does_not_know():
    with pytest.raises(ValueError, match="`binning`"):
        HistogramBinning(binning="equal")
