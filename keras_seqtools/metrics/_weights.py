"""Masks and weights, laid over the items that they belong to."""

from typing import Any

import numpy as np
from keras import ops

from keras_seqtools._validation import align_left
from keras_seqtools._validation import invalid


def mask_and_weight(
    mask: Any, sample_weight: Any, items: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """For arrays: both in the shape `items`, as views that take no memory.

    Weights that count are finite and not negative; under the mask they may be
    anything.
    """
    mask = np.asarray(True if mask is None else mask, bool)
    weight = np.asarray(
        1.0 if sample_weight is None else sample_weight, "float64"
    )
    mask = np.broadcast_to(align_left("mask", mask, items), items)
    weight = np.broadcast_to(align_left("sample_weight", weight, items), items)
    # Written so that a NaN, which compares false, is refused.
    if not (
        np.min(weight, where=mask, initial=0.0) >= 0.0
        and np.max(weight, where=mask, initial=0.0) < np.inf
    ):
        raise invalid(
            "sample_weight", "finite weights, none negative", sample_weight
        )
    return mask, weight


def streaming_weight(values: Any, mask: Any, sample_weight: Any) -> Any:
    """For tensors: float64 weights of the shape of `values`, 0 if masked."""
    weight = ops.ones_like(values, dtype="float64")
    if sample_weight is not None:
        sample_weight = ops.cast(sample_weight, "float64")
        weight *= align_left("sample_weight", sample_weight, values.shape)
    if mask is not None:
        mask = align_left("mask", ops.cast(mask, "bool"), values.shape)
        weight = ops.where(mask, weight, 0.0)
    return weight
