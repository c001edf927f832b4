"""Crossentropy of whole sequences of classes."""

from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._keras_internals import get_mask
from keras_seqtools._validation import align_left
from keras_seqtools._validation import invalid
from keras_seqtools._validation import same_shape


@keras.saving.register_keras_serializable(package="keras_seqtools")
class SequenceCrossentropy(keras.losses.Loss):
    """`-log p` of a sequence of classes: a sum over time, a mean over rows.

    The mean over time, as Keras takes it, times the number of steps: what a
    model is to lower that reads and writes sequences as wholes. A long
    sequence counts for more than a short one, and padding for nothing: the sum
    is divided by the number of sequences, whatever a mask hides in them.

    What a mask hides, the label `ignore_class`, or a sample weight of 0, has
    no influence whatever: targets and predictions there may be NaN or anything
    else, and change no bit of the loss or of a gradient. Any other label that
    is no class, such as -1 with `ignore_class=None`, makes the loss NaN.

    Probabilities are clipped as Keras clips them, to at least
    `keras.config.epsilon()`; there the gradient is 0. Logits have no such
    limit: `from_logits=True` is the better choice for training.

    Args:
        from_logits: Boolean. Whether `y_pred` holds logits, not probabilities.
            Defaults to `False`.
        ignore_class: Integer, the label of a target that is missing, or
            `None`. Defaults to `-1`.
        reduction: As in `keras.losses.Loss`, of one number a sequence.
            `"mean_with_sample_weight"` divides by the weights of the
            sequences; of weights of steps, their mean over time is that of
            the sequence. Defaults to `"sum_over_batch_size"`.
        name: Name of the loss. Defaults to `"sequence_crossentropy"`.
        **kwargs: Arguments of `keras.losses.Loss`.

    Call arguments:
        y_true: `(batch, time)` or `(batch, time, 1)`, the indices of the
            classes. Other shapes raise a `ValueError`: nothing broadcasts.
        y_pred: `(batch, time, classes)`, probabilities or logits.
        sample_weight: `(batch,)`, one a sequence, or `(batch, time)`, one a
            step; either may have a last axis of size 1. With `batch == time`,
            a weight of shape `(batch,)` is one a sequence.

    Example:

    >>> loss = kst.losses.SequenceCrossentropy()
    >>> y_pred = np.array([[[0.5, 0.5], [0.8, 0.2], [0.9, 0.1]]], "float32")
    >>> y_true = np.array([[1, 0, -1]])  # the last is missing
    >>> round(float(loss(y_true, y_pred)), 4)  # -log(0.5 * 0.8)
    0.9163
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sequence_crossentropy",
        **kwargs: Any,
    ) -> None:
        if isinstance(ignore_class, bool) or not (
            ignore_class is None or isinstance(ignore_class, Integral)
        ):
            raise invalid("ignore_class", "an integer or None", ignore_class)
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.from_logits = from_logits
        self.ignore_class = None if ignore_class is None else int(ignore_class)

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        mask = get_mask(y_pred)
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        labels = self._align(y_true, y_pred)
        steps = y_pred.shape[:-1]
        weight = ops.ones_like(labels)
        if mask is not None:
            weight *= align_left("mask", ops.cast(mask, self.dtype), steps)
        if self.ignore_class is not None:
            known = ops.not_equal(labels, float(self.ignore_class))
            weight *= ops.cast(known, self.dtype)
        if sample_weight is not None:
            sample_weight = align_left(
                "sample_weight",
                ops.convert_to_tensor(sample_weight, self.dtype),
                steps,
            )
            weight *= sample_weight
            if self.reduction == "mean_with_sample_weight":
                weight = ops.divide_no_nan(weight, ops.mean(sample_weight))
        # Before the mathematics: 0 * inf is NaN, and so is its gradient.
        hidden = ops.equal(weight, 0.0)
        labels = ops.where(hidden, 0.0, labels)
        y_pred = ops.where(ops.expand_dims(hidden, -1), 0.0, y_pred)
        # The weights go with the targets: Keras would reduce what it weighs,
        # and the sum over time comes between the two.
        return super().__call__((labels, weight), y_pred)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels, weight = y_true
        classes = ops.cast(ops.shape(y_pred)[-1], labels.dtype)
        is_class = (labels >= 0) & (labels < classes) & (labels % 1 == 0)
        losses = ops.sparse_categorical_crossentropy(
            ops.cast(ops.where(is_class, labels, 0.0), "int32"),
            y_pred,
            from_logits=self.from_logits,
        )
        losses = ops.where(is_class, losses, np.nan)
        return ops.sum(weight * losses, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }

    def _align(self, y_true: Any, y_pred: Any) -> Any:
        """`y_true` as a tensor `(batch, time)`, or a `ValueError`."""
        expected = tuple(y_pred.shape[:-1])
        if len(expected) != 2:
            raise ValueError(
                f"`{type(self).__name__}` expects predictions of shape "
                "(batch, time, classes). "
                f"Received: y_pred of shape {tuple(y_pred.shape)}"
            )
        y_true = ops.convert_to_tensor(y_true)
        # Keras gives up a rank that varies between calls: then only the
        # number of elements can be checked, when they are reshaped.
        if y_true.shape.rank is not None:
            shape = tuple(y_true.shape)
            if not same_shape(
                (*shape, 1) if len(shape) == 2 else shape, (*expected, 1)
            ):
                raise ValueError(
                    f"`{type(self).__name__}` expects targets of shape "
                    f"{expected}, one class a step. Received: shape {shape}"
                )
        y_true = ops.cast(y_true, self.dtype)
        return ops.reshape(y_true, ops.shape(y_pred)[:-1])
