"""Labels and probabilities of classes, in the forms that users hold them."""

from typing import Any

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools._validation import same_shape
from keras_seqtools.metrics._numbers import numbers
from keras_seqtools.metrics._scores import to_probabilities
from keras_seqtools.metrics._scores import widened

# What rounding may add to a softmax.
SLACK = 1e-6
# By how much probabilities, in half precision too, may fail to add up to 1.
ROUNDING = 0.01

_MODES = ("auto", "binary", "top_label", "classwise")


def check_mode(mode: Any) -> str:
    if mode not in _MODES:
        raise invalid("mode", f"one of {_MODES}", mode)
    return str(mode)


def mode_for(mode: str, classes: int) -> str:
    """The mode that `"auto"` stands for, and whether it fits at all."""
    if mode == "auto":
        return "binary" if classes == 1 else "top_label"
    if (mode == "binary") != (classes == 1):
        raise ValueError(
            f"The last axis of the predictions does not fit mode={mode!r}. "
            "Expected one probability for `binary`, two or more otherwise. "
            f"Received: {classes}"
        )
    return mode


def align_labels(y_true: Any, y_prob: Any) -> tuple[Any, Any]:
    """Labels and probabilities, arrays or tensors, in shapes that fit.

    The probabilities are `(..., classes)`. The labels have that shape if they
    are one-hot or there is one class, else that shape without its last axis.
    """
    if not y_prob.shape:
        raise invalid("y_prob", "an array `(..., classes)`", y_prob)
    if len(y_prob.shape) == 1:
        y_prob = y_prob[:, None]
    *items, classes = y_prob.shape
    labels = y_true
    if len(labels.shape) > len(items) and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if same_shape(labels.shape, items):
        return labels[..., None] if classes == 1 else labels, y_prob
    # A last axis of unknown size might be 1, and be broadcast.
    if same_shape(y_true.shape, y_prob.shape) and y_true.shape[-1] == classes:
        return y_true, y_prob
    raise ValueError(
        "`y_true` must hold one label, or one one-hot row, for each item. "
        f"Expected the shape {tuple(items)} or {tuple(y_prob.shape)}. "
        f"Received: y_true of shape {tuple(y_true.shape)}"
    )


def aligned_arrays(y_true: Any, y_prob: Any) -> tuple[np.ndarray, np.ndarray]:
    """What `align_labels` makes of arrays, if they hold numbers."""
    return align_labels(numbers("y_true", y_true), numbers("y_prob", y_prob))


def checked_probabilities(values: np.ndarray, from_logits: bool) -> np.ndarray:
    """Probabilities `(items, classes)` in their own precision, or float32.

    Logits are those of a sigmoid if there is one class, else of a softmax.
    """
    p = widened(values)
    if from_logits:
        with np.errstate(invalid="ignore"):  # a NaN is refused below
            p = to_probabilities(p, np)
    # Written so that a NaN, which compares false, is refused.
    if not (p.min(initial=0.0) >= -SLACK and p.max(initial=0.0) <= 1 + SLACK):
        raise ValueError(
            "Predictions that count must be probabilities, or logits with "
            "`from_logits=True`. Expected values in [0, 1]. "
            f"Received: values from {p.min()} to {p.max()}"
        )
    if p.shape[-1] > 1:
        total = np.einsum("ij->i", p)  # several times as fast as a sum
        if not (np.abs(total - 1.0) <= ROUNDING).all():
            raise ValueError(
                "The probabilities of an item that counts must add up to 1, "
                "over classes of which one comes. Labels that come or not, "
                "each by itself, are items of their own: expected "
                "`y_prob[..., None]`. "
                f"Received: sums from {total.min()} to {total.max()}"
            )
    return p


def checked_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """The labels as integers `(items,)`; 0 or 1 if there is one class."""
    size = max(classes, 2)
    if labels.ndim > 1 and classes > 1:
        found = labels.argmax(axis=-1)
        valid = ((labels == 0) | (labels == 1)).all()
        valid = valid and (labels.sum(axis=-1) == 1).all()
    else:
        found = labels.reshape(-1)
        # Written so that a NaN, which compares false, is refused.
        valid = found.min(initial=0) >= 0 and found.max(initial=0) < size
        if valid and found.dtype.kind == "f":
            valid = (found == np.floor(found)).all()
    if not valid:
        raise ValueError(
            "Labels that count must be classes. Expected integers from 0 to "
            f"{size - 1}, or one-hot rows. Received: y_true={labels!r}"
        )
    return found.astype("int64", copy=False)


def checked_one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """The labels as booleans `(items, classes)`; one class is class 1."""
    order = np.arange(classes) if classes > 1 else np.ones(1, int)
    return checked_labels(labels, classes)[:, None] == order
