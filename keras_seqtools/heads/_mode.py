"""The mode of a density that has no formula for it."""

import math
from collections.abc import Callable
from typing import Any

from keras import ops

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
# Shrinks a bracket to less than a millionth.
_STEPS = 30


def argmax_density(log_prob: Callable[[Any], Any], places: Any) -> Any:
    """Where `log_prob` is largest, by golden section search.

    Args:
        log_prob: Function from places `(..., )` to log-densities.
        places: Tensor `(n, ...)`: where to look first. Between the neighbours
            of the best of them the density should rise and fall once.

    Returns:
        Tensor `(...)`.
    """
    places = ops.sort(places, axis=0)
    best = ops.argmax(log_prob(places), axis=0)

    def pick(index: Any) -> Any:
        index = ops.clip(index, 0, places.shape[0] - 1)
        found = ops.take_along_axis(
            places, ops.expand_dims(ops.cast(index, "int32"), 0), axis=0
        )
        return found[0]

    lower, upper = pick(best - 1), pick(best + 1)
    for _ in range(_STEPS):
        step = _GOLDEN * (upper - lower)
        left, right = upper - step, lower + step
        is_left = log_prob(left) > log_prob(right)
        lower = ops.where(is_left, lower, left)
        upper = ops.where(is_left, right, upper)
    return (lower + upper) / 2.0
