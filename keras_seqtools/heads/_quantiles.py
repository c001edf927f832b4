"""Quantiles of any distribution or mixture that has a cdf.

TFP has none for discrete families and mixtures. In float64 throughout: near
a level of 0 or 1 the digits of float32 are not enough to tell counts apart.
"""

import math
from collections.abc import Callable
from typing import Any

from keras import ops

# More doublings, or halvings, than float64 can tell apart.
_MAX_STEPS = 200


def invert_cdf(
    cdf: Callable[[Any], Any],
    levels: Any,
    center: Any,
    width: Any,
    resolution: Any,
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
        resolution: Tensor `(...)`: a distance over which the cdf is close to
            a straight line. Bisection ends there, interpolation goes on.
        support: Lower and upper end of the support.
        discrete: Whether the support is the integers.

    Returns:
        Tensor `(len(levels), ...)`, float64. NaN where the cdf is NaN.
    """
    center, width, resolution = (
        ops.cast(value, "float64") for value in (center, width, resolution)
    )
    lowest, highest = support
    if discrete or lowest == -math.inf:
        return _bisect(
            cdf, levels, center, width, resolution, support, discrete
        )
    distance = center - lowest
    distance = ops.where(distance > 0.0, distance, 1.0)
    log_distance = _bisect(
        lambda u: cdf(lowest + ops.exp(u)),
        levels,
        center=ops.log(distance),
        width=ops.ones_like(distance),
        resolution=ops.minimum(resolution / distance, 1e-3),
        support=(-math.inf, math.log(highest - lowest)),
        discrete=False,
    )
    return lowest + ops.exp(log_distance)


def _bisect(
    cdf: Callable[[Any], Any],
    levels: Any,
    center: Any,
    width: Any,
    resolution: Any,
    support: tuple[float, float],
    discrete: bool,
) -> Any:
    level = ops.reshape(
        ops.convert_to_tensor(levels, "float64"),
        (-1, *(1,) * len(center.shape)),
    )
    center = ops.zeros_like(level) + center
    if discrete:  # the last integer at which the cdf is 0 is a lower end too
        support, resolution = (support[0] - 1.0, support[1]), 1.0

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

    def is_wide(lower: Any, upper: Any) -> Any:
        return ops.any(upper - lower > resolution)

    def halve(lower: Any, upper: Any) -> tuple[Any, Any]:
        middle = (lower + upper) / 2.0
        if discrete:
            middle = ops.floor(middle)
        is_below = cdf(middle) < level
        return (
            ops.where(is_below, middle, lower),
            ops.where(is_below, upper, middle),
        )

    lower, upper, _ = ops.while_loop(
        is_outside,
        widen,
        (*clip(center - width, center + width), ops.zeros_like(level) + width),
        maximum_iterations=_MAX_STEPS,
    )
    lower, upper = ops.while_loop(
        is_wide, halve, (lower, upper), maximum_iterations=_MAX_STEPS
    )
    below, above = cdf(lower), cdf(upper)
    if not discrete:
        share = ops.divide_no_nan(level - below, above - below)
        upper = lower + (upper - lower) * ops.clip(share, 0.0, 1.0)
    return ops.where(ops.isnan(above), above, upper)
