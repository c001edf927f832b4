"""Risk-coverage against published values, all orders and closed forms."""

import itertools

import checks
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_seqtools.metrics import augrc
from keras_seqtools.metrics import aurc
from keras_seqtools.metrics import coverage_at_risk
from keras_seqtools.metrics import eaurc
from keras_seqtools.metrics import risk_coverage_curve

AREAS = [aurc, eaurc, augrc]
all_areas = pytest.mark.parametrize("area", AREAS)


def make_losses(shape=(60,), kinds=9, binary=False):
    """Losses that rise with a score of many ties, and weights."""
    score = checks.rng(1).integers(0, kinds, shape) / kinds
    loss = checks.rng(2).random(shape) * (0.2 + score)
    loss = loss > 0.5 if binary else loss
    return loss, score, checks.rng(3).integers(1, 4, shape)


def mean_of_risks(loss):
    """The AURC of losses in the order in which they are kept."""
    return np.mean([np.mean(loss[:k]) for k in range(1, len(loss) + 1)])


def over_all_orders(function, loss, score):
    """The mean over the orders in which equal scores may stand."""
    found = [
        function([loss[i] for i in order])
        for order in itertools.permutations(range(len(loss)))
        if all(score[i] <= score[j] for i, j in itertools.pairwise(order))
    ]
    return np.mean(found)


def test_the_curve_gives_the_published_area(published):
    inputs, value, rtol = published("tu_aurc")
    wrong = inputs["probs"].argmax(-1) != inputs["y"]
    score = 1 - inputs["probs"].max(-1)
    curve, n = risk_coverage_curve(wrong, score), len(wrong)
    np.testing.assert_allclose(
        curve.coverage, np.arange(1, n + 1) / n, rtol=1e-12
    )
    middle = (curve.risk[1:] + curve.risk[:-1]) / 2
    area = middle @ np.diff(curve.coverage) / (1 - 1 / n)
    np.testing.assert_allclose(area, value, rtol=rtol)
    np.testing.assert_allclose(aurc(wrong, score), curve.risk.mean())


def test_the_coverage_at_a_risk_is_the_published_one(published):
    inputs, value, rtol = published("tu_cov_at_5_risk")
    wrong = inputs["probs"].argmax(-1) != inputs["y"]
    coverage = coverage_at_risk(wrong, -inputs["probs"].max(-1), 0.05)
    np.testing.assert_allclose(coverage, value, rtol=rtol)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_curve_equals_a_loop_over_its_thresholds(weighted):
    loss, score, weight = make_losses()
    kwargs = {"sample_weight": weight} if weighted else {}
    curve = risk_coverage_curve(loss, score, **kwargs)
    weight = weight if weighted else np.ones(len(loss))
    np.testing.assert_array_equal(curve.score, np.unique(score))
    for threshold, coverage, risk in zip(
        curve.score, curve.coverage, curve.risk, strict=True
    ):
        kept = score <= threshold
        np.testing.assert_allclose(
            coverage, weight[kept].sum() / weight.sum(), rtol=1e-12
        )
        np.testing.assert_allclose(
            risk, np.average(loss[kept], weights=weight[kept]), rtol=1e-12
        )


def test_without_ties_the_area_is_the_mean_of_the_risks():
    loss = checks.rng(1).normal(size=500)
    score = checks.rng(2).permutation(500)
    expected = mean_of_risks(loss[np.argsort(score)])
    np.testing.assert_allclose(aurc(loss, score), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "score",
    [[0] * 6, [0, 0, 1, 1, 2, 2], [3, 1, 1, 1, 0, 1], [5, 5, 5, 2, 2, 9]],
)
@pytest.mark.parametrize("loss", [[1, 0, 0, 1, 1, 0], [0.3, -2, 4, 0.1, 0, 9]])
def test_with_ties_the_area_is_the_mean_over_all_orders(score, loss):
    expected = over_all_orders(mean_of_risks, loss, score)
    np.testing.assert_allclose(aurc(loss, score), expected, rtol=1e-12)


def test_far_from_zero_and_with_many_items_digits_are_kept():
    loss = checks.rng(1).random(200_000) < 0.3
    score = checks.rng(2).permutation(200_000)
    risks = np.cumsum(loss[np.argsort(score)]) / np.arange(1, 200_001)
    np.testing.assert_allclose(aurc(loss, score), risks.mean(), rtol=1e-11)


@pytest.mark.parametrize("loss", [[1, 0, 0, 1, 0], [0.3, 2, 4, 0.1, 9]])
def test_the_excess_is_over_the_best_of_all_orders(loss):
    best = min(map(mean_of_risks, itertools.permutations(loss)))
    for score in ([1, 2, 3, 4, 5], [1, 1, 2, 2, 2]):
        np.testing.assert_allclose(
            eaurc(loss, score), aurc(loss, score) - best, rtol=1e-12
        )
    assert eaurc(loss, loss) == 0.0


def test_a_score_in_the_order_of_the_losses_has_no_excess():
    loss, _, _ = make_losses(binary=True)
    score = loss + checks.rng(4).random(60) / 2
    np.testing.assert_allclose(eaurc(loss, score), 0.0, atol=1e-15)
    assert eaurc(loss, -score) > 0.1


def test_a_constant_score_says_nothing():
    loss, _, _ = make_losses()
    score = np.ones(60)
    np.testing.assert_allclose(aurc(loss, score), loss.mean(), rtol=1e-12)
    np.testing.assert_allclose(augrc(loss, score), loss.mean() / 2, rtol=1e-12)


@pytest.mark.parametrize("kinds", [2, 9, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_generalised_area_of_errors_has_a_closed_form(kinds, weighted):
    wrong, score, weight = make_losses((300,), kinds, binary=True)
    weight = weight if weighted else np.ones(300)
    accuracy = np.average(~wrong, weights=weight)
    area = roc_auc_score(wrong, score, sample_weight=weight)
    expected = (1 - area) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    found = augrc(wrong, score, sample_weight=weight if weighted else None)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("risk", [-1.0, 0.0, 0.2, 0.25, 0.4, 10.0])
def test_the_coverage_at_a_risk_equals_a_loop(risk):
    wrong, score, _ = make_losses(binary=True)
    coverage = 0.0
    for threshold in score:
        kept = score <= threshold
        if wrong[kept].mean() <= risk:
            coverage = max(coverage, kept.mean())
    assert coverage_at_risk(wrong, score, risk) == coverage


def test_a_threshold_cannot_keep_a_part_of_equal_scores():
    assert coverage_at_risk([0, 0, 1], [1, 2, 2], 0.4) == 1.0
    assert coverage_at_risk([0, 0, 1], [1, 2, 2], 0.3) == 1 / 3
    assert coverage_at_risk([0, 0, 1], [1, 1, 1], 0.3) == 0.0


@all_areas
def test_the_order_of_items_and_their_shape_are_of_no_account(area):
    loss, score, weight = make_losses((6, 5, 2))
    expected = area(loss, score, sample_weight=weight)
    order = checks.rng(4).permutation(60)
    flat = (values.ravel()[order] for values in (loss, score, weight))
    loss, score, weight = flat
    np.testing.assert_allclose(
        area(loss, score, sample_weight=weight), expected, rtol=1e-12
    )


@all_areas
@pytest.mark.parametrize("kinds", [9, 10**6])
def test_a_weight_of_2_is_an_item_twice(area, kinds):
    loss, score, weight = make_losses(kinds=kinds)
    expected = area(np.repeat(loss, weight), np.repeat(score, weight))
    np.testing.assert_allclose(
        area(loss, score, sample_weight=weight), expected, rtol=1e-12
    )


@all_areas
def test_a_mask_and_a_weight_of_0_drop_items_that_hold_garbage(area):
    loss, score, weight = make_losses((8, 5))
    mask = checks.rng(4).random(loss.shape) < 0.6
    expected = area(loss[mask], score[mask])
    loss[~mask], score[~mask] = np.inf, np.nan
    assert area(loss, score, mask=mask) == expected
    dropped = area(loss, score, sample_weight=mask.astype(float))
    np.testing.assert_allclose(dropped, expected, rtol=1e-12)
    weight = np.where(mask, 1.0, np.nan)
    both = area(loss, score, mask=mask, sample_weight=weight)
    np.testing.assert_allclose(both, expected, rtol=1e-12)
    coverage = coverage_at_risk(loss, score, 0.4, mask=mask)
    assert coverage == coverage_at_risk(loss[mask], score[mask], 0.4)


@all_areas
def test_masks_start_at_the_rows(area):
    loss, score, _ = make_losses((7, 7))
    rows = np.arange(7) < 4
    expected = area(loss[rows], score[rows])
    assert expected != area(loss[:, rows], score[:, rows])
    assert area(loss, score, mask=rows) == expected
    np.testing.assert_allclose(
        area(loss, score, sample_weight=rows), expected, rtol=1e-12
    )


def test_without_data():
    curve = risk_coverage_curve([], [])
    for values in (curve.coverage, curve.risk, curve.score):
        assert values.shape == (0,)
    for area in AREAS:
        assert np.isnan(area([], []))
        assert np.isnan(area([1.0], [1.0], mask=[False]))
    assert np.isnan(coverage_at_risk([], [], 0.1))


@all_areas
@pytest.mark.parametrize(
    ("loss", "score", "message"),
    [
        (0.0, np.nan, "`score`.*no NaN"),
        (np.nan, 0.5, "`loss`.*finite"),
        (np.inf, 0.5, "`loss`.*finite"),
    ],
)
def test_refuses_what_must_not_be_averaged_away(area, loss, score, message):
    with pytest.raises(ValueError, match=rf"(?s){message}.*Received: "):
        area([0.0, 1.0, loss], [0.1, 0.2, score])


@all_areas
@pytest.mark.parametrize("other", [(4, 1), (1,), (), (1, 4), (5,)])
def test_refuses_shapes_that_would_broadcast(area, other):
    with pytest.raises(ValueError, match=r"same shape.*Received: .*'score'"):
        area(np.zeros(4), np.zeros(other))


def test_refuses_a_risk_that_is_no_number():
    with pytest.raises(ValueError, match=r"`risk`.*Received: risk=nan"):
        coverage_at_risk([0, 1], [0.1, 0.2], np.nan)
