"""Calibration error, of arrays and streaming, against what others compute."""

import tracemalloc

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit
from scipy.special import softmax
from sklearn.calibration import calibration_curve

from keras_seqtools._keras_internals import set_mask
from keras_seqtools.metrics import ExpectedCalibrationError
from keras_seqtools.metrics import expected_calibration_error


def streamed(y_true, y_prob, *, mask=None, sample_weight=None, **kwargs):
    """The metric over uneven batches, with the arguments of the function."""
    if kwargs.get("mode") == "classwise":
        kwargs["num_classes"] = y_prob.shape[-1]
    metric = ExpectedCalibrationError(**kwargs)
    for rows in np.array_split(np.arange(len(y_true)), 4):
        predictions = keras.ops.convert_to_tensor(np.asarray(y_prob)[rows])
        if mask is not None:
            set_mask(predictions, keras.ops.convert_to_tensor(mask[rows]))
        weight = None if sample_weight is None else sample_weight[rows]
        metric.update_state(np.asarray(y_true)[rows], predictions, weight)
    return float(metric.result())


both = pytest.mark.parametrize("ece", [expected_calibration_error, streamed])


def ece_by_hand(y_true, y_prob, num_bins, weights):
    """The binary error: one item after the other, one bin after the other."""
    bins = [[] for _ in range(num_bins)]
    for y, p, w in zip(y_true, y_prob, weights, strict=True):
        bins[min(int(p * num_bins), num_bins - 1)].append((y, float(p), w))
    error = 0.0
    for items in bins:
        mass = sum(w for _, _, w in items)
        if mass:
            frequency = sum(w * y for y, _, w in items) / mass
            confidence = sum(w * p for _, p, w in items) / mass
            error += mass * abs(frequency - confidence)
    return error / sum(weights)


def make_sequences(batch=6, time=5, classes=3):
    logits = checks.rng(1).normal(size=(batch, time, classes))
    y = checks.rng(2).integers(0, classes, (batch, time))
    return y, softmax(2 * logits, axis=-1)


@both
@pytest.mark.parametrize(
    ("case", "name", "kwargs"),
    [
        ("ece_top_15", "probs", {}),
        ("tfp_ece_15", "logits", {"from_logits": True}),
        ("tm_ece_bin_10", "p", {"num_bins": 10}),
        ("tm_ece_bin_10", "logits", {"num_bins": 10, "from_logits": True}),
        ("classwise_ece_15", "probs", {"mode": "classwise"}),
        (
            "classwise_ece_15",
            "logits",
            {"mode": "classwise", "from_logits": True},
        ),
        ("mapie_classwise_ece", "probs", {"mode": "classwise", "num_bins": 10}),
    ],
)
def test_equals_published_values(published, ece, case, name, kwargs):
    inputs, value, rtol = published(case)
    np.testing.assert_allclose(
        ece(inputs["y"], inputs[name], **kwargs), value, rtol=rtol
    )


@both
@pytest.mark.parametrize(
    ("case", "num_bins"),
    [("seq_masked_ece_15", 15), ("tfp_seq_masked_ece_10", 10)],
)
def test_masked_sequences_equal_published_values(
    published, ece, case, num_bins
):
    inputs, value, rtol = published(case)
    y, p, mask = inputs["y"], inputs["probs"], inputs["mask"]
    masked = ece(y, p, num_bins=num_bins, mask=mask)
    np.testing.assert_allclose(masked, value, rtol=rtol)
    _, all_steps, rtol = published("seq_unmasked_ece_15")
    np.testing.assert_allclose(ece(y, p), all_steps, rtol=rtol)


@both
def test_probabilities_on_the_edges_belong_to_the_bin_above(published, ece):
    inputs, right_closed, _ = published("edges_sklearn_10")
    tenths = np.round(10 * inputs["p"]).astype(int)
    gaps = [
        (inputs["p"] - inputs["y"])[np.minimum(tenths, 9) == b].sum()
        for b in range(10)
    ]
    ours = ece(inputs["y"], inputs["p"], num_bins=10)
    np.testing.assert_allclose(ours, np.abs(gaps).sum() / 110, rtol=1e-12)
    # netcal is left-closed too, but its edge 0.30000000000000004 is not 0.3.
    _, inexact, _ = published("edges_netcal_10")
    for other in (right_closed, inexact):
        assert abs(ours - other) > 0.01


@both
def test_equals_the_reliability_curve_of_scikit_learn(ece):
    p = checks.rng(1).random(40_000)
    y = checks.rng(2).random(40_000) < p**2
    frequency, confidence = calibration_curve(y, p, n_bins=12)
    count = np.histogram(p, 12, (0, 1))[0]
    expected = np.average(np.abs(frequency - confidence), weights=count)
    np.testing.assert_allclose(ece(y, p, num_bins=12), expected, rtol=1e-12)


@both
@pytest.mark.parametrize("num_bins", [1, 15, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_a_loop_over_the_items(ece, num_bins, weighted):
    y, p = make_sequences()
    weight = checks.rng(3).random(y.shape) if weighted else np.ones(y.shape)
    kwargs = {"num_bins": num_bins}
    if weighted:
        kwargs["sample_weight"] = weight
    labels, rows, w = y.ravel(), p.reshape(-1, 3), weight.ravel()
    top = ece_by_hand(labels == rows.argmax(-1), rows.max(-1), num_bins, w)
    of_class = [
        ece_by_hand(labels == k, rows[:, k], num_bins, w) for k in range(3)
    ]
    np.testing.assert_allclose(ece(y, p, **kwargs), top, rtol=1e-12)
    np.testing.assert_allclose(
        ece(y, p, mode="classwise", **kwargs), np.mean(of_class), rtol=1e-12
    )
    np.testing.assert_allclose(
        ece(y == 1, p[..., 1:2], **kwargs), of_class[1], rtol=1e-12
    )


@both
def test_one_bin_compares_the_means(ece):
    p = checks.rng(1).random(50)
    y = checks.rng(2).integers(0, 2, 50)
    np.testing.assert_allclose(
        ece(y, p, num_bins=1), abs(p.mean() - y.mean()), rtol=1e-12
    )


@both
def test_the_two_units_of_a_softmax_are_not_one_sigmoid(ece):
    p = checks.rng(1).random(200)
    y = checks.rng(2).integers(0, 2, 200)
    two = np.stack([1 - p, p], axis=-1)
    hit, ones = y == (p > 0.5), np.ones(200)
    top = ece_by_hand(hit, np.maximum(p, 1 - p), 15, ones)
    binary = ece_by_hand(y, p, 15, ones)
    assert abs(top - binary) > 0.01
    np.testing.assert_allclose(ece(y, two), top, rtol=1e-12)
    np.testing.assert_allclose(ece(y, two, mode="top_label"), top, rtol=1e-12)
    for one in (p, p[:, None]):
        np.testing.assert_allclose(ece(y, one), binary, rtol=1e-12)
        np.testing.assert_allclose(
            ece(y, one, mode="binary"), binary, rtol=1e-12
        )


@both
def test_a_class_that_never_comes_still_counts(ece):
    y, p = make_sequences(classes=4)
    y %= 3
    expected = np.mean(
        [
            ece_by_hand((y == k).ravel(), p[..., k].ravel(), 15, [1] * y.size)
            for k in range(4)
        ]
    )
    np.testing.assert_allclose(
        ece(y, p, mode="classwise"), expected, rtol=1e-12
    )


@both
def test_certain_predictions(ece):
    certain = np.eye(3, dtype="float32")
    for mode in ("top_label", "classwise"):
        assert ece([0, 1, 2], certain, mode=mode) == 0.0
    assert ece([1, 2, 0], certain) == 1.0
    assert ece([0, 1], [0.0, 1.0]) == 0.0
    assert ece([1, 0], [0.0, 1.0]) == 1.0


@both
@pytest.mark.parametrize("num_bins", [10, 15, 20, 100])
def test_edges_in_float32_are_those_of_float32(ece, num_bins):
    steps = np.arange(2 * num_bins + 1) / (2 * num_bins)
    p, y = steps.astype("float32"), np.arange(len(steps)) % 2
    expected = ece_by_hand(y, p, num_bins, np.ones(len(steps)))
    np.testing.assert_allclose(
        ece(y, p, num_bins=num_bins), expected, rtol=1e-12
    )


@both
@pytest.mark.parametrize("mode", ["top_label", "classwise"])
def test_a_mask_and_a_weight_of_0_drop_items_that_hold_garbage(ece, mode):
    y, p = make_sequences()
    mask = checks.rng(3).random(y.shape) < 0.5
    expected = expected_calibration_error(y[mask], p[mask], mode=mode)
    y[~mask], p[~mask] = -1, np.nan
    weight = mask.astype(float)
    masked = ece(y, p, mask=mask, mode=mode)
    np.testing.assert_allclose(masked, expected, rtol=1e-12)
    weighted = ece(y, p, sample_weight=weight, mode=mode)
    np.testing.assert_allclose(weighted, expected, rtol=1e-12)
    weight[~mask] = np.nan
    both_of_them = ece(y, p, mask=mask, sample_weight=weight, mode=mode)
    np.testing.assert_allclose(both_of_them, expected, rtol=1e-12)


@both
def test_a_weight_of_2_is_an_item_twice(ece):
    y, p = make_sequences(batch=20, time=1)
    weight = checks.rng(3).integers(0, 3, 20)
    expected = ece(np.repeat(y, weight, 0), np.repeat(p, weight, 0))
    np.testing.assert_allclose(
        ece(y, p, sample_weight=weight), expected, rtol=1e-12
    )


@both
@pytest.mark.parametrize("argument", ["mask", "sample_weight"])
def test_masks_and_weights_start_at_the_rows(ece, argument):
    y, p = make_sequences(batch=5, time=5)
    rows = np.array([True, False, True, True, False])
    expected = expected_calibration_error(y[rows], p[rows])
    assert expected != expected_calibration_error(y[:, rows], p[:, rows])
    steps = np.repeat(rows[:, None], 5, axis=1)
    for values in (rows, rows[:, None], steps, steps[..., None]):
        np.testing.assert_allclose(
            ece(y, p, **{argument: values}), expected, rtol=1e-12
        )


@both
@pytest.mark.parametrize("mode", ["top_label", "classwise"])
def test_every_form_of_the_labels(ece, mode):
    y, p = make_sequences()
    expected = ece(y, p, mode=mode)
    for labels in (y[..., None], np.eye(3)[y], np.eye(3, dtype=bool)[y]):
        for dtype in ("uint8", "int64", "float32"):
            assert ece(labels.astype(dtype), p, mode=mode) == expected


@both
def test_logits_may_be_large(ece):
    y, z = np.array([[0], [1], [1]]), np.array([[-1e4], [0.3], [1e4]])
    for precision in ("float32", "float64"):
        logits = z.astype(precision)
        np.testing.assert_allclose(
            ece(y, logits, from_logits=True), ece(y, expit(logits)), rtol=1e-6
        )
        logits = np.concatenate([-logits, logits, 0 * logits], axis=-1)
        np.testing.assert_allclose(
            ece(y, logits, from_logits=True),
            ece(y, softmax(logits, axis=-1)),
            rtol=1e-6,
        )


def test_without_data():
    nothing = np.zeros((0, 4, 3))
    assert np.isnan(expected_calibration_error(np.zeros((0, 4)), nothing))
    y, p = make_sequences()
    mask = np.zeros(y.shape, bool)
    assert np.isnan(expected_calibration_error(y, p, mask=mask))
    assert float(ExpectedCalibrationError().result()) == 0.0
    assert streamed(y, p, mask=mask) == 0.0


def make_bad(name):
    y, p = make_sequences()
    y, p = y.astype(float), p.copy()
    if name == "probability":
        p[1, 2] = (-1e-4, 1.0, 1e-4)
    elif name == "nan":
        p[1, 2, 0] = np.nan
    else:
        y[1, 2] = name
    return y, p


@pytest.mark.parametrize("mode", ["top_label", "classwise"])
@pytest.mark.parametrize("name", ["probability", "nan", -1, 3, 0.5, np.nan])
def test_what_must_not_be_averaged_away(mode, name):
    y, p = make_bad(name)
    with pytest.raises(ValueError, match=r"that count must be .*Received: "):
        expected_calibration_error(y, p, mode=mode)
    assert np.isnan(streamed(y, p, mode=mode))
    mask = np.ones(y.shape, bool)
    mask[1, 2] = False
    assert np.isfinite(expected_calibration_error(y, p, mode=mode, mask=mask))
    assert np.isfinite(streamed(y, p, mode=mode, mask=mask))


@pytest.mark.parametrize(
    "row", [[0, 0, 0], [1, 1, 0], [1, 0.5, 0], [0.9, 0.1, 0]]
)
def test_rows_of_labels_that_are_not_one_hot(row):
    y, p = make_sequences()
    y = np.eye(3)[y]
    y[1, 2] = row
    with pytest.raises(ValueError, match=r"one-hot rows. Received: y_true="):
        expected_calibration_error(y, p)
    assert np.isnan(streamed(y, p))


@pytest.mark.parametrize("label", [-1, 2, 0.5, np.nan])
def test_binary_labels_that_are_neither_0_nor_1(label):
    y, p = np.array([0, 1, label]), np.array([0.1, 0.8, 0.6])
    with pytest.raises(ValueError, match=r"integers from 0 to 1.*Received: "):
        expected_calibration_error(y, p)
    assert np.isnan(streamed(y, p))


def test_rounding_of_a_softmax_is_not_refused():
    p = np.array([[1 + 5e-7, -5e-7]])
    assert expected_calibration_error([0], p) < 1e-6
    assert streamed([0], p) < 1e-6


@pytest.mark.parametrize(
    "kwargs", [{"num_bins": 10}, {"mode": "classwise", "num_classes": 3}]
)
def test_contract(kwargs, tmp_path):
    y, p = make_sequences(batch=8)
    checks.check_metric(
        lambda **more: ExpectedCalibrationError(**kwargs, **more),
        y,
        p.astype("float32"),
        tmp_path,
        "sparse_categorical_crossentropy",
    )


def test_logits_are_still_logits_after_a_config_round_trip():
    y, p = make_sequences()
    again = checks.check_config(ExpectedCalibrationError(from_logits=True))
    value = checks.stream(again, y, np.log(p), size=len(y))
    np.testing.assert_allclose(
        value, expected_calibration_error(y, p), rtol=1e-12
    )


def test_batches_of_any_size_give_the_same_value():
    y, p = make_sequences(batch=200)
    weight = checks.rng(3).random(y.shape)
    expected = expected_calibration_error(y, p, sample_weight=weight)
    for size in (1, 7, 64, 200):
        value = checks.stream(
            ExpectedCalibrationError(), y, p, weight, size=size
        )
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_counts_on_where_float32_would_stop():
    y, p = [1, 0, 0], np.array([0.7, 0.7, 0.2])
    weight = np.array([2.0**24, 1.0, 1.0])
    value = checks.stream(ExpectedCalibrationError(), y, p, weight, size=1)
    np.testing.assert_allclose(value, ece_by_hand(y, p, 15, weight), rtol=1e-12)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_updates_compile_with_unknown_sizes(jit_compile):
    y, p = make_sequences()
    weight = np.arange(len(y), dtype=float)
    y[0], p[0] = -1, np.nan
    metric = ExpectedCalibrationError()
    update = tf.function(
        metric.update_state,
        input_signature=[
            tf.TensorSpec((None, None), "int64"),
            tf.TensorSpec((None, None, 3), "float64"),
            tf.TensorSpec((None,), "float64"),
        ],
        jit_compile=jit_compile,
    )
    for rows in (slice(0, 2), slice(2, None)):
        update(y[rows], p[rows], weight[rows])
    np.testing.assert_allclose(
        float(metric.result()),
        expected_calibration_error(y, p, sample_weight=weight),
        rtol=1e-12,
    )


def test_a_model_with_masking_counts_its_valid_steps(tmp_path):
    x = checks.rng(3).normal(size=(12, 6, 2)).astype("float32")
    lengths = checks.rng(4).integers(1, 7, 12)
    mask = np.arange(6) < lengths[:, None]
    x[~mask] = 0.0
    y, _ = make_sequences(batch=12, time=6)
    rows = np.arange(12) % 2
    model = keras.Sequential(
        [
            keras.Input((6, 2)),
            keras.layers.Masking(),
            keras.layers.GRU(4, return_sequences=True),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.0),
        "sparse_categorical_crossentropy",
        metrics=[ExpectedCalibrationError()],
        weighted_metrics=[ExpectedCalibrationError(name="weighted")],
    )
    weight = (mask * rows[:, None]).astype("float32")
    fit = model.fit(x, y, sample_weight=weight, batch_size=5, verbose=0)
    p = model.predict(x, verbose=0)
    expected = expected_calibration_error(y, p, mask=mask)
    assert abs(expected - expected_calibration_error(y, p)) > 1e-3
    weighted = expected_calibration_error(y, p, sample_weight=weight)
    loaded = checks.save_and_load(model, tmp_path)
    logs = loaded.evaluate(
        x, y, sample_weight=weight, verbose=0, return_dict=True
    )
    for log in (logs, {k: v[0] for k, v in fit.history.items()}):
        np.testing.assert_allclose(
            log["expected_calibration_error"], expected, rtol=1e-5
        )
        np.testing.assert_allclose(log["weighted"], weighted, rtol=1e-5)


def test_the_memory_of_a_chunk_is_all_it_takes():
    p = np.full((400_000, 10), 0.1, "float32")
    y = np.zeros(400_000, "int64")
    mask = np.ones((400_000,), bool)
    tracemalloc.start()
    expected_calibration_error(y, p, mask=mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < p.nbytes / 3


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ((6, 5), (6, 4, 3), r"`y_true`.*Expected the shape \(6, 4\)"),
        ((6,), (6, 4, 3), r"`y_true`.*Expected the shape \(6, 4\)"),
        ((6, 4, 2), (6, 4, 3), r"`y_true`.*or \(6, 4, 3\)"),
        ((1, 6), (6, 1), r"`y_true`.*Received: y_true of shape"),
        ((), (1, 3), r"`y_true`.*Received: y_true of shape \(\)"),
    ],
)
def test_refuses_labels_that_do_not_fit(y, p, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(np.zeros(y), np.zeros(p))
    with pytest.raises(ValueError, match=message):
        ExpectedCalibrationError().update_state(np.zeros(y), np.zeros(p))


def test_probabilities_of_steps_without_a_last_axis_are_not_guessed():
    y, p = np.zeros((4, 6)), np.full((4, 6), 0.3)
    with pytest.raises(ValueError, match="add up to 1"):
        expected_calibration_error(y, p)
    with pytest.raises(ValueError, match=r"mode='binary'.*Received: 6"):
        expected_calibration_error(y, p, mode="binary")
    with pytest.raises(ValueError, match=r"mode='classwise'.*Received: 1"):
        expected_calibration_error(y, p[..., None], mode="classwise")


@pytest.mark.parametrize(
    "shape", [(5,), (1, 4), (6, 3), (4,), (6, 4, 3), (6, 1, 4)]
)
def test_refuses_masks_and_weights_that_do_not_fit(shape):
    y, p = make_sequences(batch=6, time=4)
    values = np.ones(shape)
    for call in (
        lambda: expected_calibration_error(y, p, mask=values),
        lambda: expected_calibration_error(y, p, sample_weight=values),
        lambda: ExpectedCalibrationError().update_state(y, p, values),
    ):
        with pytest.raises(ValueError, match=r"Expected the shape \(6, 4\)"):
            call()


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_refuses_weights_that_are_no_weights(bad):
    y, p = make_sequences()
    weight = np.ones(y.shape)
    weight[1, 2] = bad
    with pytest.raises(ValueError, match=r"`sample_weight`.*Received: "):
        expected_calibration_error(y, p, sample_weight=weight)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("num_bins", {"num_bins": 0}),
        ("num_bins", {"num_bins": 2.5}),
        ("mode", {"mode": "multilabel"}),
        ("mode", {"mode": None}),
        ("num_classes", {"mode": "classwise"}),
        ("num_classes", {"mode": "classwise", "num_classes": 0}),
        ("num_classes", {"num_classes": 3}),
    ],
)
def test_refuses_bad_arguments(name, kwargs):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        ExpectedCalibrationError(**kwargs)
    if name != "num_classes":
        with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
            expected_calibration_error([1], [0.5], **kwargs)


def test_refuses_another_number_of_classes():
    metric = ExpectedCalibrationError(mode="classwise", num_classes=4)
    with pytest.raises(ValueError, match=r"num_classes=4. Received: 3"):
        metric.update_state(*make_sequences())
