"""What all metrics of arrays refuse, before they compute anything."""

import checks
import keras
import numpy as np
import pytest
from scipy.special import softmax

import keras_seqtools as kst
from keras_seqtools import metrics

OF_CLASSES = [
    metrics.calibration_error,
    lambda y, p, **kwargs: metrics.calibration_error(
        y, p, mode="auto" if p.shape[-1] == 1 else "classwise", **kwargs
    ),
    metrics.adaptive_calibration_error,
    metrics.smooth_calibration_error,
    metrics.brier_score,
    metrics.log_loss,
    lambda *args, **kwargs: metrics.brier_decomposition(*args, **kwargs).score,
    lambda *args, **kwargs: metrics.reliability_curve(*args, **kwargs).count,
    lambda *args, **kwargs: metrics.corp_curve(*args, **kwargs)[1],
]
of_classes = pytest.mark.parametrize("function", OF_CLASSES)


@of_classes
def test_sigmoids_of_several_labels(function):
    y = np.eye(3)[checks.rng(1).integers(0, 3, 30)]
    p = checks.rng(2).random((30, 3))
    with pytest.raises(ValueError, match=r"add up to 1.*`y_prob\[..., None\]`"):
        function(y, p)
    np.testing.assert_allclose(
        function(y, p[..., None]), function(y.ravel(), p.ravel()[:, None])
    )


@of_classes
def test_what_does_not_count_need_not_add_up(function):
    y = checks.rng(1).integers(0, 3, 30)
    p = softmax(checks.rng(2).normal(size=(30, 3)), axis=-1)
    counts = checks.rng(3).random(30) < 0.7
    expected = function(y[counts], p[counts])
    p[~counts] *= 3.0
    for kwargs in ({"mask": counts}, {"sample_weight": 1.0 * counts}):
        np.testing.assert_allclose(function(y, p, **kwargs), expected)


@of_classes
@pytest.mark.parametrize("classes", [2, 1000])
def test_a_softmax_of_half_precision_adds_up(function, classes):
    logits = checks.rng(2).normal(size=(20, classes))
    for dtype in ("float16", "bfloat16"):
        p = keras.ops.softmax(keras.ops.cast(logits, dtype))
        assert np.isfinite(function(np.zeros(20, int), p)).any()


def make_result(layer):
    layers = [keras.Input((2,)), keras.layers.Dropout(0.5), layer]
    model = keras.Sequential(layers)
    return kst.predict_uncertainty(
        model, np.zeros((4, 2)), num_samples=2, verbose=0
    )


def test_results():
    labels = np.zeros(4, int)
    for layer in (keras.layers.Dense(2, "softmax"), kst.heads.NormalHead()):
        result = make_result(layer)
        name = type(result).__name__
        for call in (
            lambda u: metrics.brier_score(labels, u),
            lambda u: metrics.log_loss(labels, u),
            lambda u: metrics.auroc(labels, u),
            lambda u: metrics.aurc(labels, u),
            lambda u: metrics.interval_coverage(labels, u, u),
            lambda u: metrics.pinball_loss(labels, u, 0.5),
            lambda u: metrics.crps_samples(labels, u),
            lambda u: metrics.crps_normal(labels, u, u),
            lambda u: metrics.crps_quantiles(labels, u, (0.5,)),
            lambda u: metrics.energy_score(labels, u),
            lambda u: metrics.crps(labels, u, kst.heads.NormalHead()),
            lambda u: metrics.pit_histogram(u),
            lambda u: metrics.brier_score(labels, np.ones(4), mask=u),
        ):
            with pytest.raises(TypeError, match=rf"must be an array.*`{name}`"):
                call(result)


@pytest.mark.parametrize("bad", ["0.5", ["a", "b"], [None, 1.0], [1j, 2.0]])
def test_what_holds_no_numbers(bad):
    for call in (
        lambda: metrics.brier_score([0, 1], bad),
        lambda: metrics.log_loss(bad, [0.5, 0.5]),
        lambda: metrics.auroc([0, 1], bad),
        lambda: metrics.interval_score([0, 1], bad, bad, 0.5),
        lambda: metrics.crps_normal([0, 1], bad, 1.0),
        lambda: metrics.crps_samples([0, 1], bad),
        lambda: metrics.energy_score([0, 1], bad),
        lambda: metrics.pit_histogram(bad),
        lambda: metrics.brier_score([0, 1], [0.5, 0.5], sample_weight=bad),
        lambda: metrics.brier_score([0, 1], [0.5, 0.5], mask=bad),
    ):
        with pytest.raises(TypeError, match=r"array of numbers. Received: "):
            call()


def test_numbers_where_classes_belong():
    with pytest.raises(ValueError, match=r"`y_prob`.*\(\.\.\., classes\)"):
        metrics.brier_score(1, 0.5)


def test_vectors_of_nothing():
    with pytest.raises(ValueError, match=r"Expected the shape \(num_samples"):
        metrics.energy_score(np.zeros((4, 0)), np.zeros((9, 4, 0)))
    for fair in (True, False):
        with pytest.raises(ValueError, match=r"samples\. Received: 0"):
            metrics.energy_score(
                np.zeros((4, 2)), np.zeros((0, 4, 2)), fair=fair
            )
