"""What every map of class probabilities promises, whatever its form."""

import pickle
import warnings

import checks
import numpy as np
import pytest
from recalibrators import CASES
from recalibrators import ONE
from recalibrators import SEVERAL
from recalibrators import assert_same
from recalibrators import draw_form
from recalibrators import nll
from recalibrators import probabilities
from scipy.special import log_softmax

import keras_seqtools as kst

every = pytest.mark.parametrize(("make", "classes"), CASES)
forms = pytest.mark.parametrize("from_logits", [False, True])


NASTY = [
    "noise",
    "right",
    "wrong",
    "nearly right",
    "one label",
    "absent class",
    "equal scores",
]


def draw_nasty(kind, classes, from_logits, rng):
    """Few items, on which parameters are free, and probabilities 0 and 1."""
    size = int(rng.choice([1, 2, 3, 5, 20, 100]))
    scale = rng.choice([0.01, 1.0, 5.0, 100.0])
    logits = scale * rng.normal(size=(size, classes))
    both = np.hstack([0.0 * logits, logits]) if classes == 1 else logits
    y = rng.integers(0, both.shape[1], size)
    if kind in ("right", "nearly right"):
        y = np.where(
            (rng.random(size) < 0.9) | (kind == "right"), both.argmax(1), y
        )
    elif kind == "wrong":
        y = both.argmin(1)
    elif kind == "one label":
        y[:] = 0
    elif kind == "absent class":
        y = np.minimum(y, 1)
    elif kind == "equal scores":
        logits[:] = 2.0
    if from_logits:
        return y, logits
    p = probabilities(logits)
    if rng.random() < 0.4:
        hard = np.eye(classes)[logits.argmax(1)]
        p = np.round(p) if classes == 1 else hard
    return y, p


@forms
@pytest.mark.parametrize("kind", NASTY)
@pytest.mark.parametrize(
    ("make", "classes"),
    [(make, classes) for make in SEVERAL for classes in (2, 3, 6)]
    + [
        (kst.calibration.TemperatureScaling, 1),
        (kst.calibration.BetaCalibration, 1),
        (kst.calibration.IsotonicCalibration, 1),
    ],
)
def test_is_never_worse_than_the_identity(make, classes, kind, from_logits):
    rng = checks.rng(3)
    for _ in range(8):
        y, x = draw_nasty(kind, classes, from_logits, rng)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`TemperatureScaling` finds no")
            calibrator = make().fit(y, x, from_logits=from_logits)
        p = calibrator.transform(x)
        assert p.shape == x.shape
        assert ((p >= 0.0) & (p <= 1.0)).all()
        if classes > 1:
            np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=1e-12)
        if from_logits:
            both = np.hstack([0.0 * x, x]) if classes == 1 else x
            before = -log_softmax(both, axis=-1)[np.arange(len(y)), y].mean()
        else:
            before = nll(y, x, least=np.finfo(x.dtype).tiny)
        report = calibrator.report.nll
        np.testing.assert_allclose(report.before, before, atol=1e-10)
        np.testing.assert_allclose(report.after, nll(y, p), atol=1e-10)
        assert nll(y, p) <= before + 1e-10


@forms
@every
def test_mask_is_dropping_items(make, classes, from_logits):
    y, x = draw_form(classes, from_logits, shape=(30, 4))
    keep = checks.rng(5).random((30, 4)) < 0.6
    kept = make().fit(y[keep], x[keep], from_logits=from_logits)
    x, y = np.where(keep[..., None], x, np.nan), np.where(keep, y, -1)
    masked = make().fit(y, x, from_logits=from_logits, mask=keep)
    assert_same(masked, kept, x[keep])
    weighted = make().fit(y, x, from_logits=from_logits, sample_weight=keep)
    assert_same(weighted, kept, x[keep])
    assert masked.report.n == weighted.report.n == keep.sum()


@every
def test_mask_of_rows_is_dropping_rows(make, classes):
    """Also where there are as many rows as steps."""
    y, x = draw_form(classes, False, shape=(12, 12))
    keep = np.arange(12) < 7
    masked = make().fit(y, x, mask=keep)
    kept = make().fit(y[keep], x[keep])
    assert_same(masked, kept, x)
    assert masked.report == kept.report


@every
def test_weight_2_is_an_item_twice(make, classes):
    y, x = draw_form(classes, False)
    twice = np.arange(len(y)) % 3 == 0
    weighted = make().fit(y, x, sample_weight=1.0 + twice)
    repeated = make().fit(
        np.concatenate([y, y[twice]]), np.concatenate([x, x[twice]])
    )
    assert_same(weighted, repeated, x)


@every
def test_order_of_the_items_changes_nothing(make, classes):
    y, x = draw_form(classes, False)
    order = checks.rng(4).permutation(len(y))
    assert_same(make().fit(y, x), make().fit(y[order], x[order]), x)


@every
def test_chunks_change_nothing(make, classes, monkeypatch):
    y, x = draw_form(classes, False)
    whole = make().fit(y, x)
    monkeypatch.setattr("keras_seqtools.calibration._fit_items._CHUNK", 7)
    assert_same(make().fit(y, x), whole, x)


@every
def test_steps_are_items(make, classes):
    y, x = draw_form(classes, False, shape=(15, 4))
    steps = make().fit(y, x)
    flat = make().fit(y.ravel(), x.reshape(-1, classes))
    np.testing.assert_array_equal(
        steps.transform(x),
        flat.transform(x.reshape(-1, classes)).reshape(x.shape),
    )


@every
def test_labels_in_every_form(make, classes):
    y, x = draw_form(classes, False)
    expected = make().fit(y, x)
    one_hot = np.eye(classes)[y] if classes > 1 else y[:, None]
    for labels in (y[:, None], y.astype("float32"), y.tolist(), one_hot):
        assert_same(make().fit(labels, x), expected, x)
    if classes == 1:
        flat = make().fit(y, x[:, 0])
        np.testing.assert_array_equal(
            flat.transform(x[:, 0]), expected.transform(x)[:, 0]
        )


@every
def test_half_precision_is_as_good_as_its_digits(make, classes):
    y, x = draw_form(classes, False)
    half = x.astype("float16")
    expected = make().fit(y, half.astype("float32"))
    fitted = make().fit(y, half)
    np.testing.assert_array_equal(
        fitted.transform(half), expected.transform(half.astype("float32"))
    )
    assert fitted.transform(half).dtype == np.float64


@every
def test_is_plain_data(make, classes):
    y, x = draw_form(classes, False)
    fitted = make().fit(y, x)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(x), fitted.transform(x))
    assert again.report == fitted.report
    rebuilt = checks.check_config(fitted)
    np.testing.assert_array_equal(rebuilt.transform(x), fitted.transform(x))
    empty = checks.check_config(make())
    with pytest.raises(ValueError, match=r"is not fitted: call `fit`\."):
        empty.transform(x)


def test_refuses_sigmoids_of_several_labels():
    y, x = np.array([0, 1]), np.array([[0.9, 0.8], [0.1, 0.3]])
    with pytest.raises(ValueError, match=r"add up to 1.*`y_prob\[..., None\]`"):
        kst.calibration.TemperatureScaling().fit(y, x)


@every
def test_what_is_not_a_number_stays_so_and_nothing_is_nothing(make, classes):
    y, x = draw_form(classes, False)
    calibrator = make().fit(y, x)
    expected = calibrator.transform(x)
    x[3] = np.nan
    p = calibrator.transform(x)
    assert np.isnan(p[3]).all()
    np.testing.assert_array_equal(
        np.delete(p, 3, axis=0), np.delete(expected, 3, axis=0)
    )
    np.testing.assert_array_equal(
        np.isnan(calibrator.as_layer()(x)), np.isnan(p)
    )
    assert calibrator.transform(x[:0]).shape == x[:0].shape


@every
def test_an_infinite_logit_is_a_limit_or_nan(make, classes):
    y, x = draw_form(classes, True)
    calibrator = make().fit(y, x, from_logits=True)
    p = calibrator.transform(np.full((1, classes), np.inf))
    assert np.isnan(p).all() or np.isfinite(p).all()


@every
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, x: (y - 1, x), "Labels that count must be classes"),
        (lambda y, x: (y + 0.5, x), "Labels that count must be classes"),
        (lambda y, x: (y, x * np.nan), "must be probabilities"),
        (lambda y, x: (y, x + 1.0), "must be probabilities"),
        (lambda y, x: (y[1:], x), "`y_true` must hold one label"),
        (lambda y, x: (y[:0], x[:0]), "There is nothing to fit to"),
    ],
)
def test_refuses_what_it_cannot_fit(make, classes, change, message):
    with pytest.raises(ValueError, match=message):
        make().fit(*change(*draw_form(classes, False)))


@every
def test_refuses_bad_logits_weights_and_scores(make, classes):
    y, x = draw_form(classes, True)
    bad = np.where(np.arange(len(y)) == 3, np.inf, x.T).T
    with pytest.raises(ValueError, match="Logits that count must be finite"):
        make().fit(y, bad, from_logits=True)
    with pytest.raises(ValueError, match="`sample_weight`"):
        make().fit(y, x, from_logits=True, sample_weight=-1.0 - 0.0 * y)
    with pytest.raises(ValueError, match="There is nothing to fit to"):
        make().fit(y, x, from_logits=True, mask=y < 0)
    calibrator = make().fit(y, probabilities(x))
    with pytest.raises(ValueError, match="Expected probabilities, as this"):
        calibrator.transform(x)
    with pytest.raises(ValueError, match=f"fitted to {classes} classes"):
        calibrator.transform(np.full((2, 5), 0.2))


@pytest.mark.parametrize("make", ONE[1:])
def test_refuses_several_classes(make):
    with pytest.raises(ValueError, match="the probability of class 1 alone"):
        make().fit(*draw_form(3, False))


@pytest.mark.parametrize("make", SEVERAL[1:])
def test_refuses_a_single_probability(make):
    with pytest.raises(ValueError, match="two classes or more"):
        make().fit(*draw_form(1, False))
