"""Long series as arrays, and where gaps in their time stamps split them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seqtools._validation import invalid


@dataclasses.dataclass(frozen=True, eq=False)
class Pieces:
    """All series one after another, and the parts without a gap.

    Attributes:
        x: `(steps, features)`.
        y: `(steps, targets)`, the same steps.
        origin: `(series,)`, where in `x` each series begins.
        series: `(pieces,)`, the number of the series that each is a part of.
        first: `(pieces,)`, where in `x` each piece begins.
        length: `(pieces,)`, its number of steps.
    """

    x: np.ndarray
    y: np.ndarray
    origin: np.ndarray
    series: np.ndarray
    first: np.ndarray
    length: np.ndarray


def split_at_gaps(
    series: Any, targets: Any = None, timestamps: Any = None
) -> Pieces:
    """A list or tuple holds several series, anything else is one.

    A gap is a step in time that is off the median step of its series by more
    than half of it: months and leap years are none, a missing value is.
    """
    xs = _arrays("series", series, series)
    x = y = _joined("series", xs)
    if targets is not None:
        y = along("targets", series, targets)
    starts = [np.zeros(1, int) for _ in xs]
    if timestamps is not None:
        named = _each("timestamps", series, timestamps)
        stamps = [np.asarray(values) for _, values in named]
        _check_lengths("timestamps", stamps, xs)
        starts = [
            _starts(name, values)
            for (name, _), values in zip(named, stamps, strict=True)
        ]
    edges = np.cumsum([0, *(len(x) for x in xs)])
    first = np.concatenate(
        [edge + start for edge, start in zip(edges, starts, strict=False)]
    )
    return Pieces(
        x=x,
        y=y,
        origin=edges[:-1],
        series=np.repeat(np.arange(len(xs)), [len(start) for start in starts]),
        first=first,
        length=np.diff(first, append=edges[-1]),
    )


def along(name: str, series: Any, values: Any) -> np.ndarray:
    """What belongs to the steps of the series, `(steps, features)`."""
    arrays = _arrays(name, series, values)
    _check_lengths(name, arrays, _arrays("series", series, series))
    return _joined(name, arrays)


def _arrays(name: str, series: Any, values: Any) -> list[np.ndarray]:
    return [_steps(*named) for named in _each(name, series, values)]


def _each(name: str, series: Any, values: Any) -> list[tuple[str, Any]]:
    """What belongs to each series, and the name that errors give it."""
    if not isinstance(series, list | tuple):
        return [(name, values)]
    is_list = isinstance(values, list | tuple)
    if not is_list or len(values) != len(series) or not values:
        size = f" of length {len(values)}" if is_list else ""
        raise ValueError(
            f"`{name}` must be a list with one array for each series, "
            f"as `series` is a list of length {len(series)}. Received: "
            f"{name} of type {type(values).__name__}{size}"
        )
    return [(f"{name}[{place}]", value) for place, value in enumerate(values)]


def _steps(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    is_numbers = array.dtype.kind in "biuf"
    if array.ndim not in (1, 2) or array.size == 0 or not is_numbers:
        raise ValueError(
            f"`{name}` must be an array of numbers of shape `(time,)` or "
            "`(time, features)`, and not empty. Several series are a list of "
            f"such arrays. Received: {name} of shape {array.shape} and dtype "
            f"{array.dtype}"
        )
    return array.reshape(len(array), -1)


def _check_lengths(
    name: str, arrays: Sequence[np.ndarray], xs: Sequence[np.ndarray]
) -> None:
    for place, (array, x) in enumerate(zip(arrays, xs, strict=True)):
        if array.shape[:1] != x.shape[:1]:
            raise ValueError(
                f"`{name}` must be as long as `series`. Series {place} has "
                f"{len(x)} time steps. Received: {name} of shape {array.shape}"
            )


def _starts(name: str, stamps: np.ndarray) -> np.ndarray:
    """Where a piece begins: at 0 and behind every gap."""
    if stamps.ndim != 1 or stamps.dtype.kind not in "iufM":
        raise invalid(name, "numbers or numpy.datetime64, (time,)", stamps)
    if not (stamps[1:] > stamps[:-1]).all():
        raise invalid(name, "time stamps that increase", stamps)
    step = np.diff(stamps).astype("float64")
    usual = np.median(step) if step.size else 0.0
    return np.append(0, 1 + np.flatnonzero(np.abs(step - usual) > usual / 2))


def _joined(name: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
    features = sorted({array.shape[1] for array in arrays})
    if len(features) > 1:
        raise ValueError(
            f"All arrays of `{name}` must have the same number of features. "
            f"Received: {features}"
        )
    return np.concatenate(arrays)
