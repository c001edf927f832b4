"""Scores of what a head predicts, streaming: the same value for any batches."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._keras_internals import get_mask
from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import check_positive_int
from keras_seqtools.heads import DistributionHead
from keras_seqtools.heads.distribution_head import unbuilt_copy
from keras_seqtools.metrics._crps_closed_forms import closed_form
from keras_seqtools.metrics._head_items import below_and_at_most
from keras_seqtools.metrics._head_items import is_covered
from keras_seqtools.metrics._head_items import percent
from keras_seqtools.metrics._streaming import StreamingMetric
from keras_seqtools.metrics._weights import streaming_weight
from keras_seqtools.metrics.pit import share_below


class _HeadMetric(StreamingMetric):
    """A sum over the items of something that a head says of them.

    A subclass defines `_measure(y, y_pred)`, a tensor of the shape `(...)` of
    the items, or `(..., size)` if `_shape` is `(size,)`.
    """

    _shape: tuple[int, ...] = ()

    def __init__(
        self, head: DistributionHead, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.head = unbuilt_copy(head)
        self.sums = self.add_sum("sums", self._shape)
        self.total = self.add_sum("total")

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        self.head.check_emitted(y_pred)
        mask = get_mask(y_pred)
        y_pred = ops.cast(ops.convert_to_tensor(y_pred), "float64")
        y = self.head.align(y_true, y_pred)
        weight = streaming_weight(y_pred[..., 0], mask, sample_weight)
        # Not by multiplication, and before any mathematics: 0 * NaN is NaN.
        counts = (weight != 0.0)[..., None]
        y = ops.where(counts, y, self.head.possible_target)
        possible = ops.cast(self.head.possible_prediction, "float64")
        y_pred = ops.where(counts, y_pred, possible)
        is_possible = ops.all(self.head._is_possible(y), axis=-1)
        weight = ops.where(is_possible, weight, math.nan)
        weight = weight[(..., *[None] * len(self._shape))]
        weighted = ops.reshape(
            weight * self._measure(y, y_pred), (-1, *self._shape)
        )
        self.sums.assign_add(ops.sum(weighted, axis=0))
        self.total.assign_add(ops.sum(weight))

    def result(self) -> Any:
        return ops.divide_no_nan(self.sums, self.total)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "head": keras.saving.serialize_keras_object(self.head),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        head = keras.saving.deserialize_keras_object(config["head"])
        return cls(**{**config, "head": head})


class _IntervalMetric(_HeadMetric):
    """Something of the central interval of one level."""

    _prefix = ""

    def __init__(
        self,
        head: DistributionHead,
        level: float = 0.9,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        (self.level,) = check_fractions("level", level)
        super().__init__(
            head, name or f"{self._prefix}_{percent(self.level)}", dtype
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "level": self.level}


@keras.saving.register_keras_serializable(package="keras_seqtools")
class LogScore(_HeadMetric):
    """The negative log-likelihood under a head's distribution, streaming.

    The mean over the items of `-log p(y)`, summed over units, in nats: the
    number that `keras_seqtools.losses.NegativeLogLikelihood(head)` minimises,
    without its `beta` and without regularisation, in float64. 0 before any
    data.

    Listed in `metrics=[...]` of `compile` it leaves out the steps that a Keras
    mask leaves out; in `weighted_metrics=[...]` it is the weighted mean,
    `sum(w * s) / sum(w)`. Both are aligned with the rows: a weight of shape
    `(batch,)` weighs whole sequences. What is left out may hold anything. A
    NaN that is not, a target outside of the support or a negative weight makes
    the result NaN until the state is reset. `merge_state([other])` adds what
    another such metric has seen.

    Args:
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.
            Of its family only a copy is kept.
        name: String. Defaults to `"log_score"`.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.LogScore(kst.heads.NormalHead())
    >>> y_pred = np.array([[0.0, 1.0]], "float32")  # loc, scale
    >>> metric.update_state(np.array([[0.0]]), y_pred)
    >>> round(float(metric.result()), 4)  # log(2 * pi) / 2
    0.9189

    Reference:

    - [Good, 1952](https://doi.org/10.1111/j.2517-6161.1952.tb00104.x)
    """

    def __init__(
        self,
        head: DistributionHead,
        name: str = "log_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(head, name, dtype)

    def _measure(self, y: Any, y_pred: Any) -> Any:
        return -self.head.log_likelihood(y, y_pred)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class CRPS(_HeadMetric):
    """The continuous ranked probability score of a head, streaming.

    The mean over items and units of `keras_seqtools.metrics.crps`, in units of
    the target. Only for families that have it in closed form. Masks, weights,
    and what makes the result NaN are those of `LogScore`.

    Args:
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.
            Of its family only a copy is kept.
        name: String. Defaults to `"crps"`.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Raises:
        ValueError: If the family has no closed form: `crps` and
            `score_distribution` integrate it.

    Example:

    >>> metric = kst.metrics.CRPS(kst.heads.NormalHead())
    >>> y_pred = np.array([[0.0, 1.0]], "float32")  # loc, scale
    >>> metric.update_state(np.array([[0.0]]), y_pred)
    >>> round(float(metric.result()), 4)
    0.2337

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    """

    def __init__(
        self, head: DistributionHead, name: str = "crps", dtype: Any = None
    ) -> None:
        super().__init__(head, name, dtype)
        self._form: Any = closed_form(self.head)
        if self._form is None:
            raise ValueError(
                f"`{type(head).__name__}` has no CRPS in closed form that "
                "could be streamed. `keras_seqtools.metrics.crps` integrates "
                "it, for arrays."
            )

    def _measure(self, y: Any, y_pred: Any) -> Any:
        return ops.mean(self._form(y, y_pred), axis=-1)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class IntervalCoverage(_IntervalMetric):
    """The share of the targets inside a head's central intervals, streaming.

    It should be the level, for counts at least that. Read it beside
    `IntervalWidth` or a proper score: wide intervals cover everything. Masks,
    weights, and what makes the result NaN are those of `LogScore`.

    Args:
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.
            Of its family only a copy is kept.
        level: Float in (0, 1), the level of the intervals. Defaults to `0.9`.
        name: String. Defaults to `None`: `"coverage_90"` for a level of 0.9.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.IntervalCoverage(kst.heads.NormalHead())
    >>> y_pred = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")  # loc, scale
    >>> metric.update_state(np.array([[0.0], [3.0]]), y_pred)
    >>> float(metric.result())
    0.5

    Reference:

    - [Gneiting et al., 2007](https://doi.org/10.1111/j.1467-9868.2007.00587.x)
    """

    _prefix = "coverage"

    def _measure(self, y: Any, y_pred: Any) -> Any:
        probabilities = below_and_at_most(y, y_pred, self.head)
        covered = is_covered(*probabilities, self.level)
        return ops.mean(covered, axis=-1)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class IntervalWidth(_IntervalMetric):
    """The mean width of a head's central intervals, streaming.

    How sharp the head is, in units of the target. Masks, weights, and what
    makes the result NaN are those of `LogScore`.

    Args:
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.
            Of its family only a copy is kept.
        level: Float in (0, 1), the level of the intervals. Defaults to `0.9`.
        name: String. Defaults to `None`: `"width_90"` for a level of 0.9.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.IntervalWidth(kst.heads.NormalHead())
    >>> y_pred = np.array([[0.0, 1.0]], "float32")  # loc, scale
    >>> metric.update_state(np.array([[0.0]]), y_pred)
    >>> round(float(metric.result()), 4)  # 2 * 1.6449
    3.2897

    Reference:

    - [Gneiting et al., 2007](https://doi.org/10.1111/j.1467-9868.2007.00587.x)
    """

    _prefix = "width"

    def _measure(self, y: Any, y_pred: Any) -> Any:
        lower, upper = self.head.interval(y_pred, self.level)
        return ops.mean(upper - lower, axis=-1)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class PITHistogram(_HeadMetric):
    """The histogram of a head's probability integral transforms, streaming.

    `histogram()` gives its heights, those of `pit_histogram`: all are 1 if the
    head is calibrated. For counts it is the non-randomised one. The result is
    the largest distance between the distribution of the transforms and the
    uniform one, as far as the edges of the bins show it: 0 to 1, and 0 before
    any data. Masks, weights, and what makes the result NaN are those of
    `LogScore`; every unit of an item counts.

    Args:
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.
            Of its family only a copy is kept.
        num_bins: Positive integer, the number of bins. Defaults to `10`.
        name: String. Defaults to `"pit_histogram"`.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.PITHistogram(kst.heads.NormalHead(), num_bins=2)
    >>> y_pred = np.array([[0.0, 1.0]] * 4, "float32")  # loc, scale
    >>> metric.update_state(np.array([[-1.0], [1.0], [2.0], [3.0]]), y_pred)
    >>> metric.histogram(), float(metric.result())
    (array([0.5, 1.5]), 0.25)

    Reference:

    - [Czado et al., 2009](https://doi.org/10.1111/j.1541-0420.2009.01191.x)
    """

    def __init__(
        self,
        head: DistributionHead,
        num_bins: int = 10,
        name: str = "pit_histogram",
        dtype: Any = None,
    ) -> None:
        self.num_bins = check_positive_int("num_bins", num_bins)
        self._edges = np.arange(1, self.num_bins + 1) / self.num_bins
        self._shape = (self.num_bins,)
        super().__init__(head, name, dtype)

    def result(self) -> Any:
        distance = ops.max(ops.abs(super().result() - self._edges))
        return ops.where(self.total == 0.0, 0.0, distance)

    def histogram(self) -> np.ndarray:
        """The heights `(num_bins,)`, of mean 1; NaN before any data."""
        with np.errstate(invalid="ignore"):
            reached = ops.convert_to_numpy(self.sums) / float(self.total)
        return self.num_bins * np.diff(reached, prepend=0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins}

    def _measure(self, y: Any, y_pred: Any) -> Any:
        below, at_most = below_and_at_most(y, y_pred, self.head)
        # All is below the last edge, what is 1 too.
        edges = np.where(self._edges < 1.0, self._edges, np.inf)
        shares = share_below(below[..., None], at_most[..., None], edges)
        return ops.mean(shares, axis=-2)
