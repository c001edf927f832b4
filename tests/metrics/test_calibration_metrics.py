"""What the streaming calibration errors share: against the functions."""

import checks
import keras
import numpy as np
import pytest
from scipy.special import softmax

from keras_seqtools import metrics
from keras_seqtools._keras_internals import set_mask

FORMS = [
    (metrics.ExpectedCalibrationError, {"norm": "l1"}),
    (metrics.MaximumCalibrationError, {"norm": "max"}),
    (metrics.RMSCalibrationError, {"norm": "l2"}),
    (
        lambda **kwargs: metrics.RMSCalibrationError(debias=True, **kwargs),
        {"norm": "l2", "debias": True},
    ),
]
forms = pytest.mark.parametrize(("make", "kwargs"), FORMS)


def make_sequences(batch=12, time=5, classes=3):
    logits = checks.rng(1).normal(size=(batch, time, classes))
    y = checks.rng(2).integers(0, classes, (batch, time))
    return y, softmax(2 * logits, axis=-1)


@forms
@pytest.mark.parametrize("mode", ["top_label", "classwise"])
def test_equals_the_function(make, kwargs, mode):
    y, p = make_sequences()
    weight = checks.rng(3).integers(0, 3, y.shape)
    p[weight == 0], y[weight == 0] = np.nan, -1
    size = {"num_classes": 3} if mode == "classwise" else {}
    metric = make(num_bins=6, mode=mode, **size)
    value = checks.stream(metric, y, p, weight, size=5)
    expected = metrics.calibration_error(
        y, p, num_bins=6, mode=mode, sample_weight=weight, **kwargs
    )
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    curve = metrics.reliability_curve(
        y, p, num_bins=6, mode=mode, sample_weight=weight, level=0.8
    )
    for name in vars(curve):
        np.testing.assert_allclose(
            getattr(metric.reliability(level=0.8), name),
            getattr(curve, name),
            rtol=1e-12,
        )


@forms
def test_binary_with_a_mask(make, kwargs):
    y, p = make_sequences()
    y, p = y == 1, p[..., 1:]
    mask = checks.rng(3).random(y.shape) < 0.7
    p[~mask] = np.nan
    tensor = keras.ops.convert_to_tensor(p[..., :1])
    set_mask(tensor, keras.ops.convert_to_tensor(mask))
    metric = make()
    metric.update_state(y, tensor)
    np.testing.assert_allclose(
        float(metric.result()),
        metrics.calibration_error(y, p[..., :1], mask=mask, **kwargs),
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    "make", [metrics.MaximumCalibrationError, metrics.RMSCalibrationError]
)
def test_contract(make, tmp_path):
    y, p = make_sequences(batch=8)
    checks.check_metric(
        lambda **more: make(num_bins=5, **more),
        y,
        p.astype("float32"),
        tmp_path,
        "sparse_categorical_crossentropy",
    )


def test_debias_survives_a_config_round_trip():
    again = checks.check_config(metrics.RMSCalibrationError(debias=True))
    y, p = make_sequences()
    value = checks.stream(again, y, p, size=len(y))
    np.testing.assert_allclose(
        value, metrics.rms_calibration_error(y, p, debias=True), rtol=1e-12
    )


@forms
def test_a_negative_weight_is_not_averaged_away(make, kwargs):
    y, p = make_sequences()
    weight = checks.rng(3).random(y.shape)
    weight[3, 1] = -0.1
    assert np.isnan(checks.stream(make(), y, p, weight, size=4))
    metric, mask = make(), weight > 0.0
    tensor = set_mask(keras.ops.convert_to_tensor(p), mask)
    metric.update_state(y, tensor, weight)
    np.testing.assert_allclose(
        float(metric.result()),
        metrics.calibration_error(
            y, p, mask=mask, sample_weight=weight, **kwargs
        ),
        rtol=1e-12,
    )


@forms
@pytest.mark.parametrize("bad", [np.nan, 1.1, 0.0])
def test_what_must_not_be_averaged_away(make, kwargs, bad):
    y, p = make_sequences()
    p[1, 2, 0] = bad
    metric = make()
    assert np.isnan(checks.stream(metric, y, p, size=4))
    metric.reset_state()
    assert float(metric.result()) == 0.0


@forms
def test_states_are_merged(make, kwargs):
    y, p = make_sequences()
    weight = checks.rng(3).random(y.shape)
    whole = make()
    checks.stream(whole, y, p, weight, size=5)
    parts = [make(name=name) for name in ("one", "two", "three")]
    for part, rows in zip(parts, np.array_split(np.arange(12), 3), strict=True):
        part.update_state(y[rows], p[rows], weight[rows])
    before = float(parts[1].result())
    parts[0].merge_state(parts[1:])
    np.testing.assert_allclose(
        float(parts[0].result()), float(whole.result()), rtol=1e-12
    )
    assert float(parts[1].result()) == before


@pytest.mark.parametrize(
    "other",
    [
        metrics.ExpectedCalibrationError(num_bins=10),
        metrics.MaximumCalibrationError(),
        keras.metrics.Mean(),
    ],
)
def test_refuses_to_merge_what_is_something_else(other):
    metric = metrics.ExpectedCalibrationError()
    metric.update_state([1], [[0.75]])
    mate = metrics.ExpectedCalibrationError()
    mate.update_state([0], [[0.75]])
    with pytest.raises(ValueError, match=r"can be merged.*Received: "):
        metric.merge_state([mate, other])
    assert float(metric.result()) == 0.25
