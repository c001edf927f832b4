"""What `fit` takes: arrays, or results of `predict_uncertainty`.

Results are known by their attributes: nothing of theirs is imported.
"""

from typing import Any

import numpy as np

from keras_seqtools._validation import align_left
from keras_seqtools._validation import invalid


def mean_and_std(y_pred: Any, std: Any) -> tuple[Any, Any, Any]:
    """Mean, standard deviation (or None) and mask (or None)."""
    if not hasattr(y_pred, "aleatoric_variance"):
        return y_pred, std, None
    if std is not None:
        raise invalid("std", "`None` beside a result, which has its own", std)
    return y_pred.mean, y_pred.std, y_pred.mask


def interval_ends(lower: Any, upper: Any, level: float) -> tuple[Any, Any, Any]:
    """Both ends of an interval, and the mask (or None)."""
    is_result = hasattr(lower, "interval")
    if is_result != (upper is None):
        raise invalid("upper", "`None` just where `lower` is a result", upper)
    if is_result:
        return *lower.interval(level), lower.mask
    return lower, upper, None


def class_probabilities(y_prob: Any) -> tuple[np.ndarray, Any]:
    """Probabilities of two classes or more, and the mask (or None).

    One sigmoid, `(batch,)` or a last axis of 1, is the second of two classes.
    """
    mask = None
    if hasattr(y_prob, "class_probabilities"):
        y_prob, mask = y_prob.probabilities, y_prob.mask
    p = np.asarray(y_prob)
    if p.ndim == 1:
        p = p[:, None]
    if p.shape[-1] == 1:
        p = np.concatenate([1 - p, p], axis=-1)
    return p, mask


def joint_mask(items: tuple[int, ...], *masks: Any) -> np.ndarray:
    """What all of the masks keep; None keeps everything."""
    joint = np.ones(items, bool)
    for mask in masks:
        if mask is not None:
            joint &= align_left("mask", np.asarray(mask, bool), items)
    return joint


def counted(
    *masks: Any, **values: Any
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """The joint mask, and of each array what it keeps, in float64.

    The arrays have one shape, behind an axis of rows, and what is kept is
    finite.
    """
    arrays = [np.asarray(value, "float64") for value in values.values()]
    shapes = [array.shape for array in arrays]
    # As heads do, which predict `(batch, 1)` of targets `(batch,)`.
    if len(set(shapes[1:])) == 1 and (*shapes[0], 1) == shapes[1]:
        arrays[0] = arrays[0][..., None]
        shapes[0] = shapes[1]
    if len(set(shapes)) > 1 or shapes[0] == ():
        raise ValueError(
            "The arrays must have the same shape, rows first: nothing is "
            f"broadcast. Received: {dict(zip(values, shapes, strict=True))}"
        )
    keeps = joint_mask(shapes[0], *masks)
    kept = tuple(array[keeps] for array in arrays)
    for name, array in zip(values, kept, strict=True):
        if not np.isfinite(array).all():
            raise invalid(name, "finite numbers where the mask is true", array)
    return keeps, kept


def check_positive(name: str, values: np.ndarray) -> None:
    if not (values > 0.0).all():
        raise invalid(name, "positive numbers where the mask is true", values)
