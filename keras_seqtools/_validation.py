"""Checks of arguments, with messages of one form: what, expected, received."""

from collections.abc import Sequence
from numbers import Integral
from numbers import Real
from typing import Any

import numpy as np


def invalid(name: str, expected: str, received: Any) -> ValueError:
    """The error for a bad argument: what, what was expected, what came."""
    return ValueError(
        f"Invalid value for argument `{name}`. Expected {expected}. "
        f"Received: {name}={received!r}"
    )


def check_positive_int(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise invalid(name, "a positive integer", value)
    return int(value)


def check_rate(name: str, value: Any) -> float:
    """A dropout rate. 1 is refused: nothing would be left to scale up."""
    if (
        isinstance(value, bool)
        or not isinstance(value, Real)
        or not 0.0 <= float(value) < 1.0
    ):
        raise invalid(name, "a number in [0, 1)", value)
    return float(value)


def check_fractions(name: str, values: Any) -> tuple[float, ...]:
    """Quantiles or interval levels, strictly between 0 and 1."""
    values = tuple(float(value) for value in np.ravel(values))
    if not values or not all(0.0 < value < 1.0 for value in values):
        raise invalid(name, "numbers strictly between 0 and 1", values)
    return values


def same_shape(shape: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two shapes agree; a size that is not known yet agrees."""
    return len(shape) == len(other) and all(
        None in (size, others) or size == others
        for size, others in zip(shape, other, strict=True)
    )


def align_left(name: str, values: Any, items: Sequence[int | None]) -> Any:
    """Gives `values`, an array or tensor, the rank of `items`.

    NumPy would align `(batch,)` with the last axis of `(batch, time)`; here it
    means one value a row, also where `batch == time`.
    """
    while len(values.shape) > 1 and values.shape[-1] == 1:
        values = values[..., 0]
    shape = tuple(values.shape)
    if not same_shape(shape, items[: len(shape)]):
        raise ValueError(
            f"`{name}` must have one value for each item, or for each row. "
            f"Expected the shape {tuple(items)} or its first axes. "
            f"Received: {name} of shape {shape}"
        )
    return values[(..., *[None] * (len(items) - len(shape)))]
