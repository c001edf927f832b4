"""Items in the order of a score, those of equal score together."""

from typing import Any
from typing import NamedTuple

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.metrics._items import same_shaped
from keras_seqtools.metrics._scores import widened
from keras_seqtools.metrics._weights import mask_and_weight


class Ranks(NamedTuple):
    """Sums over the items in the order of their scores.

    Attributes:
        score: The distinct scores, from the lowest on.
        weight: That of the items before the first score, which is 0, and up
            to each: one number more than there are scores.
        total: Sum of `weight * value`, likewise.
    """

    score: np.ndarray
    weight: np.ndarray
    total: np.ndarray


def rank_labels(
    y_true: Any,
    score: Any,
    mask: Any,
    sample_weight: Any,
    *,
    highest_first: bool = False,
) -> Ranks:
    """The ranks of labels, all of which must be 0 or 1."""
    is_positive, score, weight = counted_labels(
        y_true, score, mask, sample_weight
    )
    return _rank(is_positive, -score if highest_first else score, weight)


def counted_labels(
    y_true: Any, score: Any, mask: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Which items are positive, scores and weights of those that count."""
    y, score, weight = _counted("y_true", y_true, score, mask, sample_weight)
    is_positive = y == 1
    if not (is_positive | (y == 0)).all():
        raise invalid("y_true", "zeros and ones where the mask is true", y)
    return is_positive, score, weight


def rank_losses(loss: Any, score: Any, mask: Any, sample_weight: Any) -> Ranks:
    """The ranks of losses, all of which must be finite."""
    loss, score, weight = _counted("loss", loss, score, mask, sample_weight)
    if not np.isfinite(loss).all():
        raise invalid("loss", "finite numbers where the mask is true", loss)
    return _rank(loss, score, weight)


def _counted(
    name: str, values: Any, score: Any, mask: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Values, scores and weights of the items that count, flat."""
    values, score = same_shaped(**{name: values}, score=score)
    score = widened(score)
    weight = None
    if mask is None and sample_weight is None:
        values, score = values.ravel(), score.ravel()
    else:
        mask, weight = mask_and_weight(mask, sample_weight, score.shape)
        counts = mask & (weight != 0.0)
        values, score, weight = values[counts], score[counts], weight[counts]
    if np.isnan(score).any():
        raise invalid("score", "no NaN where the mask is true", score)
    return values, score, weight


def _rank(
    values: np.ndarray, score: np.ndarray, weight: np.ndarray | None
) -> Ranks:
    # To touch new memory takes longer than to add: little is copied, and what
    # is no longer needed makes room.
    order = np.argsort(score)
    score, values = score.take(order), values.take(order)
    if weight is not None:
        weight = weight.take(order)
    del order
    is_edge = np.ones(len(score) + 1, bool)
    is_edge[1:-1] = score[1:] != score[:-1]
    edges = np.flatnonzero(is_edge)

    def sums(terms: np.ndarray) -> np.ndarray:
        # Integers add up several times as fast.
        dtype = "int64" if terms.dtype == bool else "float64"
        total = np.zeros(len(terms) + 1, dtype)
        total[1:] = terms
        np.cumsum(total, out=total)
        return total.take(edges).astype("float64", copy=False)

    if weight is None:
        total, count = sums(values), edges.astype("float64")
    else:
        total, count = sums(weight * values), sums(weight)
    return Ranks(score.take(edges[:-1]), count, total)
