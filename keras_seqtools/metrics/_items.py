"""Arrays of items, and which of them count."""

from typing import Any

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.metrics._numbers import numbers
from keras_seqtools.metrics._weights import mask_and_weight


def same_shaped(dtype: Any = None, /, **values: Any) -> list[np.ndarray]:
    """The arrays, or a `ValueError` if one would be broadcast."""
    arrays = [numbers(name, value, dtype) for name, value in values.items()]
    if len({array.shape for array in arrays}) > 1:
        shapes = zip(values, (array.shape for array in arrays), strict=True)
        raise ValueError(
            "The arrays must have the same shape: nothing is broadcast. "
            f"Received: {dict(shapes)}"
        )
    return arrays


def counting(mask: Any, sample_weight: Any, **values: Any) -> list[np.ndarray]:
    """What counts of each array, and its weights, without NaN."""
    arrays = same_shaped("float64", **values)
    mask, weight = mask_and_weight(mask, sample_weight, arrays[0].shape)
    counts = mask & (weight != 0.0)
    kept = [array[counts] for array in arrays]
    for name, array in zip(values, kept, strict=True):
        if np.isnan(array).any():
            raise invalid(name, "no NaN where the mask is true", array)
    return [*kept, weight[counts]]
