"""Selective prediction: keep what is sure, hand over the rest."""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqtools._validation import invalid
from keras_seqtools.metrics._ranks import rank_losses


@dataclasses.dataclass(frozen=True, eq=False)
class RiskCoverageCurve:
    """The mean loss of what is kept, by how much is kept.

    It has a point for each distinct score: a threshold keeps items of equal
    score together, or none of them.

    Attributes:
        coverage: Share of the items that is kept, rising to 1.
        risk: Mean loss of the items that are kept.
        score: The highest score among them.

    Example:

    >>> curve = kst.metrics.risk_coverage_curve([0, 1, 1], [0.1, 0.7, 0.7])
    >>> curve.coverage.round(2), curve.risk.round(2), curve.score
    (array([0.33, 1.  ]), array([0.  , 0.67]), array([0.1, 0.7]))
    """

    coverage: np.ndarray
    risk: np.ndarray
    score: np.ndarray


def risk_coverage_curve(
    loss: Any, score: Any, *, mask: Any = None, sample_weight: Any = None
) -> RiskCoverageCurve:
    """The mean loss of the items kept, as more and more are kept.

    Items are kept from the surest on, which has the lowest score: a score is
    higher where the model is less sure, as in `result.score(name)`. The order
    of the items is of no account.

    Nothing is broadcast.

    Args:
        loss: Array of what each item would cost if it were kept, of any
            shape: whether it is wrong, or any other loss.
        score: Array of the same shape, higher for what is less sure.
        mask: Boolean array, of the shape of `loss` or its first axes:
            `(batch,)` speaks of rows, also where `batch == time`. What it
            leaves out may hold anything, NaN too. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`: how often each
            item occurs. What weighs nothing may hold anything. Defaults to
            `None`.

    Returns:
        A `RiskCoverageCurve`, without points if nothing counts.

    Raises:
        ValueError: If a shape does not fit, a weight is negative or not
            finite, or what counts holds a NaN or an infinite loss.

    Example:

    >>> wrong = [False, False, True, False]
    >>> curve = kst.metrics.risk_coverage_curve(wrong, [0.1, 0.2, 0.9, 0.8])
    >>> curve.risk
    array([0.  , 0.  , 0.  , 0.25])

    Reference:

    - [El-Yaniv & Wiener, 2010](https://www.jmlr.org/papers/v11/el-yaniv10a.html)
    """
    score, count, total = rank_losses(loss, score, mask, sample_weight)
    return RiskCoverageCurve(
        count[1:] / count[-1], total[1:] / count[1:], score
    )


def aurc(
    loss: Any, score: Any, *, mask: Any = None, sample_weight: Any = None
) -> float:
    """Area under the risk-coverage curve: the mean of the selective risks.

    The mean over `k` of the mean loss of the `k` surest items. Lower is
    better; a score that says nothing has the mean loss. Inside a group of
    equal scores it is the expected value over all orders of the group.

    It rewards a better model as well as a better score: `eaurc` takes the
    former out, and `augrc` does not weigh the errors of the surest few so
    heavily. As it depends on the number of items, weights are counts, and
    their scale is of account: a weight of 2 is the item twice.

    Args:
        loss: As in `risk_coverage_curve`.
        score: As in `risk_coverage_curve`.
        mask: As in `risk_coverage_curve`. Defaults to `None`.
        sample_weight: As in `risk_coverage_curve`. Defaults to `None`.

    Returns:
        Float, in the units of `loss`. NaN if nothing counts.

    Raises:
        ValueError: As in `risk_coverage_curve`.

    Example:

    >>> kst.metrics.aurc([0, 0, 1, 0], [0.1, 0.2, 0.9, 0.8])
    0.0625

    Reference:

    - [Geifman et al., 2019](https://arxiv.org/abs/1805.08206)
    """
    _, count, total = rank_losses(loss, score, mask, sample_weight)
    if not count[-1]:
        return math.nan
    ties = np.flatnonzero(np.diff(count) != 1.0)
    before, after, lost = count[ties], count[ties + 1], total[ties]
    # As the k-th item of all, one of a group has the risk `mean + rest / k`,
    # and a sum of 1 / k is a difference of the digamma function.
    mean = (total[ties + 1] - lost) / (after - before)
    rest = lost - before * mean
    inverses = _digamma(after + 1.0) - _digamma(before + 1.0)
    # An item without equals has one risk, that of all up to it.
    risks = total[1:] / count[1:]
    risks[ties] = (after - before) * mean + rest * inverses
    return float(risks.sum() / count[-1])


def _digamma(x: np.ndarray) -> np.ndarray:
    return np.asarray(tf.math.digamma(x))


def eaurc(
    loss: Any, score: Any, *, mask: Any = None, sample_weight: Any = None
) -> float:
    """Excess AURC: what the AURC of the score is above that of the best one.

    The best score is the loss itself; its AURC is that of these very items,
    not an approximation for many. 0 is a perfect score, whatever the model.

    Args:
        loss: As in `risk_coverage_curve`.
        score: As in `risk_coverage_curve`.
        mask: As in `risk_coverage_curve`. Defaults to `None`.
        sample_weight: As in `aurc`. Defaults to `None`.

    Returns:
        Float of at least 0, but for rounding, in the units of `loss`. NaN if
        nothing counts.

    Raises:
        ValueError: As in `risk_coverage_curve`.

    Example:

    >>> kst.metrics.eaurc([0, 0, 1, 0], [0.1, 0.2, 0.9, 0.8])
    0.0
    >>> kst.metrics.eaurc([1, 0], [0.1, 0.2])
    0.5

    Reference:

    - [Geifman et al., 2019](https://arxiv.org/abs/1805.08206)
    """
    area = aurc(loss, score, mask=mask, sample_weight=sample_weight)
    return area - aurc(loss, loss, mask=mask, sample_weight=sample_weight)


def augrc(
    loss: Any, score: Any, *, mask: Any = None, sample_weight: Any = None
) -> float:
    """Area under the generalised risk-coverage curve.

    The generalised risk is the loss of what is kept per item that came, kept
    or not: of 0/1 errors, the probability of an error that nobody looks at.
    Its area from no coverage to full is that probability, averaged over the
    coverages; for errors it equals
    `(1 - auroc) * accuracy * (1 - accuracy) + (1 - accuracy)**2 / 2`.

    Args:
        loss: As in `risk_coverage_curve`.
        score: As in `risk_coverage_curve`.
        mask: As in `risk_coverage_curve`. Defaults to `None`.
        sample_weight: As in `risk_coverage_curve`. Defaults to `None`.

    Returns:
        Float, in the units of `loss`. NaN if nothing counts.

    Raises:
        ValueError: As in `risk_coverage_curve`.

    Example:

    >>> kst.metrics.augrc([0, 0, 1, 0], [0.1, 0.2, 0.9, 0.8])
    0.03125

    Reference:

    - [Traub et al., 2024](https://arxiv.org/abs/2407.01032)
    """
    _, count, total = rank_losses(loss, score, mask, sample_weight)
    if not count[-1]:
        return math.nan
    twice = total[:-1] + total[1:]
    return float(np.diff(count) @ twice / (2.0 * count[-1] ** 2))


def coverage_at_risk(
    loss: Any,
    score: Any,
    risk: float,
    *,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """The largest share of the items that can be kept at a stated risk.

    It is what could have been kept of these items, found with their losses in
    hand. To choose a threshold for items to come, see `fit_threshold`.

    Args:
        loss: As in `risk_coverage_curve`.
        score: As in `risk_coverage_curve`.
        risk: Float, the mean loss that what is kept may have.
        mask: As in `risk_coverage_curve`. Defaults to `None`.
        sample_weight: As in `risk_coverage_curve`. Defaults to `None`.

    Returns:
        Float in [0, 1], 0 if no threshold will do. NaN if nothing counts.

    Raises:
        ValueError: As in `risk_coverage_curve`, or if `risk` is NaN.

    Example:

    >>> kst.metrics.coverage_at_risk([0, 1, 0, 0], [0.1, 0.2, 0.9, 0.8], 0.3)
    1.0
    >>> kst.metrics.coverage_at_risk([0, 1, 0, 0], [0.1, 0.2, 0.9, 0.8], 0.1)
    0.25

    Reference:

    - [El-Yaniv & Wiener, 2010](https://www.jmlr.org/papers/v11/el-yaniv10a.html)
    """
    if math.isnan(risk):
        raise invalid("risk", "a number", risk)
    curve = risk_coverage_curve(
        loss, score, mask=mask, sample_weight=sample_weight
    )
    if not len(curve.risk):
        return math.nan
    return float(curve.coverage[curve.risk <= risk].max(initial=0.0))
