"""A threshold on a score, fitted so that it keeps a promise."""

import bisect
import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._binomial import binomial_cdf
from keras_seqtools.metrics._binomial import clopper_pearson
from keras_seqtools.metrics._ranks import rank_labels

# Coverages among which a risk is looked for. More of them would lie closer to
# the best, but each has to be proven at a stricter level.
_COVERAGES = 50


@dataclasses.dataclass(frozen=True)
class Threshold:
    """What scores below it is kept, the rest is handed over.

    Attributes:
        threshold: The score from which on items are handed over.
        criterion: `"risk"`, `"fpr"` or `"cost"`.
        target: What was asked for.
        value: What the criterion is on the data of the fit.
        interval: Where it is on new data, by a confidence of `level`.
        level: That confidence.
        kept: Share of the items of the fit that are kept.
        n: Number of these items.

    Example:

    >>> y_true, score = np.arange(100) > 89, np.arange(100)
    >>> found = kst.metrics.fit_threshold(y_true, score, cost=(5.0, 1.0))
    >>> found.threshold, found.kept, found.value
    (90.0, 0.9, 0.1)
    >>> found.keep([89.9, 90.0, np.nan])
    array([ True, False, False])
    """

    threshold: float
    criterion: str
    target: float | tuple[float, float]
    value: float
    interval: tuple[float, float]
    level: float
    kept: float
    n: int

    def keep(self, score: Any) -> np.ndarray:
        """Which items to keep, by their scores. One of NaN is handed over."""
        return np.asarray(score, "float64") < self.threshold


def fit_threshold(
    y_true: Any,
    score: Any,
    *,
    risk: float | None = None,
    fpr: float | None = None,
    cost: tuple[float, float] | None = None,
    level: float = 0.95,
    mask: Any = None,
) -> Threshold:
    """A threshold from validation data, for a stated error, FPR or cost.

    Items that score below it are kept, and the rest is handed over, to a
    person say. One of three criteria says what is asked of it:

    - `risk`: as many as possible are kept, of which at most this share is
      wrong.
    - `fpr`: as many as possible are handed over, but at most this share of
      the items that are right.
    - `cost`: the mean cost of an item is as low as possible.

    The first two are promises for new data: with a probability of `level`,
    over the draw of the validation data, the true value lies in `interval`,
    the upper end of which is no more than what was asked. That the threshold
    was chosen on the same data is accounted for: in `risk` by proving it at
    50 coverages together (Bonferroni), in `fpr` because its rank follows from
    the number of items that are right. So `value` stays below what was asked,
    more so on few data; if they are too few to promise anything, it warns,
    keeps nothing for `risk` and everything for `fpr`, and `value` is NaN.

    The interval of a `cost` takes the threshold as given. As the lowest cost
    on the data that it was chosen on, `value` is too low on average, by less
    than the width of the interval if items are many.

    All intervals are those of Clopper and Pearson for counts, which need no
    large numbers. They suppose that items are independent, which the steps of
    one sequence are not, and that new data are like the validation data. For
    `fpr` they are exact only if the scores of items that are right do not tie.

    Nothing is broadcast.

    Args:
        y_true: Array of 0 and 1, of any shape; 1 is what should be handed
            over: what the model gets wrong, or what is novel.
        score: Array of the same shape, higher where the model is less sure,
            such as `result.score(name)`.
        risk: Float in (0, 1), the share of wrong items among those kept.
            Defaults to `None`.
        fpr: Float in (0, 1), the share of those handed over among the items
            that are right. Defaults to `None`.
        cost: Two positive numbers: the cost of a wrong item kept, and that of
            an item handed over. Defaults to `None`.
        level: Float in (0, 1), the confidence of the interval. Defaults to
            `0.95`.
        mask: Boolean array, of the shape of `y_true` or its first axes. What
            it leaves out may hold anything, NaN too. Defaults to `None`.

    Returns:
        A `Threshold`, with a method `keep(score)` for new items.

    Raises:
        ValueError: If not just one criterion is given, an argument or a shape
            does not fit, nothing counts, or what counts holds a score that
            is not finite or another label.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> score = rng.random(2000)
    >>> wrong = rng.random(2000) < 0.3 * score**2
    >>> found = kst.metrics.fit_threshold(wrong, score, risk=0.05)
    >>> found.interval[1] <= 0.05
    True
    >>> found.keep([0.2, 0.9])
    array([ True, False])

    Reference:

    - [Clopper & Pearson, 1934](https://doi.org/10.1093/biomet/26.4.404)
    - [Geifman & El-Yaniv, 2017](https://arxiv.org/abs/1705.08500)
    - [Angelopoulos et al., 2021](https://arxiv.org/abs/2110.01052)
    """
    criteria = {"risk": risk, "fpr": fpr, "cost": cost}
    asked = {name: v for name, v in criteria.items() if v is not None}
    if len(asked) != 1:
        raise ValueError(
            "Expected exactly one of `risk`, `fpr` and `cost`. "
            f"Received: {asked}"
        )
    ((criterion, target),) = asked.items()
    (level,) = check_fractions("level", level)
    target = _check_target(criterion, target)
    ranks = rank_labels(y_true, score, mask, None)
    if not len(ranks.score):
        raise invalid("y_true", "at least one item that counts", y_true)
    if not np.isfinite(ranks.score).all():
        raise invalid("score", "finite numbers", score)
    # For each place that a threshold may have, what it keeps: from nothing,
    # by all below one of the scores, to everything.
    threshold = np.concatenate([[-np.inf], ranks.score[1:], [np.inf]])
    kept, wrong = ranks.weight, ranks.total
    place, value, interval = _PLACES[criterion](kept, wrong, target, level)
    n = int(kept[-1])
    if math.isnan(value):
        warnings.warn(
            f"{n} items do not prove that any threshold has {criterion}="
            f"{target} at level={level}, so "
            + ("nothing is kept." if place == 0 else "everything is kept."),
            stacklevel=2,
        )
    return Threshold(
        threshold=float(threshold[place]),
        criterion=criterion,
        target=target,
        value=float(value),
        interval=(float(interval[0]), float(interval[1])),
        level=level,
        kept=float(kept[place] / n),
        n=n,
    )


def _check_target(criterion: str, target: Any) -> Any:
    if criterion != "cost":
        (target,) = check_fractions(criterion, target)
        return target
    costs = tuple(float(cost) for cost in np.ravel(target))
    if len(costs) != 2 or not all(0.0 < cost < np.inf for cost in costs):
        raise invalid("cost", "two positive numbers", target)
    return costs


# Places are those of `kept` and `wrong`: how many items each threshold keeps,
# and how many of these are wrong. The last one keeps everything.
_Place = tuple[int, float, tuple[Any, Any]]
_UNKNOWN = (math.nan, math.nan)


def _place_for_risk(
    kept: np.ndarray, wrong: np.ndarray, risk: float, level: float
) -> _Place:
    # Ranks that were chosen before any label was seen. Given the score that
    # has such a rank, those below it are independent items of their kind.
    n = kept[-1]
    ranks = np.unique(np.ceil(np.linspace(0.0, n, _COVERAGES + 1)[1:]))
    places = np.searchsorted(kept, ranks, side="right") - 1
    tail = (1.0 - level) / 2.0 / len(ranks)
    counts, size = wrong[places], kept[places]
    proven = np.flatnonzero(binomial_cdf(counts, size, risk) <= tail)
    if not len(proven):
        return 0, math.nan, _UNKNOWN
    best = proven[-1]
    interval = clopper_pearson(counts[best], size[best], 1.0 - 2.0 * tail)
    return int(places[best]), counts[best] / size[best], interval


def _place_for_fpr(
    kept: np.ndarray, wrong: np.ndarray, fpr: float, level: float
) -> _Place:
    right = kept - wrong
    flagged, size = right[-1] - right, right[-1]
    tail = (1.0 - level) / 2.0
    # How many may be flagged depends on their number alone, so the threshold
    # is an order statistic, and its interval exact.
    most = -1 + bisect.bisect_right(
        range(int(size) + 1),
        tail,
        key=lambda count: float(binomial_cdf(count, size, fpr)),
    )
    if most < 0:
        return -1, math.nan, _UNKNOWN
    place = int(np.argmax(flagged <= most))
    interval = clopper_pearson(flagged[place], size, level)
    return place, flagged[place] / size, interval


def _place_for_cost(
    kept: np.ndarray, wrong: np.ndarray, cost: tuple[float, float], level: float
) -> _Place:
    n = kept[-1]
    counts = np.stack([wrong, n - kept])
    totals = cost @ counts
    # Of equally good ones that which keeps most.
    place = len(kept) - 1 - int(np.argmin(totals[::-1]))
    # Both shares lie in their intervals at once with probability `level`.
    lower, upper = clopper_pearson(counts[:, place], n, (1.0 + level) / 2.0)
    return place, totals[place] / n, (cost @ lower, cost @ upper)


_PLACES: dict[str, Callable[..., _Place]] = {
    "risk": _place_for_risk,
    "fpr": _place_for_fpr,
    "cost": _place_for_cost,
}
