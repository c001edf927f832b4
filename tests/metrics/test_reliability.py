"""Reliability curves, against scikit-learn and SciPy."""

import checks
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression

from keras_seqtools import metrics


def make_binary(size=500):
    p = checks.rng(1).random(size)
    return (checks.rng(2).random(size) < p**2).astype(int), p


@pytest.mark.parametrize(
    ("binning", "strategy"), [("uniform", "uniform"), ("quantile", "quantile")]
)
def test_equals_scikit_learn(binning, strategy):
    y, p = make_binary(501)
    frequency, mean = calibration_curve(y, p, n_bins=10, strategy=strategy)
    curve = metrics.reliability_curve(y, p, num_bins=10, binning=binning)
    np.testing.assert_allclose(curve.frequency, frequency, rtol=1e-12)
    np.testing.assert_allclose(curve.mean_prob, mean, rtol=1e-12)
    count = np.histogram(p, curve.edges)[0]
    np.testing.assert_array_equal(curve.count, count)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_bands_are_wilson_intervals(level):
    y, p = make_binary(60)
    y[p > 0.9], y[p < 0.1] = 1, 0
    curve = metrics.reliability_curve(y, p, num_bins=10, level=level)
    for b in range(10):
        count = int(curve.count[b])
        hits = round(curve.frequency[b] * count)
        interval = binomtest(hits, count).proportion_ci(level, "wilson")
        np.testing.assert_allclose(
            (curve.lower[b], curve.upper[b]), interval, rtol=1e-9, atol=1e-12
        )


def test_empty_bins_have_no_values():
    curve = metrics.reliability_curve([1, 0], [0.1, 0.95], num_bins=4)
    np.testing.assert_array_equal(curve.count, [1, 0, 0, 1])
    for name in ("mean_prob", "frequency", "lower", "upper"):
        values = getattr(curve, name)
        np.testing.assert_array_equal(np.isnan(values), curve.count == 0.0)


def test_every_class_has_a_curve():
    p = checks.rng(1).dirichlet(np.ones(3), 200)
    y = checks.rng(2).integers(0, 3, 200)
    for binning in ("uniform", "quantile"):
        kwargs = {"binning": binning, "num_bins": 6}
        curves = metrics.reliability_curve(y, p, mode="classwise", **kwargs)
        assert curves.edges.shape == (3, 7)
        for k in range(3):
            curve = metrics.reliability_curve(y == k, p[:, k], **kwargs)
            for name in vars(curve):
                np.testing.assert_allclose(
                    getattr(curves, name)[k], getattr(curve, name), rtol=1e-12
                )


def test_nothing():
    for binning in ("uniform", "quantile"):
        curve = metrics.reliability_curve([], [], num_bins=3, binning=binning)
        np.testing.assert_array_equal(curve.count, np.zeros(3))
        assert np.isnan(curve.frequency).all()
    x, frequency = metrics.corp_curve([], [])
    assert x.shape == frequency.shape == (0,)


def test_corp_equals_an_isotonic_regression():
    y, p = make_binary()
    p = np.round(p, 2)
    weight = checks.rng(3).random(500)
    mask = checks.rng(4).random(500) < 0.6
    x, frequency = metrics.corp_curve(
        y, np.where(mask, p, np.nan), mask=mask, sample_weight=weight
    )
    peer = IsotonicRegression().fit(p[mask], y[mask], weight[mask])
    np.testing.assert_array_equal(x, np.unique(p[mask]))
    np.testing.assert_allclose(frequency, peer.predict(x), atol=1e-12)


def test_corp_of_the_top_label():
    p = checks.rng(1).dirichlet(np.ones(3), 200)
    y = checks.rng(2).integers(0, 3, 200)
    expected = metrics.corp_curve(y == p.argmax(-1), p.max(-1))
    np.testing.assert_array_equal(metrics.corp_curve(y, p), expected)


@pytest.mark.parametrize(
    ("call", "name", "value"),
    [
        (metrics.corp_curve, "mode", "classwise"),
        (metrics.reliability_curve, "level", 1.0),
        (metrics.reliability_curve, "level", (0.5, 0.9)),
        (metrics.reliability_curve, "num_bins", 0),
        (metrics.reliability_curve, "binning", "equal"),
    ],
)
def test_refuses_bad_arguments(call, name, value):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        call([0, 1], np.full((2, 2), 0.5), **{name: value})
