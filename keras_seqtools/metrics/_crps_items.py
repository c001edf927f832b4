"""Formulas of tensors, applied to arrays item by item."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_seqtools._validation import invalid
from keras_seqtools.metrics._numbers import numbers

# Items at a time, for those that integrate.
_CHUNK = 4096
# What parameters must be above.
_LOWEST = {
    "concentration": 0.0,
    "df": 1.0,
    "dispersion": 0.0,
    "mean": 0.0,
    "rate": 0.0,
    "scale": 0.0,
}


def score_items(
    form: Callable[..., Any],
    y_true: Any,
    support: str = "real",
    num_axes: int = 0,
    **parameters: Any,
) -> np.ndarray:
    """The score of arrays, by a formula of tensors.

    Args:
        form: Function of `y` and the parameters.
        y_true: Array.
        support: `"real"`, `"positive"` or `"counts"`: where `y_true` lies.
        num_axes: Number of last axes that parameters have more.
        **parameters: Arrays of the shape of `y_true`, or without it.
    """
    y = numbers("y_true", y_true, "float64")
    arrays = {
        name: numbers(name, value, "float64")
        for name, value in parameters.items()
    }
    first = next(iter(arrays.values()))
    own = first.shape[max(0, first.ndim - num_axes) :]
    flat = []
    for name, value in arrays.items():
        if len(own) < num_axes or value.shape not in (own, (*y.shape, *own)):
            raise invalid(name, f"the shape {(*y.shape, *own)} or {own}", value)
        if (value <= _LOWEST.get(name, -np.inf)).any():
            raise invalid(name, f"numbers above {_LOWEST[name]:g}", value)
        if name == "zero_prob" and ((value < 0.0) | (value > 1.0)).any():
            raise invalid(name, "probabilities", value)
        value = np.broadcast_to(value, (*y.shape, *own))
        flat.append(value.reshape(-1, *own))
    is_possible = {
        "real": np.isfinite(y),
        "positive": (y > 0.0) & (y < np.inf),
        "counts": (y >= 0.0) & (y < np.inf) & (y == np.floor(y)),
    }[support].reshape(-1)
    scores = np.full(y.size, np.nan)
    kept = np.flatnonzero(is_possible)
    for start in range(0, len(kept), _CHUNK):
        items = kept[start : start + _CHUNK]
        scores[items] = form(
            ops.convert_to_tensor(y.reshape(-1)[items]),
            *(ops.convert_to_tensor(value[items]) for value in flat),
        )
    return scores.reshape(y.shape)
