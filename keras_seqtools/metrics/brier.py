"""The Brier score, what it consists of, and the score streaming."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._validation import invalid
from keras_seqtools.metrics._bins import binned_sums
from keras_seqtools.metrics._bins import mass_prob_hits
from keras_seqtools.metrics._isotonic import isotonic_fit
from keras_seqtools.metrics._outcomes import EVERY_CLASS
from keras_seqtools.metrics._outcomes import gather
from keras_seqtools.metrics._outcomes import outcomes
from keras_seqtools.metrics._outcomes import streaming_outcomes
from keras_seqtools.metrics._streaming import StreamingMetric

_METHODS = ("binned", "corp")


def brier_score(
    y_true: Any,
    y_prob: Any,
    *,
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """The mean squared error of probabilities; lower is better.

    It is proper: to state what one believes has the least expected score. It
    does not measure calibration alone; `brier_decomposition` tells the parts.

    The squares are summed over the classes: a softmax of two classes scores
    twice what one sigmoid does for the same forecast.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        from_logits: Boolean, whether `y_prob` holds logits. Defaults to
            `False`.
        mask: Boolean array, as in `calibration_error`. Defaults to `None`.
        sample_weight: Array, as in `calibration_error`. Defaults to `None`.

    Returns:
        Float in [0, 2], in [0, 1] for a last axis of 1. NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> kst.metrics.brier_score([1, 0], [0.5, 0.0])
    0.125
    >>> kst.metrics.brier_score([1, 0], np.array([[0.5, 0.5], [1.0, 0.0]]))
    0.25

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    """
    _, chunks = outcomes(
        y_true, y_prob, EVERY_CLASS, from_logits, mask, sample_weight
    )
    score, total = 0.0, 0.0
    for hits, p, weight in chunks:
        errors = np.subtract(p, hits, dtype="float64")
        score += weight @ (errors**2).sum(axis=-1)
        total += weight.sum()
    return float(score / total) if total else math.nan


@dataclasses.dataclass(frozen=True)
class BrierDecomposition:
    """What a Brier score consists of; each part a float.

    `score = reliability - resolution + uncertainty + within_bin_variance -
    2 * within_bin_covariance`, exactly.

    Attributes:
        score: The Brier score.
        reliability: What miscalibration costs; 0 is best.
        resolution: What telling items apart gains; 0 is worst.
        uncertainty: The score of the base rates.
        within_bin_variance: Of the probabilities in a bin; 0 without bins.
        within_bin_covariance: Of the probabilities and what came, in a bin; 0
            without bins.

    Example:

    >>> kst.metrics.brier_decomposition([0, 1], [0.5, 0.5]).uncertainty
    0.25
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bin_variance: float = 0.0
    within_bin_covariance: float = 0.0


def brier_decomposition(
    y_true: Any,
    y_prob: Any,
    *,
    method: str = "binned",
    num_bins: int = 15,
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
) -> BrierDecomposition:
    """Splits the Brier score into miscalibration, resolution, uncertainty.

    `"binned"` compares the means of bins of equal width; the two within-bin
    terms make up for what differs inside of them. `"corp"` compares with the
    isotonic regression of `corp_curve`: nothing to choose, and no term is
    negative.

    Several classes are split one by one, each by its own probability, and the
    parts are added up, as the score is.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        method: `"binned"` or `"corp"`. Defaults to `"binned"`.
        num_bins: Positive integer, the number of bins of `"binned"`. Defaults
            to `15`.
        from_logits: Boolean, whether `y_prob` holds logits. Defaults to
            `False`.
        mask: Boolean array, as in `calibration_error`. Defaults to `None`.
        sample_weight: Array, as in `calibration_error`. Defaults to `None`.

    Returns:
        `BrierDecomposition`, all NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does, or if `method` is unknown.

    Example:

    >>> parts = kst.metrics.brier_decomposition([0, 1], [0.5, 1.0])
    >>> parts.score, parts.uncertainty, parts.resolution, parts.reliability
    (0.125, 0.25, 0.25, 0.125)

    Reference:

    - [Stephenson et al., 2008](https://doi.org/10.1175/2007WAF2006116.1),
      within bins
    - [Dimitriadis et al., 2021](https://doi.org/10.1073/pnas.2016191118), CORP
    """
    if method not in _METHODS:
        raise invalid("method", f"one of {_METHODS}", method)
    columns, chunks = outcomes(
        y_true, y_prob, EVERY_CLASS, from_logits, mask, sample_weight
    )
    if method == "corp":
        hits, p, weight = gather(chunks)
        parts = [
            _split_by_regression(hits[:, k], p[:, k], weight)
            for k in range(columns)
        ]
    else:
        _, sums = binned_sums(columns, chunks, num_bins, moments=3)
        parts = [_split_by_bins(sums[:, k]) for k in range(columns)]
    return BrierDecomposition(*np.sum(parts, axis=0).tolist())


def _split_by_bins(sums: np.ndarray) -> tuple[float, ...]:
    """The parts of one class, from sums `(3, num_bins, 2)`."""
    mass, prob, hits = mass_prob_hits(sums)
    filled = mass > 0.0
    if not filled.any():
        return (math.nan,) * 6
    share = (mass / mass.sum())[filled]
    mean, frequency, squares, products = (
        (values / np.where(filled, mass, 1.0))[filled]
        for values in (prob, hits, sums[2].sum(axis=-1), sums[1, :, 1])
    )
    rate = share @ frequency
    return (
        share @ (squares - 2.0 * products + frequency),
        share @ (mean - frequency) ** 2,
        share @ (frequency - rate) ** 2,
        rate * (1.0 - rate),
        share @ (squares - mean**2),
        share @ (products - mean * frequency),
    )


def _split_by_regression(
    hits: np.ndarray, p: np.ndarray, weight: np.ndarray
) -> tuple[float, ...]:
    """The parts of one class, against its isotonic regression."""
    if not weight.size:
        return (math.nan,) * 6
    share = weight / weight.sum()
    knots, frequency = isotonic_fit(p, hits, weight)
    recalibrated = frequency[np.searchsorted(knots, p)]
    score = share @ np.subtract(p, hits, dtype="float64") ** 2
    best = share @ (recalibrated - hits) ** 2
    rate = share @ hits
    uncertainty = rate * (1.0 - rate)
    return score, score - best, uncertainty - best, uncertainty, 0.0, 0.0


@keras.saving.register_keras_serializable(package="keras_seqtools")
class BrierScore(StreamingMetric):
    """The Brier score, streaming: the same value for any batches.

    It equals `brier_score` of all the batches at once, and is 0 before any
    data. Unlike `"mse"` it takes integer labels, and sums over the classes
    instead of averaging.

    Masks, weights, what makes the result NaN, and `merge_state` are those of
    `ExpectedCalibrationError`.

    Args:
        from_logits: Boolean, whether `y_pred` holds logits. Defaults to
            `False`.
        name: String. Defaults to `"brier_score"`.
        dtype: The dtype policy of the metric. The state is float64 under any.
            Defaults to `None`.

    Example:

    >>> metric = kst.metrics.BrierScore()
    >>> metric.update_state([1, 0], [[0.5, 0.5], [1.0, 0.0]])
    >>> float(metric.result())
    0.25

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    """

    def __init__(
        self,
        from_logits: bool = False,
        name: str = "brier_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.from_logits = from_logits
        self.score = self.add_sum("score")
        self.total = self.add_sum("total")

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        hits, p, weight = streaming_outcomes(
            y_true, y_pred, EVERY_CLASS, self.from_logits, sample_weight
        )
        errors = ops.cast(p, "float64") - ops.cast(hits, "float64")
        errors = ops.sum(ops.square(errors), axis=-1)
        self.score.assign_add(ops.sum(weight * errors))
        self.total.assign_add(ops.sum(weight))

    def result(self) -> Any:
        return ops.divide_no_nan(self.score, self.total)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits}
