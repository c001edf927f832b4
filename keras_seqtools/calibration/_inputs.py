"""What `fit` takes: arrays, or results of `predict_uncertainty`."""

from typing import Any

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.metrics._items import same_shaped
from keras_seqtools.metrics._numbers import numbers
from keras_seqtools.metrics._results import is_classification
from keras_seqtools.metrics._results import is_regression
from keras_seqtools.metrics._weights import joint_mask


def mean_and_std(y_pred: Any, std: Any) -> tuple[Any, Any, Any]:
    """Mean, standard deviation (or None) and mask (or None)."""
    if not is_regression(y_pred):
        return y_pred, std, None
    if std is not None:
        raise invalid("std", "`None` beside a result, which has its own", std)
    return y_pred.mean, y_pred.std, y_pred.mask


def interval_ends(lower: Any, upper: Any, level: float) -> tuple[Any, Any, Any]:
    """Both ends of an interval, and the mask (or None)."""
    is_result = is_regression(lower)
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
    if is_classification(y_prob):
        y_prob, mask = y_prob.probabilities, y_prob.mask
    p = numbers("y_prob", y_prob)
    if p.ndim == 1:
        p = p[:, None]
    if p.shape[-1] == 1:
        p = np.concatenate([1 - p, p], axis=-1)
    return p, mask


def counted(
    *masks: Any, **values: Any
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """The joint mask, and of each array what it keeps, in float64.

    The arrays have one shape, behind an axis of rows, and what is kept is
    finite.
    """
    arrays = {name: numbers(name, value) for name, value in values.items()}
    (first, y), *others = arrays.items()
    # As heads do, which predict `(batch, 1)` of targets `(batch,)`.
    if {array.shape for _, array in others} == {(*y.shape, 1)}:
        arrays[first] = y[..., None]
    if not y.shape:
        raise invalid(first, "an array, rows first", values[first])
    checked = same_shaped("float64", **arrays)
    keeps = joint_mask(checked[0].shape, *masks)
    kept = tuple(array[keeps] for array in checked)
    for name, array in zip(values, kept, strict=True):
        if not np.isfinite(array).all():
            raise invalid(name, "finite numbers where the mask is true", array)
    return keeps, kept


def check_positive(name: str, values: np.ndarray) -> None:
    if not (values > 0.0).all():
        raise invalid(name, "positive numbers where the mask is true", values)
