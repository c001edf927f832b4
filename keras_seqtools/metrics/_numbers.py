"""Arrays of numbers, and what is none."""

from typing import Any

import numpy as np

from keras_seqtools.metrics._results import is_classification
from keras_seqtools.metrics._results import is_regression


def numbers(name: str, values: Any, dtype: Any = None) -> np.ndarray:
    """The array, or a `TypeError` that says what came instead."""
    # Before NumPy asks such a result for its rows, one by one.
    if is_classification(values) or is_regression(values):
        raise TypeError(
            f"`{name}` must be an array. Expected one that the result holds, "
            "such as `result.probabilities`, `result.mean` or "
            f"`result.score(name)`. Received: a `{type(values).__name__}`"
        )
    array = np.asarray(values)
    if not np.can_cast(array.dtype, "float64", "same_kind"):
        raise TypeError(
            f"`{name}` must be an array of numbers. Received: {name}={values!r}"
        )
    return array if dtype is None else array.astype(dtype, copy=False)
