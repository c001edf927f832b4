"""Negative log-likelihood under the distribution of a head."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._keras_internals import get_mask
from keras_seqtools._validation import align_left
from keras_seqtools._validation import invalid
from keras_seqtools.heads import DistributionHead
from keras_seqtools.heads.distribution_head import unbuilt_copy


@keras.saving.register_keras_serializable(package="keras_seqtools")
class NegativeLogLikelihood(keras.losses.Loss):
    """`-log p(y)` under a head's distribution, summed over units, in nats.

    Being a density in the target's own units it can be negative, and it
    shifts by `log(c)` when the target is multiplied by `c`.

    A network that fits mean and variance at once can settle for a large
    variance where the mean is hard to find. `beta` weighs every target by its
    predicted variance to that power, through which no gradient flows: 0.5 is
    a good start, 1 gives the mean the gradients of the squared error. The
    number is then no likelihood any more, and the loss is named so.

    What a mask hides, or a sample weight of 0, has no influence whatever: such
    an item may be NaN or anything else, target and prediction, and changes no
    bit of the loss or of a gradient. As in Keras the sum is divided by the
    number of items that the mask leaves. Any other NaN target makes the loss
    NaN, unless `ignore_nan`; so does one outside the support of the family.

    Args:
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.
            The loss keeps a copy of what it is, not the head. It refuses the
            output of a head of another family.
        beta: Number from 0 to 1, the power of the variance. Defaults to `0.0`.
        ignore_nan: Boolean. Whether a target that is NaN counts as missing,
            as if masked: an item is left out if any of its units is.
            Defaults to `False`.
        reduction: As in `keras.losses.Loss`. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss. Defaults to `None`:
            `"negative_log_likelihood"`, with `beta`
            `"weighted_negative_log_likelihood"`.
        **kwargs: Arguments of `keras.losses.Loss`.

    Call arguments:
        y_true: `(..., units)`; with one unit the last axis may be missing.
            Other shapes raise a `ValueError`: nothing broadcasts.
        y_pred: `(..., units * n_parameters)`, the output of the head.
        sample_weight: `(batch,)`, one a row, or `(batch, time)`, one an item;
            either may have a last axis of size 1. With `batch == time`, a
            weight of shape `(batch,)` is one a row.

    Raises:
        ValueError: If `beta` is not 0 and the family has no variance, or one
            likelihood for several targets.

    Example:

    >>> head = kst.heads.NormalHead()
    >>> loss = kst.losses.NegativeLogLikelihood(head)
    >>> y_pred = np.array([[0.0, 1.0]], "float32")  # loc, scale
    >>> round(float(loss(np.array([[0.0]]), y_pred)), 4)  # log(2 * pi) / 2
    0.9189

    Reference:

    - [Seitzer et al., 2022](https://arxiv.org/abs/2203.09168) (`beta`)
    """

    def __init__(
        self,
        head: DistributionHead,
        beta: float = 0.0,
        ignore_nan: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not 0.0 <= beta <= 1.0:
            raise invalid("beta", "a number from 0 to 1", beta)
        if name is None:
            name = "weighted_" * (beta > 0.0) + "negative_log_likelihood"
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.head = unbuilt_copy(head)
        self.beta = float(beta)
        self.ignore_nan = ignore_nan
        if self.beta and self.head.joint:
            raise ValueError(
                f"`{type(head).__name__}` has one likelihood for all targets, "
                "which no variance of one of them can weigh. Received: "
                f"beta={beta}"
            )
        if (
            self.beta
            and not np.isfinite(
                self.head.variance(self.head.possible_prediction[None])
            ).all()
        ):
            raise ValueError(f"`{type(head).__name__}` has no variance.")

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        self.head.check_emitted(y_pred)
        mask = get_mask(y_pred)
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        y_true = ops.cast(self.head.align(y_true, y_pred), self.dtype)
        if mask is None and sample_weight is None and not self.ignore_nan:
            return super().__call__(y_true, y_pred)  # nothing can be hidden
        items = ops.ones_like(y_pred[..., 0])
        counted = items
        if mask is not None:
            mask = ops.cast(mask, self.dtype)
            counted = items * align_left("mask", mask, items.shape)
        if self.ignore_nan:
            counted *= ops.cast(
                ops.all(ops.logical_not(ops.isnan(y_true)), axis=-1), self.dtype
            )
        weight = counted
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight, self.dtype)
            weight = counted * align_left(
                "sample_weight", sample_weight, items.shape
            )
        # Before the mathematics: 0 * inf is NaN, and so is its gradient.
        hidden = ops.expand_dims(ops.equal(weight, 0.0), -1)
        y_true = ops.where(hidden, self.head.possible_target, y_true)
        y_pred = ops.where(hidden, self.head.possible_prediction, y_pred)
        if self.reduction in ("sum_over_batch_size", "mean"):
            weight *= ops.divide_no_nan(ops.sum(items), ops.sum(counted))
        # Keras multiplies by the weight and reduces. The new `y_pred` carries
        # no mask, which would be applied a second time.
        return super().__call__(y_true, y_pred, sample_weight=weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if not self.beta:
            return -self.head.log_likelihood(y_true, y_pred)
        weight = ops.stop_gradient(self.head.variance(y_pred)) ** self.beta
        return -ops.sum(weight * self.head.log_prob(y_true, y_pred), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "head": keras.saving.serialize_keras_object(self.head),
            "beta": self.beta,
            "ignore_nan": self.ignore_nan,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NegativeLogLikelihood":
        head = keras.saving.deserialize_keras_object(config["head"])
        return cls(**{**config, "head": head})
