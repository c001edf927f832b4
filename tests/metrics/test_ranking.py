"""Ranking scores against all pairs, scikit-learn and published values."""

import functools

import checks
import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve

from keras_seqtools.metrics import auroc
from keras_seqtools.metrics import average_precision
from keras_seqtools.metrics import fpr_at_tpr

SCORES = [auroc, average_precision, fpr_at_tpr]
all_of_them = pytest.mark.parametrize("function", SCORES)


def make_scores(shape=(60,), kinds=9):
    """Labels, scores with many ties that tell a little, and weights."""
    score = checks.rng(1).integers(0, kinds, shape) / kinds
    y = (checks.rng(2).random(shape) < 0.2 + 0.4 * score).astype(int)
    return y, score, checks.rng(3).random(shape)


def auroc_of_pairs(y, score, weight):
    """The definition, one pair after the other."""
    won = pairs = 0.0
    for a, s, v in zip(y, score, weight, strict=True):
        for b, t, w in zip(y, score, weight, strict=True):
            if a == 1 and b == 0:
                pairs += v * w
                won += v * w * ((s > t) + 0.5 * (s == t))
    return won / pairs


def flagged_shares(y, score, weight, threshold):
    """Shares of the positives and of the negatives, at least a threshold."""
    found = score >= threshold
    return (
        (weight * found * y).sum() / (weight * y).sum(),
        (weight * found * (1 - y)).sum() / (weight * (1 - y)).sum(),
    )


def precision_by_hand(y, score, weight):
    average = before = 0.0
    for threshold in sorted(set(score), reverse=True):
        found = score >= threshold
        recall, _ = flagged_shares(y, score, weight, threshold)
        precision = (weight * found * y).sum() / (weight * found).sum()
        average += (recall - before) * precision
        before = recall
    return average


def fpr_by_hand(y, score, weight, tpr=0.95):
    for threshold in sorted(set(score), reverse=True):
        true, false = flagged_shares(y, score, weight, threshold)
        if true >= tpr:
            return false


def test_finds_errors_as_published(published):
    inputs, value, rtol = published("auroc_misclass")
    wrong = inputs["probs"].argmax(-1) != inputs["y"]
    score = 1 - inputs["probs"].max(-1)
    np.testing.assert_allclose(auroc(wrong, score), value, rtol=rtol)


@pytest.mark.parametrize(
    ("case", "function"),
    [("aupr_out", average_precision), ("fpr95_oodpos", fpr_at_tpr)],
)
def test_finds_novelty_as_published(published, case, function):
    inputs, value, rtol = published(case)
    found = function(inputs["is_ood"], inputs["scores"])
    np.testing.assert_allclose(found, value, rtol=rtol)


@pytest.mark.parametrize(
    ("function", "by_hand"),
    [
        (auroc, auroc_of_pairs),
        (average_precision, precision_by_hand),
        (fpr_at_tpr, fpr_by_hand),
        (
            functools.partial(fpr_at_tpr, tpr=0.5),
            functools.partial(fpr_by_hand, tpr=0.5),
        ),
    ],
)
@pytest.mark.parametrize("kinds", [1, 2, 9, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_a_loop(function, by_hand, kinds, weighted):
    y, score, weight = make_scores(kinds=kinds)
    kwargs = {"sample_weight": weight} if weighted else {}
    weight = weight if weighted else np.ones(len(y))
    np.testing.assert_allclose(
        function(y, score, **kwargs), by_hand(y, score, weight), rtol=1e-12
    )


@pytest.mark.parametrize("kinds", [9, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(kinds, weighted):
    y, score, weight = make_scores((3000,), kinds)
    kwargs = {"sample_weight": weight if weighted else None}
    for ours, theirs in (
        (auroc, roc_auc_score),
        (average_precision, average_precision_score),
    ):
        np.testing.assert_allclose(
            ours(y, score, **kwargs), theirs(y, score, **kwargs), rtol=1e-12
        )
    fpr, tpr, _ = roc_curve(y, score, drop_intermediate=False, **kwargs)
    np.testing.assert_allclose(
        fpr_at_tpr(y, score, 0.8, **kwargs),
        fpr[np.argmax(tpr >= 0.8)],
        rtol=1e-12,
    )


def test_scores_that_say_all_or_nothing():
    y = np.array([0, 1, 0, 1, 1])
    for score, area, precision, fpr in (
        (y, 1.0, 1.0, 0.0),
        (1 - y, 0.0, 0.6, 1.0),
        (0 * y, 0.5, 0.6, 1.0),
    ):
        assert auroc(y, score) == area
        assert average_precision(y, score) == precision
        assert fpr_at_tpr(y, score) == fpr


def test_the_other_kind_for_the_positives():
    y, score, _ = make_scores()
    np.testing.assert_allclose(
        auroc(1 - y, -score), auroc(y, score), rtol=1e-12
    )
    fpr, tpr, _ = roc_curve(1 - y, -score, drop_intermediate=False)
    known = fpr_at_tpr(1 - y, -score)
    assert known == fpr[np.argmax(tpr >= 0.95)]
    assert known != fpr_at_tpr(y, score)


def test_a_share_of_the_positives_that_is_met_exactly():
    y = np.repeat([1, 0], 20)
    score = np.append(np.arange(20.0), np.arange(20) - 0.5)
    for found in range(1, 21):
        # `found` positives are flagged, and the negatives above the last.
        assert fpr_at_tpr(y, score, found / 20) == (found - 1) / 20


def test_tells_saturated_scores_apart():
    y = np.repeat([0, 1], 50)
    score = np.where(y, 1 - 1e-6, 1 - 3e-6)
    area = keras.metrics.AUC()
    area.update_state(y, score)
    assert float(area.result()) == 0.5
    assert auroc(y, score) == 1.0


@all_of_them
def test_the_order_of_items_and_their_shape_are_of_no_account(function):
    y, score, weight = make_scores((6, 5, 2))
    expected = function(y, score, sample_weight=weight)
    order = checks.rng(4).permutation(60)
    flat = (values.ravel()[order] for values in (y, score, weight))
    y, score, weight = flat
    np.testing.assert_allclose(
        function(y, score, sample_weight=weight), expected, rtol=1e-12
    )


@all_of_them
def test_a_mask_and_a_weight_of_0_drop_items_that_hold_garbage(function):
    y, score, weight = make_scores((8, 5))
    mask = checks.rng(4).random(y.shape) < 0.6
    expected = function(y[mask], score[mask])
    weighted = function(y[mask], score[mask], sample_weight=weight[mask])
    y[~mask], score[~mask] = -1, np.nan
    assert function(y, score, mask=mask) == expected
    dropped = function(y, score, sample_weight=mask.astype(float))
    np.testing.assert_allclose(dropped, expected, rtol=1e-12)
    assert function(y, score, sample_weight=weight * mask) == weighted
    weight[~mask] = np.nan
    assert function(y, score, mask=mask, sample_weight=weight) == weighted


@all_of_them
def test_masks_and_weights_start_at_the_rows(function):
    y, score, _ = make_scores((7, 7))
    rows = np.arange(7) < 4
    expected = function(y[rows], score[rows])
    assert expected != function(y[:, rows], score[:, rows])
    for values in (rows, rows[:, None]):
        assert function(y, score, mask=values) == expected
        np.testing.assert_allclose(
            function(y, score, sample_weight=values), expected, rtol=1e-12
        )


@all_of_them
def test_a_weight_of_2_is_an_item_twice(function):
    y, score, _ = make_scores()
    weight = checks.rng(4).integers(0, 3, len(y))
    expected = function(np.repeat(y, weight), np.repeat(score, weight))
    np.testing.assert_allclose(
        function(y, score, sample_weight=weight), expected, rtol=1e-12
    )


@all_of_them
def test_one_kind_alone_or_nothing_is_nan(function):
    y, score, _ = make_scores()
    assert np.isnan(function([], []))
    assert np.isnan(function([0, 0], [0.1, 0.2]))
    assert np.isnan(function([1, 1], [0.1, 0.2]))
    assert np.isnan(function(y, score, mask=y == 1))
    assert np.isnan(function(y, score, sample_weight=0.1 * y))
    assert np.isnan(function(y, score, sample_weight=0 * y))


@all_of_them
def test_every_precision_and_every_kind_of_label(function):
    y, score, _ = make_scores(kinds=5)
    expected = function(y, score)
    for labels in (y.astype(bool), y.astype("uint8"), y.astype("float32")):
        assert function(labels, score) == expected
    whole = np.rint(5 * score)
    half = keras.ops.convert_to_numpy(keras.ops.cast(whole, "bfloat16"))
    assert function(y, half) == expected
    for dtype in ("float16", "float32", "int64", "uint8"):
        assert function(y, whole.astype(dtype)) == expected
    lowest = np.where(score == score.min(), -np.inf, score)
    assert function(y, lowest) == expected


@all_of_them
@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        (0, np.nan, "`score`.*no NaN"),
        (2, 0.5, "`y_true`.*zeros and ones"),
        (-1, 0.5, "`y_true`.*zeros and ones"),
        (np.nan, 0.5, "`y_true`.*zeros and ones"),
    ],
)
def test_refuses_what_must_not_be_averaged_away(
    function, label, score, message
):
    with pytest.raises(ValueError, match=rf"(?s){message}.*Received: "):
        function([0, 1, label], [0.1, 0.2, score])


@all_of_them
@pytest.mark.parametrize("other", [(4, 1), (1,), (), (1, 4), (5,)])
def test_refuses_shapes_that_would_broadcast(function, other):
    with pytest.raises(ValueError, match=r"same shape.*Received: .*'score'"):
        function(np.zeros(4), np.zeros(other))


@all_of_them
@pytest.mark.parametrize("weight", [[1.0, -1.0], [1.0, np.inf], [1.0] * 3])
def test_refuses_weights_that_do_not_fit(function, weight):
    with pytest.raises(ValueError, match=r"(?s)`sample_weight`.*Received: "):
        function([0, 1], [0.1, 0.2], sample_weight=weight)


@pytest.mark.parametrize("tpr", [0.0, 1.1, -0.5, 95, np.nan])
def test_refuses_a_share_that_is_none(tpr):
    with pytest.raises(ValueError, match=r"`tpr`.*Received: tpr="):
        fpr_at_tpr([0, 1], [0.1, 0.2], tpr)


def test_all_of_the_positives():
    assert fpr_at_tpr([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.6], 1.0) == 0.5
