"""Thresholds: exact intervals, loops over candidates, promises kept."""

import checks
import numpy as np
import pytest
from scipy import stats

from keras_seqtools.metrics import fit_threshold
from keras_seqtools.metrics._binomial import binomial_cdf
from keras_seqtools.metrics._binomial import clopper_pearson


def make_scores(n, seed=0):
    """Scores in (0, 1), and answers wrong with probability 0.4 * score."""
    score = checks.rng(seed).random(n)
    return checks.rng(seed + 10**6).random(n) < 0.4 * score, score


def true_risk(threshold):
    return 0.2 * threshold


def true_fpr(threshold):
    """Of a right answer the score has the density (1 - 0.4 s) / 0.8."""
    return 1 - (threshold - 0.2 * threshold**2) / 0.8


def true_cost(threshold, wrong, handed):
    return wrong * 0.2 * threshold**2 + handed * (1 - threshold)


@pytest.mark.parametrize("size", [1, 7, 300, 10**6])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_intervals_are_those_of_scipy(size, level):
    tail = (1 - level) / 2
    for count in {0, 1, size // 30, size // 2, size - 1, size}:
        lower = stats.beta.ppf(tail, count, size - count + 1) if count else 0
        upper = stats.beta.isf(tail, count + 1, size - count)
        expected = lower, upper if count < size else 1
        np.testing.assert_allclose(
            clopper_pearson(count, size, level), expected, rtol=1e-9, atol=1e-15
        )


def test_no_event_at_all_says_nothing():
    assert clopper_pearson(0, 0, 0.9) == (0.0, 1.0)


def test_the_cdf_is_that_of_scipy():
    size = np.array([1, 20, 1000])[:, None, None]
    count = np.minimum([[0], [1], [17], [200]], size)
    p = np.array([1e-6, 0.2, 0.9])
    np.testing.assert_allclose(
        binomial_cdf(count, size, p),
        stats.binom.cdf(count, size, p),
        rtol=1e-10,
        atol=1e-14,
    )


@pytest.mark.parametrize("n", [250, 400, 1501])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_a_risk_is_proven_at_the_largest_coverage_it_can_be(n, level):
    wrong, score = make_scores(n)
    ordered, in_order = np.sort(score), wrong[np.argsort(score)]
    ranks = sorted({int(np.ceil(n * k / 50 - 1e-9)) for k in range(1, 51)})
    tail = (1 - level) / 2 / len(ranks)
    best = 0
    for rank in ranks:
        test = stats.binomtest(
            int(in_order[:rank].sum()), rank, 0.15, alternative="less"
        )
        if test.pvalue <= tail:
            best = rank
    assert 0 < best < n
    found = fit_threshold(wrong, score, risk=0.15, level=level)
    assert found.threshold == ordered[best]
    assert found.kept == best / n
    assert found.value == in_order[:best].mean()
    expected = stats.binomtest(int(in_order[:best].sum()), best)
    np.testing.assert_allclose(
        found.interval, expected.proportion_ci(1 - 2 * tail), rtol=1e-9
    )
    assert found.interval[1] <= 0.15
    assert (found.criterion, found.target) == ("risk", 0.15)
    assert (found.level, found.n) == (level, n)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_an_fpr_is_that_of_an_order_statistic(level):
    wrong, score = make_scores(500)
    right = np.sort(score[~wrong])
    counts = np.arange(len(right))
    upper = stats.beta.isf((1 - level) / 2, counts + 1, len(right) - counts)
    most = counts[upper <= 0.1].max()
    found = fit_threshold(wrong, score, fpr=0.1, level=level)
    flagged = right >= found.threshold
    assert flagged.sum() == most
    assert found.threshold in score
    lower = score[score < found.threshold].max()
    assert (right >= lower).sum() > most  # the next one would flag too many
    assert found.value == flagged.mean()
    expected = stats.binomtest(most, len(right)).proportion_ci(level)
    np.testing.assert_allclose(found.interval, expected, rtol=1e-9)
    assert found.interval[1] <= 0.1
    assert found.kept == (score < found.threshold).mean()


@pytest.mark.parametrize("cost", [(4.0, 1.0), (10, 1), (1.0, 3.0), (3e3, 1)])
def test_a_cost_is_the_lowest_that_any_threshold_has(cost):
    wrong, score = make_scores(400)
    score = np.round(score, 2)
    costs = {
        t: np.where(score < t, cost[0] * wrong, cost[1]).mean()
        for t in (-np.inf, *score, np.inf)
    }
    found = fit_threshold(wrong, score, cost=cost)
    np.testing.assert_allclose(found.value, min(costs.values()), rtol=1e-12)
    np.testing.assert_allclose(
        costs[found.threshold], min(costs.values()), rtol=1e-12
    )
    kept = score < found.threshold
    assert found.kept == kept.mean()
    shares = [
        stats.binomtest(int(count), 400).proportion_ci(0.975)
        for count in ((kept & wrong).sum(), (~kept).sum())
    ]
    np.testing.assert_allclose(found.interval, np.dot(cost, shares), rtol=1e-9)


def test_of_equal_costs_the_one_that_keeps_most():
    wrong = [False, True, False, False]
    found = fit_threshold(wrong, [0.1, 0.2, 0.3, 0.4], cost=(3.0, 1.0))
    assert found.threshold == np.inf
    assert (found.kept, found.value) == (1.0, 0.75)
    found = fit_threshold([True, True], [0.1, 0.2], cost=(3.0, 1.0))
    assert found.threshold == -np.inf
    assert (found.kept, found.value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("criterion", "truth"), [("risk", true_risk), ("fpr", true_fpr)]
)
@pytest.mark.parametrize("level", [0.6, 0.9])
def test_promises_are_kept_on_new_data(criterion, truth, level):
    repeats, target, broken, missed = 200, 0.15, 0, 0
    for seed in range(repeats):
        found = fit_threshold(
            *make_scores(1000, seed), **{criterion: target}, level=level
        )
        value = truth(min(found.threshold, 1.0))
        broken += value > target
        lower, upper = found.interval
        missed += not lower <= value <= upper
    noise = 3 * np.sqrt(level * (1 - level) * repeats)
    assert broken <= (1 - level) * repeats + noise
    assert missed <= (1 - level) * repeats + noise
    if criterion == "fpr":  # exact, so not wider than need be either
        assert missed >= (1 - level) * repeats / 2 - noise


def test_a_promise_that_looks_kept_on_the_same_data_is_not():
    """What the intervals are for: without them about half is broken."""
    repeats, broken = 200, 0
    for seed in range(repeats):
        wrong, score = make_scores(400, seed)
        order = np.argsort(score)
        risks = np.cumsum(wrong[order]) / np.arange(1, 401)
        naive = score[order][np.flatnonzero(risks <= 0.1)[-1]]
        broken += true_risk(naive) > 0.1
    assert broken > 0.3 * repeats


def test_the_interval_of_a_cost_holds_for_many_items():
    repeats, missed = 100, 0
    for seed in range(repeats):
        found = fit_threshold(*make_scores(1000, seed), cost=(4.0, 1.0))
        value = true_cost(min(found.threshold, 1.0), 4.0, 1.0)
        missed += not found.interval[0] <= value <= found.interval[1]
    assert missed <= 0.05 * repeats


@pytest.mark.parametrize(
    ("kwargs", "threshold", "kept"),
    [({"risk": 0.05}, -np.inf, 0.0), ({"fpr": 0.05}, np.inf, 1.0)],
)
def test_too_few_items_promise_nothing(kwargs, threshold, kept):
    wrong = np.zeros(40, bool)
    with pytest.warns(UserWarning, match="40 items do not prove"):
        found = fit_threshold(wrong, np.arange(40), **kwargs)
    assert (found.threshold, found.kept) == (threshold, kept)
    assert np.isnan([found.value, *found.interval]).all()
    assert found.keep([0.0, 99.0]).tolist() == [bool(kept)] * 2


def test_a_good_model_keeps_everything():
    found = fit_threshold(np.zeros(400, bool), np.arange(400), risk=0.05)
    assert (found.threshold, found.kept, found.value) == (np.inf, 1.0, 0.0)


@pytest.mark.filterwarnings("ignore:1[05] items do not prove")
def test_no_item_is_right():
    for wrong in (np.ones(15, bool), np.arange(10) < 0):
        found = fit_threshold(wrong, np.arange(len(wrong)), fpr=0.05)
        assert found.threshold == np.inf


@pytest.mark.parametrize("kwargs", [{"risk": 0.15}, {"fpr": 0.3}])
def test_equal_scores_are_kept_together(kwargs):
    wrong, score = make_scores(2000)
    score = np.round(score, 1)
    found = fit_threshold(wrong, score, **kwargs)
    assert found.threshold in score
    kept = found.keep(score)
    np.testing.assert_array_equal(kept, score < found.threshold)
    assert 0 < found.kept == kept.mean() < 1
    assert found.interval[1] <= next(iter(kwargs.values()))


def test_keeps_what_scores_below_in_any_precision():
    wrong, score = make_scores(1000)
    score = score.astype("float32")
    found = fit_threshold(wrong, score, risk=0.15)
    at = np.float32(found.threshold)
    below = np.nextafter(at, np.float32(0))
    assert float(at) == found.threshold
    assert found.keep(np.array([below, at])).tolist() == [True, False]
    assert found.keep(score).mean() == found.kept
    assert found.keep([[np.nan], [np.inf], [-np.inf]]).tolist() == [
        [False],
        [False],
        [True],
    ]


@pytest.mark.parametrize(
    "kwargs", [{"risk": 0.15}, {"fpr": 0.1}, {"cost": (4.0, 1.0)}]
)
def test_a_mask_drops_items_and_their_order_is_of_no_account(kwargs):
    wrong, score = make_scores(1200)
    wrong, score = wrong.reshape(300, 4).astype(float), score.reshape(300, 4)
    mask = checks.rng(4).random((300, 4)) < 0.7
    order = checks.rng(5).permutation(mask.sum())
    expected = fit_threshold(wrong[mask][order], score[mask][order], **kwargs)
    wrong[~mask], score[~mask] = -1, np.nan
    assert fit_threshold(wrong, score, mask=mask, **kwargs) == expected


@pytest.mark.parametrize(
    "kwargs", [{}, {"risk": 0.1, "fpr": 0.1}, {"risk": 0.1, "cost": (1, 1)}]
)
def test_refuses_anything_but_one_criterion(kwargs):
    with pytest.raises(ValueError, match=r"exactly one of.*Received: "):
        fit_threshold([0, 1], [0.1, 0.2], **kwargs)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("risk", 0.0),
        ("risk", 5),
        ("fpr", 1.0),
        ("fpr", np.nan),
        ("cost", 1.0),
        ("cost", (1.0, 0.0)),
        ("cost", (1.0, np.inf)),
        ("cost", (1.0, 1.0, 1.0)),
        ("level", 95),
    ],
)
def test_refuses_bad_arguments(name, value):
    kwargs = {"risk": 0.1} if name == "level" else {}
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        fit_threshold([0, 1], [0.1, 0.2], **kwargs, **{name: value})


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([], [], "`y_true`.*at least one"),
        ([0, 2], [0.1, 0.2], "`y_true`.*zeros and ones"),
        ([0, 1], [0.1, np.nan], "`score`.*no NaN"),
        ([0, 1], [[0.1, 0.2]], "same shape"),
    ],
)
def test_refuses_data_that_say_nothing(y, score, message):
    with pytest.raises(ValueError, match=rf"{message}.*Received: "):
        fit_threshold(y, score, risk=0.1)


def test_refuses_a_score_that_is_not_finite():
    with pytest.raises(ValueError, match="finite numbers"):
        fit_threshold([0, 1], [0.1, np.inf], risk=0.2)
