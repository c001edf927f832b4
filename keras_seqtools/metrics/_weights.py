"""Masks and weights, laid over the items that they belong to."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_seqtools._validation import align_left
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._numbers import numbers


def mask_and_weight(
    mask: Any, sample_weight: Any, items: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """For arrays: both in the shape `items`, as views that take no memory.

    Weights that count are finite and not negative; under the mask they may be
    anything.
    """
    mask = numbers("mask", True if mask is None else mask, bool)
    weight = 1.0 if sample_weight is None else sample_weight
    weight = numbers("sample_weight", weight, "float64")
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


def joint_mask(items: tuple[int, ...], *masks: Any) -> np.ndarray:
    """What all of the masks keep; None keeps everything."""
    joint = np.ones(items, bool)
    for mask in masks:
        if mask is not None:
            joint &= align_left("mask", numbers("mask", mask, bool), items)
    return joint


def streaming_weight(values: Any, mask: Any, sample_weight: Any) -> Any:
    """For tensors: float64 weights of the shape of `values`, 0 if masked.

    A negative weight is NaN, for all to see.
    """
    weight = ops.ones_like(values, dtype="float64")
    if sample_weight is not None:
        sample_weight = ops.cast(sample_weight, "float64")
        sample_weight = ops.where(sample_weight < 0, math.nan, sample_weight)
        weight *= align_left("sample_weight", sample_weight, values.shape)
    if mask is not None:
        mask = align_left("mask", ops.cast(mask, "bool"), values.shape)
        weight = ops.where(mask, weight, 0.0)
    return weight
