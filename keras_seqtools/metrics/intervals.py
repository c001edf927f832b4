"""Scores of intervals and quantiles."""

from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._items import counting
from keras_seqtools.metrics._items import same_shaped
from keras_seqtools.metrics._numbers import numbers


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
    y, low, high, weight = counting(
        mask, sample_weight, y_true=y_true, lower=lower, upper=upper
    )
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
    y, low, high = same_shaped(
        "float64", y_true=y_true, lower=lower, upper=upper
    )
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
    y, prediction = same_shaped("float64", y_true=y_true, y_pred=y_pred)
    quantile, error = _fraction("quantile", quantile), y - prediction
    return np.maximum(quantile * error, (quantile - 1.0) * error)


def crps_quantiles(y_true: Any, quantiles: Any, levels: Any) -> np.ndarray:
    """CRPS of forecasts given as quantiles, item by item.

    Twice the mean pinball loss of the levels. It tends to the CRPS as evenly
    spaced levels grow in number; a few of them, or levels that crowd at the
    ends, weigh the forecast where they are. Quantiles that cross are scored
    as they are, each at its own level.

    Nothing is broadcast.

    Args:
        y_true: Array of the values that came, of any shape.
        quantiles: Array of shape `(len(levels), *y_true.shape)`.
        levels: Numbers in (0, 1), those of the quantiles.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If the shapes do not fit or a level is out of range.

    Example:

    >>> kst.metrics.crps_quantiles(
    ...     [1.0], [[0.0], [1.0], [2.0]], (0.1, 0.5, 0.9)
    ... )
    array([0.13333333])

    Reference:

    - [Gneiting & Ranjan, 2011](https://doi.org/10.1198/jbes.2010.08110)
    """
    levels = check_fractions("levels", levels)
    y = numbers("y_true", y_true, "float64")
    quantiles = numbers("quantiles", quantiles)
    if quantiles.shape != (len(levels), *y.shape):
        raise ValueError(
            "`quantiles` must have the shape of `y_true` behind an axis of "
            f"levels. Expected the shape {(len(levels), *y.shape)}. "
            f"Received: quantiles of shape {quantiles.shape}"
        )
    total = np.zeros(y.shape)
    for level, quantile in zip(levels, quantiles, strict=True):
        total += pinball_loss(y, quantile, level)
    return 2.0 * total / len(levels)


def weighted_interval_score(
    y_true: Any, quantiles: Any, levels: Any
) -> np.ndarray:
    """The weighted interval score of a median and central intervals.

    The mean of `|y_true - median| / 2` and of the interval scores, each times
    `(1 - level) / 2`, over `K + 1/2` for `K` intervals. It is the same number
    as `crps_quantiles`, which also takes levels that make no intervals.

    Args:
        y_true: Array of the values that came, of any shape.
        quantiles: Array of shape `(len(levels), *y_true.shape)`.
        levels: Numbers in (0, 1), those of the quantiles: 0.5, and with every
            other its complement, `0.05` and `0.95` say.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If the shapes do not fit, or the levels are not a median
            and the ends of central intervals.

    Example:

    >>> kst.metrics.weighted_interval_score(
    ...     [1.0], [[0.0], [1.0], [2.0]], (0.1, 0.5, 0.9)
    ... )
    array([0.13333333])

    Reference:

    - [Bracher et al., 2021](https://doi.org/10.1371/journal.pcbi.1008618)
    """
    ordered = np.sort(check_fractions("levels", levels))
    if len(ordered) % 2 == 0 or not np.allclose(
        ordered + ordered[::-1], 1.0, rtol=0.0, atol=1e-9
    ):
        raise invalid("levels", "0.5 and pairs that add up to 1", levels)
    return crps_quantiles(y_true, quantiles, levels)


def _fraction(name: str, value: Any) -> float:
    fractions = check_fractions(name, value)
    if len(fractions) > 1:
        raise invalid(name, "one number", value)
    return fractions[0]
