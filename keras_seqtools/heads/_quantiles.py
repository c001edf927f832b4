"""Quantiles of any distribution or mixture that has a cdf.

TFP has none for discrete families and mixtures. In float64 throughout: near
a level of 0 or 1 the digits of float32 are not enough to tell counts apart.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

# More doublings, or halvings, than float64 can tell apart.
_MAX_STEPS = 200
# Where an interval holds no more than this share of the nearer tail, the cdf
# is almost straight, and interpolation takes over from halving.
_SHARE = 1e-3


def invert_cdf(
    cdf: Callable[[Any], Any],
    levels: Any,
    center: Any,
    width: Any,
    support: tuple[float, float],
    discrete: bool,
) -> Any:
    """The smallest `y` with `cdf(y) >= level`, by bisection.

    Where a continuous support has a lower end, what is halved is the logarithm
    of the distance from it: right next to it, digits are relative too.

    Args:
        cdf: Function from `(len(levels), ...)` to probabilities, same shape.
        levels: Sequence of numbers in (0, 1).
        center: Tensor `(...)`: where to start.
        width: Tensor `(...)`: how far to look at first, on either side.
        support: Lower and upper end of the support.
        discrete: Whether the support is the integers.

    Returns:
        Tensor `(len(levels), ...)`, float64. NaN where the cdf is NaN.
    """
    center, width = (ops.cast(value, "float64") for value in (center, width))
    level = ops.reshape(
        ops.convert_to_tensor(levels, "float64"),
        (-1, *(1,) * len(center.shape)),
    )
    center, width = (ops.zeros_like(level) + value for value in (center, width))
    lowest, highest = support
    if discrete or lowest == -math.inf:
        return _bisect(cdf, level, center, width, support, discrete)
    distance = center - lowest
    log_distance = _bisect(
        lambda u: cdf(lowest + ops.exp(u)),
        level,
        center=ops.log(ops.where(distance > 0.0, distance, 1.0)),
        width=ops.ones_like(distance),
        support=(-math.inf, math.log(highest - lowest)),
        widest=1e-3,
    )
    return lowest + ops.exp(log_distance)


def _bisect(
    cdf: Callable[[Any], Any],
    level: Any,
    center: Any,
    width: Any,
    support: tuple[float, float],
    discrete: bool = False,
    widest: float = math.inf,
) -> Any:
    if discrete:  # the last integer at which the cdf is 0 is a lower end too
        support = (support[0] - 1.0, support[1])

    def clip(lower: Any, upper: Any) -> tuple[Any, Any]:
        if discrete:
            lower, upper = ops.floor(lower), ops.ceil(upper)
        return ops.maximum(lower, support[0]), ops.minimum(upper, support[1])

    def is_outside(lower: Any, upper: Any, width: Any) -> Any:
        return ops.any((cdf(lower) >= level) & (lower > support[0])) | ops.any(
            (cdf(upper) < level) & (upper < support[1])
        )

    def widen(lower: Any, upper: Any, width: Any) -> tuple[Any, Any, Any]:
        lower = ops.where(cdf(lower) >= level, lower - width, lower)
        upper = ops.where(cdf(upper) < level, upper + width, upper)
        return *clip(lower, upper), 2.0 * width

    def is_wide(lower: Any, upper: Any, below: Any, above: Any) -> Any:
        if discrete:
            return ops.any(upper - lower > 1.0)
        middle = (lower + upper) / 2.0
        tail = ops.minimum(level, 1.0 - level)
        is_wide = (above - below > _SHARE * tail) | (upper - lower > widest)
        return ops.any(is_wide & (lower < middle) & (middle < upper))

    def halve(*bracket: Any) -> Any:
        middle = (bracket[0] + bracket[1]) / 2.0
        return cut(ops.floor(middle) if discrete else middle, *bracket)

    def cut(y: Any, lower: Any, upper: Any, below: Any, above: Any) -> Any:
        p = cdf(y)
        is_below = p < level
        return (
            ops.where(is_below, y, lower),
            ops.where(is_below, upper, y),
            ops.where(is_below, p, below),
            ops.where(is_below, above, p),
        )

    def interpolate(lower: Any, upper: Any, below: Any, above: Any) -> Any:
        share = ops.divide_no_nan(level - below, above - below)
        return lower + (upper - lower) * ops.clip(share, 0.0, 1.0)

    lower, upper, _ = ops.while_loop(
        is_outside,
        widen,
        (*clip(center - width, center + width), width),
        maximum_iterations=_MAX_STEPS,
    )
    bracket = ops.while_loop(
        is_wide,
        halve,
        (lower, upper, cdf(lower), cdf(upper)),
        maximum_iterations=_MAX_STEPS,
    )
    if discrete:
        quantile = bracket[1]
    else:
        for _ in range(2):  # each squares the error
            bracket = cut(interpolate(*bracket), *bracket)
        quantile = interpolate(*bracket)
    return ops.where(ops.isnan(bracket[3]), np.nan, quantile)
