"""Probability integral transforms: uniform if the forecasts are calibrated."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.heads import DistributionHead
from keras_seqtools.metrics._head_items import below_and_at_most
from keras_seqtools.metrics._head_items import head_items
from keras_seqtools.metrics._items import counting

# Steps of a probability too small to tell from a jump.
_JUMP = 1e-9


def pit(y_true: Any, y_pred: Any, head: DistributionHead) -> np.ndarray:
    """Probability integral transform of targets under what a head predicts.

    `P(Y <= y)`, which is uniform between 0 and 1 if the head is calibrated. For
    counts it is halfway from `P(Y < y)` to there, and not uniform even then:
    `pit_histogram` takes both ends.

    Args:
        y_true: Array of targets, of shape `(..., units)`; with one unit the
            last axis may be missing.
        y_pred: Array of the parameters that the head emits.
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.

    Returns:
        Array of the shape of `y_true`, float64. NaN for a NaN, and for a
        target outside of the support.

    Raises:
        ValueError: If the shapes do not fit, or the family has no cdf.

    Example:

    >>> head = kst.heads.NormalHead()
    >>> y_pred = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")  # loc, scale
    >>> kst.metrics.pit([0.0, 1.96], y_pred, head).round(3).tolist()
    [0.5, 0.975]

    Reference:

    - [Dawid, 1984](https://doi.org/10.2307/2981683)
    """
    y, parameters = head_items(y_true, y_pred, head)
    below, at_most = below_and_at_most(y, parameters, head)
    return np.asarray((below + at_most) / 2.0).reshape(np.shape(y_true))


def pit_histogram(
    cdf: Any,
    cdf_below: Any = None,
    *,
    num_bins: int = 10,
    mask: Any = None,
    sample_weight: Any = None,
) -> np.ndarray:
    """Heights of the histogram of probability integral transforms.

    All are 1 if the forecasts are calibrated. A U says that they are too
    narrow, a hump that they are too wide, a slope that they are too low or,
    falling, too high.

    For counts, with `cdf_below`, it is the non-randomised histogram: every
    item has its weight evenly between `P(Y < y)` and `P(Y <= y)`.

    Args:
        cdf: Array of `P(Y <= y)` at the values that came, of any shape:
            `head.cdf(y_true, y_pred)`.
        cdf_below: Array of `P(Y < y)`, of the same shape, for counts
            `head.cdf(y_true - 1, y_pred)`. Defaults to `None`: the same as
            `cdf`.
        num_bins: Positive integer, the number of bins, of equal width.
            Defaults to `10`.
        mask: Boolean array, of the shape of `cdf` or its first axes:
            `(batch,)` speaks of rows, also where `batch == time`. What it
            leaves out may hold anything, NaN too. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. What weighs
            nothing may hold anything. Defaults to `None`.

    Returns:
        Array of shape `(num_bins,)`, float64, whose mean is 1. NaN if nothing
        counts.

    Raises:
        ValueError: If a shape does not fit, or what counts holds a NaN or is
            no probability.

    Example:

    >>> kst.metrics.pit_histogram([0.1, 0.6, 0.9, 0.7], num_bins=2)
    array([0.5, 1.5])
    >>> kst.metrics.pit_histogram([0.75], [0.25], num_bins=4)
    array([0., 2., 2., 0.])

    Reference:

    - [Czado et al., 2009](https://doi.org/10.1111/j.1541-0420.2009.01191.x)
    """
    num_bins = check_positive_int("num_bins", num_bins)
    below, at_most, weight = _checked(cdf, cdf_below, mask, sample_weight)
    if not weight.size:
        return np.full(num_bins, np.nan)
    reached = [
        np.average(share_below(below, at_most, edge / num_bins), weights=weight)
        for edge in range(1, num_bins)
    ]
    return num_bins * np.diff([0.0, *reached, 1.0])


def quantile_calibration(
    cdf: Any,
    cdf_below: Any = None,
    *,
    levels: Any,
    mask: Any = None,
    sample_weight: Any = None,
) -> np.ndarray:
    """How often values came out at or below their predicted quantiles.

    The frequency for each level, which equals the level if the forecasts are
    calibrated. For counts, with `cdf_below`, it is that of the non-randomised
    transforms, as in `pit_histogram`: a quantile of counts is exceeded less
    often than its level says.

    Args:
        cdf: Array of `P(Y <= y)` at the values that came, of any shape:
            `head.cdf(y_true, y_pred)`.
        cdf_below: Array of `P(Y < y)`, of the shape of `cdf`, for counts
            `head.cdf(y_true - 1, y_pred)`. Defaults to `None`: the same as
            `cdf`.
        levels: Numbers in (0, 1), the levels of the quantiles.
        mask: Boolean array, aligned as in `pit_histogram`. Defaults to
            `None`.
        sample_weight: Array of weights, aligned like `mask`. Defaults to
            `None`.

    Returns:
        Array of shape `(len(levels),)`, float64. NaN if nothing counts.

    Raises:
        ValueError: If a shape does not fit, a level is out of range, or what
            counts holds a NaN or is no probability.

    Example:

    >>> cdf = [0.1, 0.6, 0.9, 0.7]
    >>> kst.metrics.quantile_calibration(cdf, levels=(0.5, 0.8))
    array([0.25, 0.75])

    Reference:

    - [Kuleshov et al., 2018](https://arxiv.org/abs/1807.00263)
    - [Czado et al., 2009](https://doi.org/10.1111/j.1541-0420.2009.01191.x)
    """
    levels = check_fractions("levels", levels)
    below, at_most, weight = _checked(cdf, cdf_below, mask, sample_weight)
    if not weight.size:
        return np.full(len(levels), np.nan)
    return np.array(
        [
            np.average(
                share_below(below, at_most, level, closed=True), weights=weight
            )
            for level in levels
        ]
    )


def share_below(below: Any, at_most: Any, u: Any, closed: bool = False) -> Any:
    """The share of each item's weight that lies below `u`.

    The weight is evenly between P(Y < y) and P(Y <= y). If these are one, it
    is all there, and below `u` if it is less; or not more, with `closed`.
    """
    width = at_most - below
    is_jump = width <= _JUMP
    spread = (u - below) / ops.where(is_jump, 1.0, width)
    jump = at_most <= u if closed else at_most < u
    return ops.where(
        is_jump, ops.cast(jump, "float64"), ops.clip(spread, 0.0, 1.0)
    )


def pit_distance(
    below: np.ndarray, at_most: np.ndarray, weight: np.ndarray
) -> float:
    """Largest distance of the distribution of PIT values from the uniform one.

    An item with P(Y < y) = a and P(Y <= y) = b has its weight evenly between
    a and b (Czado et al., 2009), or all of it in a if they are one.
    """
    below, at_most, weight = (
        values.ravel().astype("float64")
        for values in np.broadcast_arrays(below, at_most, weight)
    )
    if np.isnan(below + at_most).any() or not weight.sum() > 0.0:
        return math.nan
    weight = weight / weight.sum()
    width = at_most - below
    jumps = width <= _JUMP
    u, ends = np.unique(np.concatenate([below, at_most]), return_inverse=True)
    starts, ends = np.split(ends, 2)

    def total(places: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.bincount(places, of, minlength=len(u))

    density = np.where(jumps, 0.0, weight / np.where(jumps, 1.0, width))
    slope = np.cumsum(total(starts, density) - total(ends, density))
    rise = np.concatenate([[0.0], slope[:-1] * np.diff(u)])
    step = total(ends, np.where(jumps, weight, 0.0))
    after = np.cumsum(rise + step)
    # Straight between these places, so farthest off at one of them.
    return float(np.abs(np.stack([after - step, after]) - u).max())


def _checked(
    cdf: Any, cdf_below: Any, mask: Any, sample_weight: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(Y < y), P(Y <= y) and the weights, of what counts."""
    at_most, below, weight = counting(
        mask,
        sample_weight,
        cdf=cdf,
        cdf_below=cdf if cdf_below is None else cdf_below,
    )
    for name, values in (("cdf", at_most), ("cdf_below", below)):
        if ((values < 0.0) | (values > 1.0)).any():
            raise invalid(name, "probabilities", values)
    if (below > at_most).any():
        raise invalid("cdf_below", "at most `cdf`", below)
    return below, at_most, weight
