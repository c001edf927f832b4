"""How well a score tells two kinds of items apart."""

import math
from typing import Any

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.metrics._ranks import rank_labels


def auroc(
    y_true: Any, score: Any, *, mask: Any = None, sample_weight: Any = None
) -> float:
    """Area under the ROC curve: P(a positive scores higher than a negative).

    Equal scores count half (mid-ranks): a constant score has 0.5, which is
    chance, and the order of the items is of no account. It is exact, by
    sorting; `keras.metrics.AUC` has a grid of thresholds and cannot tell
    scores that crowd together, such as saturated probabilities.

    To see whether a model knows what it does not know, let the positives be
    the wrong answers, or the items of a novel kind, and the score one that is
    higher where the model is less sure, such as `result.score(name)` of what
    `predict_uncertainty` returns.

    Nothing is broadcast.

    Args:
        y_true: Array of 0 and 1, of any shape; 1 are the positives.
        score: Array of the same shape, higher for what looks positive.
        mask: Boolean array, of the shape of `y_true` or its first axes:
            `(batch,)` speaks of rows, also where `batch == time`. What it
            leaves out may hold anything, NaN too. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. What weighs
            nothing may hold anything. Defaults to `None`.

    Returns:
        Float in [0, 1]. NaN if one of the two kinds does not occur.

    Raises:
        ValueError: If a shape does not fit, a weight is negative or not
            finite, or what counts holds a NaN or another label.

    Example:

    >>> kst.metrics.auroc([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])
    0.75

    Reference:

    - [Hanley & McNeil, 1982](https://doi.org/10.1148/radiology.143.1.7063747)
    """
    _, count, positive = rank_labels(y_true, score, mask, sample_weight)
    if not 0.0 < positive[-1] < count[-1]:
        return math.nan
    negative = np.subtract(count, positive, out=count)
    # For the positives of a score, twice the negatives below it and once
    # those beside them.
    beaten = negative[:-1] + negative[1:]
    pairs = positive[-1] * negative[-1]
    return float(np.diff(positive) @ beaten / (2.0 * pairs))


def average_precision(
    y_true: Any, score: Any, *, mask: Any = None, sample_weight: Any = None
) -> float:
    """Average precision: area under the precision-recall curve, as a sum.

    The precision among all items of at least a score, averaged over the
    positives. Chance is the share of the positives, and unlike the AUROC it
    changes with that share.

    Nothing is broadcast.

    Args:
        y_true: Array of 0 and 1, of any shape; 1 are the positives.
        score: Array of the same shape, higher for what looks positive.
        mask: As in `auroc`. Defaults to `None`.
        sample_weight: As in `auroc`. Defaults to `None`.

    Returns:
        Float in [0, 1]. NaN if one of the two kinds does not occur.

    Raises:
        ValueError: As in `auroc`.

    Example:

    >>> kst.metrics.average_precision([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    0.8333333333333333

    Reference:

    - [Davis & Goadrich, 2006](https://doi.org/10.1145/1143844.1143874)
    """
    _, count, positive = rank_labels(
        y_true, score, mask, sample_weight, highest_first=True
    )
    if not 0.0 < positive[-1] < count[-1]:
        return math.nan
    precision = positive[1:] / count[1:]
    return float(np.diff(positive) @ precision / positive[-1])


def fpr_at_tpr(
    y_true: Any,
    score: Any,
    tpr: float = 0.95,
    *,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """Share of the negatives flagged, where `tpr` of the positives are.

    An item is flagged if it scores at least a threshold: the highest one that
    flags `tpr` of the positives or more. There is no interpolation.

    Positives are `y_true == 1`, here the novel or wrong items. Many papers
    take the known items for the positives of their "FPR95", which is another
    number on the same data: `fpr_at_tpr(1 - y_true, -score)`.

    Nothing is broadcast.

    Args:
        y_true: Array of 0 and 1, of any shape; 1 are the positives.
        score: Array of the same shape, higher for what looks positive.
        tpr: Float in (0, 1], the share of the positives to be found. Defaults
            to `0.95`.
        mask: As in `auroc`. Defaults to `None`.
        sample_weight: As in `auroc`. Defaults to `None`.

    Returns:
        Float in [0, 1]. NaN if one of the two kinds does not occur.

    Raises:
        ValueError: As in `auroc`, or if `tpr` is out of range.

    Example:

    >>> kst.metrics.fpr_at_tpr([0, 0, 0, 1, 1], [0.1, 0.2, 0.5, 0.4, 0.9])
    0.3333333333333333

    Reference:

    - [Hendrycks & Gimpel, 2017](https://arxiv.org/abs/1610.02136)
    """
    if not 0.0 < tpr <= 1.0:
        raise invalid("tpr", "a number in (0, 1]", tpr)
    _, count, positive = rank_labels(
        y_true, score, mask, sample_weight, highest_first=True
    )
    if not 0.0 < positive[-1] < count[-1]:
        return math.nan
    first = np.searchsorted(positive / positive[-1], tpr)
    negative = count - positive
    return float(negative[first] / negative[-1])
