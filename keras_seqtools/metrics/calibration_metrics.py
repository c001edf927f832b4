"""Calibration errors, streaming: the same value for any batches."""

from typing import Any

import keras
from keras import ops

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._bins import binned_error
from keras_seqtools.metrics._bins import uniform_edges
from keras_seqtools.metrics._classes import check_mode
from keras_seqtools.metrics._outcomes import streaming_outcomes
from keras_seqtools.metrics._streaming import StreamingMetric
from keras_seqtools.metrics.reliability import ReliabilityCurve
from keras_seqtools.metrics.reliability import central_z
from keras_seqtools.metrics.reliability import curve_of_sums


class _BinnedMetric(StreamingMetric):
    """Sums in bins of equal width, and what follows from them."""

    _norm = "l1"
    _name = "expected_calibration_error"
    debias = False

    def __init__(
        self,
        num_bins: int = 15,
        mode: str = "auto",
        from_logits: bool = False,
        num_classes: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name or self._name, dtype=dtype)
        self.num_bins = check_positive_int("num_bins", num_bins)
        self.mode = check_mode(mode)
        self.from_logits = from_logits
        self.num_classes = num_classes
        columns = 1
        if mode == "classwise":
            columns = check_positive_int("num_classes", num_classes)
        elif num_classes is not None:
            raise invalid(
                "num_classes", '`None` unless `mode="classwise"`', num_classes
            )
        self.sums = self.add_sum("sums", (2, columns, self.num_bins, 2))

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        hits, p, weight = streaming_outcomes(
            y_true, y_pred, self.mode, self.from_logits, sample_weight
        )
        columns = self.sums.shape[1]
        if p.shape[-1] != columns:
            raise ValueError(
                "The last axis of `y_pred` must hold the classes. Expected "
                f"num_classes={columns}. Received: {p.shape[-1]}"
            )
        bins = ops.cast(p * self.num_bins, "int32")
        # On both sides: the integer that a NaN becomes may be any.
        bins = ops.clip(bins, 0, self.num_bins - 1)
        bins += self.num_bins * ops.arange(columns, dtype="int32")
        index = ops.reshape(2 * bins + ops.cast(hits, "int32"), (-1,))
        p = ops.cast(p, "float64")
        weight = ops.broadcast_to(weight[..., None], ops.shape(p))
        # One after the other: TensorFlow is slow to sum rows of two.
        sums = [
            ops.segment_sum(
                ops.reshape(values, (-1,)),
                index,
                num_segments=2 * columns * self.num_bins,
            )
            for values in (weight, weight * p)
        ]
        self.sums.assign_add(ops.reshape(ops.stack(sums), self.sums.shape))

    def result(self) -> Any:
        error = binned_error(self.sums, self._norm, self.debias)
        return ops.where(ops.sum(self.sums[0]) == 0.0, 0.0, error)

    def reliability(self, level: float = 0.95) -> ReliabilityCurve:
        """The curve of the batches so far, as `reliability_curve` gives it.

        Args:
            level: Float in (0, 1), the level of the bands. Defaults to `0.95`.

        Returns:
            `ReliabilityCurve`, of float64 arrays.
        """
        z = central_z(level)
        sums = ops.convert_to_numpy(self.sums)
        edges = uniform_edges(self.num_bins, columns=sums.shape[1])
        return curve_of_sums(edges, sums, z, self.mode == "classwise")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "mode": self.mode,
            "from_logits": self.from_logits,
            "num_classes": self.num_classes,
        }


@keras.saving.register_keras_serializable(package="keras_seqtools")
class ExpectedCalibrationError(_BinnedMetric):
    """The expected calibration error, streaming: same value for any batches.

    It equals `expected_calibration_error` of all the batches at once, is in
    the same units, and is 0 before any data. Its state is four float64
    numbers for each bin: it does not grow with the data. `reliability()` is
    the curve behind the number, and `merge_state([other])` adds what another
    such metric has seen.

    Listed in `metrics=[...]` of `compile` it leaves out the steps that a Keras
    mask leaves out; in `weighted_metrics=[...]` it weighs by `sample_weight`
    too. Both are aligned with the rows: a weight of shape `(batch,)` weighs
    whole sequences.

    What must not be averaged away, a NaN, a probability outside of [0, 1],
    probabilities of classes that do not add up to 1, a label that is none of
    the classes or a negative weight, makes the result NaN until the state is
    reset, unless it is masked or weighs nothing. A label of -1 for a missing
    step therefore needs a mask or a weight of 0.

    Args:
        num_bins: Positive integer, the number of bins. Defaults to `15`.
        mode: `"auto"`, `"binary"`, `"top_label"` or `"classwise"`, as in
            `calibration_error`. Defaults to `"auto"`.
        from_logits: Boolean, whether `y_pred` holds logits. Defaults to
            `False`.
        num_classes: Positive integer, the number of classes. `"classwise"`
            needs it, and nothing else takes it. Defaults to `None`.
        name: String. Defaults to `None`: `"expected_calibration_error"`.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.ExpectedCalibrationError(num_bins=10)
    >>> for label in (1, 1, 0, 1):
    ...     metric.update_state([label], [[0.75]])
    >>> float(metric.result())
    0.0
    >>> metric.reliability().frequency[7]
    np.float64(0.75)

    Reference:

    - [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602)
    """


@keras.saving.register_keras_serializable(package="keras_seqtools")
class MaximumCalibrationError(_BinnedMetric):
    """The maximum calibration error, streaming: same value for any batches.

    It equals `maximum_calibration_error` of all the batches at once. Masks,
    weights, and what makes the result NaN are those of
    `ExpectedCalibrationError`, as are `reliability()` and `merge_state`.

    Args:
        num_bins: Positive integer, the number of bins. Defaults to `15`.
        mode: `"auto"`, `"binary"`, `"top_label"` or `"classwise"`, as in
            `calibration_error`. Defaults to `"auto"`.
        from_logits: Boolean, whether `y_pred` holds logits. Defaults to
            `False`.
        num_classes: Positive integer, the number of classes. `"classwise"`
            needs it, and nothing else takes it. Defaults to `None`.
        name: String. Defaults to `None`: `"maximum_calibration_error"`.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.MaximumCalibrationError()
    >>> metric.update_state([0, 0, 1], [[0.0], [0.0], [0.75]])
    >>> float(metric.result())
    0.25

    Reference:

    - [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602)
    """

    _norm = "max"
    _name = "maximum_calibration_error"


@keras.saving.register_keras_serializable(package="keras_seqtools")
class RMSCalibrationError(_BinnedMetric):
    """The root mean square calibration error, streaming.

    It equals `rms_calibration_error` of all the batches at once. Masks,
    weights, and what makes the result NaN are those of
    `ExpectedCalibrationError`, as are `reliability()` and `merge_state`.

    Args:
        num_bins: Positive integer, the number of bins. Defaults to `15`.
        mode: `"auto"`, `"binary"`, `"top_label"` or `"classwise"`, as in
            `calibration_error`. Defaults to `"auto"`.
        from_logits: Boolean, whether `y_pred` holds logits. Defaults to
            `False`.
        num_classes: Positive integer, the number of classes. `"classwise"`
            needs it, and nothing else takes it. Defaults to `None`.
        debias: Boolean, as in `rms_calibration_error`. Defaults to `False`.
        name: String. Defaults to `"rms_calibration_error"`.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.RMSCalibrationError()
    >>> metric.update_state([0, 1, 1, 1], [[0.0], [0.5], [0.5], [0.5]])
    >>> round(float(metric.result()), 6)
    0.433013

    Reference:

    - [Hendrycks et al., 2019](https://arxiv.org/abs/1812.04606)
    - [Kumar et al., 2019](https://arxiv.org/abs/1909.10155), debiased
    """

    _norm = "l2"

    def __init__(
        self,
        num_bins: int = 15,
        mode: str = "auto",
        from_logits: bool = False,
        num_classes: int | None = None,
        debias: bool = False,
        name: str = "rms_calibration_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(num_bins, mode, from_logits, num_classes, name, dtype)
        self.debias = debias

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "debias": self.debias}
