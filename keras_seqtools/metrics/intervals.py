"""Scores of intervals and quantiles."""

from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._weights import mask_and_weight


def interval_coverage(
    y_true: Any,
    lower: Any,
    upper: Any,
    *,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """The fraction of the values that their intervals contain, ends included.

    Intervals of level 0.9 should cover 0.9. Wide ones cover everything: read
    it beside `interval_score`, which charges for width.

    Nothing is broadcast.

    Args:
        y_true: Array of the values that came, of any shape.
        lower: Array of the same shape, the lower ends.
        upper: Array of the same shape, the upper ends.
        mask: Boolean array, of the shape of `y_true` or its first axes:
            `(batch,)` speaks of rows, also where `batch == time`. What it
            leaves out may hold anything, NaN too. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. What weighs
            nothing may hold anything. Defaults to `None`.

    Returns:
        Float in [0, 1]. NaN if nothing counts.

    Raises:
        ValueError: If a shape does not fit, a weight is negative or not
            finite, or what counts holds a NaN.

    Example:

    >>> kst.metrics.interval_coverage([1.0, 2.0], [0.0, 0.0], [1.0, 1.0])
    0.5

    Reference:

    - [Gneiting et al., 2007](https://doi.org/10.1111/j.1467-9868.2007.00587.x)
    """
    y, low, high = _arrays(y_true=y_true, lower=lower, upper=upper)
    mask, weight = mask_and_weight(mask, sample_weight, y.shape)
    counts = mask & (weight != 0.0)
    y, low, high, weight = y[counts], low[counts], high[counts], weight[counts]
    for name, values in (("y_true", y), ("lower", low), ("upper", high)):
        if np.isnan(values).any():
            raise invalid(name, "no NaN where the mask is true", values)
    if not weight.size:
        return np.nan
    return float(np.average((low <= y) & (y <= high), weights=weight))


def interval_score(
    y_true: Any, lower: Any, upper: Any, level: float
) -> np.ndarray:
    """The interval score (Winkler score), item by item; lower is better.

    The width of the interval, and for a value outside of it the distance to
    the nearer end times `2 / (1 - level)`. It is proper: the central
    quantiles of the truth have the least expected score.

    `level` is what the interval should cover, 0.9 say, not its complement.
    Nothing is broadcast.

    Args:
        y_true: Array of the values that came, of any shape.
        lower: Array of the same shape, the quantile `(1 - level) / 2`.
        upper: Array of the same shape, the quantile `(1 + level) / 2`.
        level: Float in (0, 1), the level of the interval.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If the shapes differ or `level` is out of range.

    Example:

    >>> kst.metrics.interval_score([1.0, 3.0], [0.0, 0.0], [2.0, 2.0], 0.5)
    array([2., 6.])

    Reference:

    - [Winkler, 1972](https://doi.org/10.1080/01621459.1972.10481224)
    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    """
    y, low, high = _arrays(y_true=y_true, lower=lower, upper=upper)
    outside = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    return high - low + outside * 2.0 / (1.0 - _fraction("level", level))


def pinball_loss(y_true: Any, y_pred: Any, quantile: float) -> np.ndarray:
    """The pinball loss of a predicted quantile, item by item.

    `quantile * (y_true - y_pred)` where the value came out above,
    `(1 - quantile) * (y_pred - y_true)` where it came out below. At 0.5 it is
    half the absolute error.

    Nothing is broadcast.

    Args:
        y_true: Array of the values that came, of any shape.
        y_pred: Array of the same shape, the predicted quantiles.
        quantile: Float in (0, 1), which quantile was predicted.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If the shapes differ or `quantile` is out of range.

    Example:

    >>> kst.metrics.pinball_loss([1.0, 3.0], [2.0, 2.0], 0.75)
    array([0.25, 0.75])

    Reference:

    - [Koenker & Bassett, 1978](https://doi.org/10.2307/1913643)
    """
    y, prediction = _arrays(y_true=y_true, y_pred=y_pred)
    quantile, error = _fraction("quantile", quantile), y - prediction
    return np.maximum(quantile * error, (quantile - 1.0) * error)


def _arrays(**values: Any) -> list[np.ndarray]:
    arrays = [np.asarray(value, "float64") for value in values.values()]
    if len({array.shape for array in arrays}) > 1:
        shapes = zip(values, (array.shape for array in arrays), strict=True)
        raise ValueError(
            "The arrays must have the same shape: nothing is broadcast. "
            f"Received: {dict(shapes)}"
        )
    return arrays


def _fraction(name: str, value: Any) -> float:
    fractions = check_fractions(name, value)
    if len(fractions) > 1:
        raise invalid(name, "one number", value)
    return fractions[0]
