"""Targets beside what a head predicts, for arrays and for tensors."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_seqtools.heads import DistributionHead
from keras_seqtools.metrics._numbers import numbers
from keras_seqtools.metrics._weights import mask_and_weight


def head_items(
    y_true: Any, y_pred: Any, head: DistributionHead
) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64, one row an item: `(rows, units)`, `(rows, size)`."""
    if not isinstance(head, DistributionHead):
        raise TypeError(
            "Invalid value for argument `head`. Expected a head, such as "
            f"`keras_seqtools.heads.NormalHead()`. Received: head={head!r}"
        )
    numbers("y_true", y_true)
    numbers("y_pred", y_pred)  # which, as an array, forgets its head
    y_pred = ops.convert_to_tensor(y_pred)
    head.check_emitted(y_pred)
    y_pred = np.asarray(y_pred, "float64")
    y = np.asarray(head.align(y_true, y_pred))
    return y.reshape(-1, head.units), y_pred.reshape(-1, y_pred.shape[-1])


def counted_items(
    y_true: Any,
    y_pred: Any,
    head: DistributionHead,
    mask: Any,
    sample_weight: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `head_items`, of the items that count, and their weights `(rows,)`.

    Raises a `ValueError` if a target that counts cannot be.
    """
    y, rows = head_items(y_true, y_pred, head)
    items = tuple(np.shape(y_pred)[:-1])
    mask, weight = mask_and_weight(mask, sample_weight, items)
    counts = (mask & (weight != 0.0)).reshape(-1)
    seen = np.where(counts[:, None], y, head.possible_target)
    head.validate(seen.reshape(*items, head.units))
    return y[counts], rows[counts], weight.reshape(-1)[counts]


def average(values: Any, weight: np.ndarray) -> float:
    """The mean over items `(rows, ...)` and units; NaN of nothing."""
    if not weight.size:
        return math.nan
    values = np.asarray(values, "float64").reshape(len(weight), -1)
    return float(np.average(values.mean(axis=-1), weights=weight))


def is_for_counts(head: DistributionHead) -> bool:
    """Whether targets are 0, 1, 2, ..."""
    return head.discrete and head.support == (0.0, math.inf)


def below_and_at_most(
    y: Any, y_pred: Any, head: DistributionHead
) -> tuple[Any, Any]:
    """P(Y < y) and P(Y <= y), NaN where `y` cannot be."""
    y = ops.convert_to_tensor(y)
    at_most = head.cdf(y, y_pred)
    at_most = ops.where(head._is_possible(y), at_most, np.nan)
    below = head.cdf(y - 1.0, y_pred) if head.discrete else at_most
    return below, at_most


def is_covered(below: Any, at_most: Any, level: float) -> Any:
    """1 where the central interval holds `y`, 0 elsewhere, NaN for NaN.

    `y` is at or above the quantile q if P(Y <= y) >= q, and at or below it if
    P(Y < y) < q; so no quantile needs to be searched.
    """
    lower, upper = (1.0 - level) / 2.0, (1.0 + level) / 2.0
    inside = ops.cast((at_most >= lower) & (below < upper), "float64")
    return ops.where(ops.isnan(at_most), np.nan, inside)


def percent(level: float) -> str:
    """A level as names of scores have it: 90 for 0.9."""
    return f"{100 * level:g}"
