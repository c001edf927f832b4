"""Expected calibration error: of arrays, and streaming over batches."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._keras_internals import get_mask
from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._classes import SLACK
from keras_seqtools.metrics._classes import align_labels
from keras_seqtools.metrics._classes import check_mode
from keras_seqtools.metrics._classes import checked_one_hot
from keras_seqtools.metrics._classes import checked_probabilities
from keras_seqtools.metrics._classes import mode_for
from keras_seqtools.metrics._weights import mask_and_weight
from keras_seqtools.metrics._weights import streaming_weight

# Items reduced at a time: few enough for the cache, enough to amortise Python.
_CHUNK = 16384


def expected_calibration_error(
    y_true: Any,
    y_prob: Any,
    *,
    num_bins: int = 15,
    mode: str = "auto",
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """How far stated probabilities are from the frequencies that followed.

    The items are binned by their probability; the result is the mean over
    the items of `|mean probability - frequency|` of their bin: 0 for a model
    whose 75 % come true 75 % of the time. It depends on `num_bins`, is biased
    upwards where bins hold few items, and is 0 for a useless model that
    always states the base rate: read it beside a likelihood or Brier score.

    Two output units are not one: `"binary"` compares `P(y = 1)` with the
    frequency of 1, `"top_label"` compares the largest probability with the
    accuracy, and the numbers differ on the same model.

    Bins have equal width and contain their left edge, `[0, 1/num_bins)` and
    so on; the last also contains 1. Probabilities are binned in their own
    precision, float32 at least.

    Args:
        y_true: Array of labels: integers, of the shape of the items or with
            a last axis of 1, or one-hot, of the shape of `y_prob`.
        y_prob: Array of probabilities `(..., classes)`, such as
            `(batch, classes)` or `(batch, time, classes)`. The items are what
            is left without the last axis. `(batch,)` is read as `(batch, 1)`.
        num_bins: Positive integer, the number of bins. Defaults to `15`.
        mode: `"binary"` for a last axis of 1, `"top_label"`, `"classwise"`
            for the mean over the classes of the binary error of each, or
            `"auto"`: `"binary"` for a last axis of 1, `"top_label"`
            otherwise. Defaults to `"auto"`.
        from_logits: Boolean, whether `y_prob` holds logits: of a sigmoid for
            `"binary"`, of a softmax otherwise. Defaults to `False`.
        mask: Boolean array, of the shape of the items or its first axes:
            `(batch,)` speaks of rows, also where `batch == time`. What it
            leaves out may hold anything, NaN too. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. What weighs
            nothing may hold anything. Defaults to `None`.

    Returns:
        Float in [0, 1], a difference of probabilities. NaN if nothing counts.

    Raises:
        ValueError: If an argument or a shape does not fit, or if what counts
            holds a label that is none of the classes, a NaN, or a probability
            outside of [0, 1] by more than `1e-6`.

    Example:

    >>> kst.metrics.expected_calibration_error([1, 1, 0, 1], [0.75] * 4)
    0.0
    >>> y_prob = np.array([[0.75, 0.25], [0.25, 0.75]])
    >>> kst.metrics.expected_calibration_error([0, 1], y_prob)
    0.25

    Reference:

    - [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602)
    - [Guo et al., 2017](https://arxiv.org/abs/1706.04599)
    - [Kull et al., 2019](https://arxiv.org/abs/1910.12656), classwise
    """
    num_bins = check_positive_int("num_bins", num_bins)
    mode = check_mode(mode)
    y_true, y_prob = align_labels(np.asarray(y_true), np.asarray(y_prob))
    *items, classes = y_prob.shape
    mode = mode_for(mode, classes)
    mask, weight = mask_and_weight(mask, sample_weight, tuple(items))
    gaps, total = np.zeros(1), 0.0
    step = max(1, _CHUNK // max(1, math.prod(items[1:])))
    for start in range(0, len(y_prob), step):
        rows = slice(start, start + step)
        counts = mask[rows] & (weight[rows] != 0.0)
        w = weight[rows][counts]
        p = checked_probabilities(y_prob[rows][counts], from_logits)
        hits = checked_one_hot(y_true[rows][counts], classes)
        if mode == "top_label":
            top = p.argmax(axis=-1)[:, None]
            p = np.take_along_axis(p, top, axis=-1)
            hits = np.take_along_axis(hits, top, axis=-1)
        bins = np.minimum((p * num_bins).astype("int64"), num_bins - 1)
        bins += num_bins * np.arange(p.shape[-1])
        gap = w[:, None] * np.subtract(p, hits, dtype="float64")
        gaps = gaps + np.bincount(
            bins.ravel(), gap.ravel(), num_bins * p.shape[-1]
        )
        total += w.sum()
    if total == 0.0:
        return math.nan
    columns = classes if mode == "classwise" else 1
    return float(np.abs(gaps).sum() / (total * columns))


@keras.saving.register_keras_serializable(package="keras_seqtools")
class ExpectedCalibrationError(keras.metrics.Metric):
    """The expected calibration error, streaming: same value for any batches.

    It equals `expected_calibration_error` of all the batches at once, is in
    the same units, and is 0 before any data. Its state is one float64 number
    for each bin, and one more: it does not grow with the data.

    Listed in `metrics=[...]` of `compile` it leaves out the steps that a Keras
    mask leaves out; in `weighted_metrics=[...]` it weighs by `sample_weight`
    too. Both are aligned with the rows: a weight of shape `(batch,)` weighs
    whole sequences.

    What must not be averaged away, a NaN, a probability outside of [0, 1] or a
    label that is none of the classes, makes the result NaN until the state is
    reset, unless it is masked or weighs nothing. A label of -1 for a missing
    step therefore needs a mask or a weight of 0.

    Args:
        num_bins: Positive integer, the number of bins. Defaults to `15`.
        mode: `"auto"`, `"binary"`, `"top_label"` or `"classwise"`, as in
            `expected_calibration_error`. Defaults to `"auto"`.
        from_logits: Boolean, whether `y_pred` holds logits. Defaults to
            `False`.
        num_classes: Positive integer, the number of classes. `"classwise"`
            needs it, and nothing else takes it. Defaults to `None`.
        name: String. Defaults to `"expected_calibration_error"`.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.ExpectedCalibrationError(num_bins=10)
    >>> for label in (1, 1, 0, 1):
    ...     metric.update_state([label], [[0.75]])
    >>> float(metric.result())
    0.0

    Reference:

    - [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602)
    """

    def __init__(
        self,
        num_bins: int = 15,
        mode: str = "auto",
        from_logits: bool = False,
        num_classes: int | None = None,
        name: str = "expected_calibration_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.num_bins = check_positive_int("num_bins", num_bins)
        self.mode = check_mode(mode)
        self.from_logits = from_logits
        self.num_classes = num_classes
        size = self.num_bins
        if mode == "classwise":
            size *= check_positive_int("num_classes", num_classes)
        elif num_classes is not None:
            raise invalid(
                "num_classes", '`None` unless `mode="classwise"`', num_classes
            )
        # A float32 sum would stop counting at 2**24 items.
        self.gaps = self.add_variable((size,), "zeros", "float64", name="gaps")
        self.total = self.add_variable((), "zeros", "float64", name="total")

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        mask = get_mask(y_pred)
        hits, p = align_labels(
            ops.cast(y_true, "float64"), ops.convert_to_tensor(y_pred)
        )
        classes = p.shape[-1]
        mode = mode_for(self.mode, classes)
        if self.num_classes not in (None, classes):
            raise ValueError(
                "The last axis of `y_pred` must hold the classes. Expected "
                f"num_classes={self.num_classes}. Received: {classes}"
            )
        p = ops.cast(p, keras.backend.result_type(p.dtype, "float32"))
        if self.from_logits:
            p = ops.sigmoid(p) if mode == "binary" else ops.softmax(p)
        weight = streaming_weight(p[..., 0], mask, sample_weight)
        order = ops.arange(classes, dtype="float64")
        valid = ops.all(ops.abs(p - 0.5) <= 0.5 + SLACK, axis=-1)
        if len(hits.shape) < len(p.shape):
            hits = hits[..., None] == order
        else:
            valid &= ops.all((hits == 0.0) | (hits == 1.0), axis=-1)
            hits = hits == 1.0
        if mode != "binary":
            valid &= ops.count_nonzero(hits, axis=-1) == 1
        if mode == "top_label":
            top = ops.cast(ops.argmax(p, axis=-1, keepdims=True), "float64")
            top = top == order
            hits = ops.any(hits & top, axis=-1, keepdims=True)
            p = ops.sum(ops.where(top, p, 0.0), axis=-1, keepdims=True)
        counts = weight != 0.0
        # Not by multiplication: 0 * NaN is NaN.
        p = ops.where((counts & valid)[..., None], p, 0.0)
        weight = ops.where(counts & ~valid, math.nan, weight)
        gaps = weight[..., None] * (
            ops.cast(p, "float64") - ops.cast(hits, "float64")
        )
        bins = ops.cast(p * self.num_bins, "int32")
        bins = ops.minimum(bins, self.num_bins - 1)
        bins += self.num_bins * ops.arange(p.shape[-1], dtype="int32")
        self.gaps.assign_add(
            ops.segment_sum(
                ops.reshape(gaps, (-1,)),
                ops.reshape(bins, (-1,)),
                num_segments=self.gaps.shape[0],
            )
        )
        self.total.assign_add(ops.sum(weight))

    def result(self) -> Any:
        columns = self.num_classes or 1
        return ops.divide_no_nan(
            ops.sum(ops.abs(self.gaps)), self.total * columns
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "mode": self.mode,
            "from_logits": self.from_logits,
            "num_classes": self.num_classes,
        }
