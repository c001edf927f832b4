"""Maps that are tables: isotonic regression and histogram binning."""

from typing import Any

import keras
import numpy as np

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.calibration._fit_items import Items
from keras_seqtools.calibration._recalibrator import Recalibrator
from keras_seqtools.metrics._bins import binned_sums
from keras_seqtools.metrics._bins import mass_prob_hits
from keras_seqtools.metrics._isotonic import isotonic_fit


@keras.saving.register_keras_serializable(package="keras_seqtools")
class IsotonicCalibration(Recalibrator):
    """The map of greatest likelihood among all that never fall.

    For one probability, that of class 1. It takes any shape that the data ask
    for, and needs more of them than a curve: a thousand, say. On the data of
    the fit the frequency of each level is its probability.

    Between the probabilities of the fit it is a straight line, beyond them
    constant.
    Where only one label came it answers 0 or 1, which the next item may
    contradict at an infinite negative log-likelihood.

    Attributes:
        knots_: Array of probabilities that came, in order.
        values_: Array of what each is mapped to.
        report: A `RecalibrationReport`.

    Example:

    >>> y_prob = np.array([0.1, 0.2, 0.3, 0.9])
    >>> scaling = kst.calibration.IsotonicCalibration()
    >>> scaling.fit([0, 1, 0, 1], y_prob).transform(y_prob).tolist()
    [0.0, 0.5, 0.5, 1.0]

    Reference:

    - [Zadrozny & Elkan, 2002](https://doi.org/10.1145/775047.775151)
    """

    _found = ("knots_", "values_")
    _on_logits = False
    _binary = True

    knots_: np.ndarray
    values_: np.ndarray

    def _fit(self, items: Items) -> None:
        p = [items.probabilities(scores)[:, 0] for _, scores in items.chunks()]
        x, value = isotonic_fit(
            np.concatenate(p, dtype="float64"), items.labels, items.weight
        )
        # The inside of a level says nothing that its ends do not.
        is_end = np.ones(len(x), bool)
        is_end[1:-1] = (value[1:-1] != value[:-2]) | (value[1:-1] != value[2:])
        self.knots_, self.values_ = x[is_end], value[is_end]
        if len(x) == 1:
            self.knots_, self.values_ = np.append(x, x + 1.0), value.repeat(2)

    def _map(self, scores: Any, xp: Any) -> Any:
        x = xp.reshape(xp.array(scores, dtype="float64"), (-1,))
        right = xp.searchsorted(self.knots_[1:-1], x, side="right") + 1
        left_knot = xp.take(self.knots_, right - 1)
        share = (x - left_knot) / (xp.take(self.knots_, right) - left_knot)
        share = xp.clip(share, 0.0, 1.0)
        mapped = (1.0 - share) * xp.take(self.values_, right - 1)
        mapped = mapped + share * xp.take(self.values_, right)
        return xp.reshape(mapped, xp.shape(scores))


@keras.saving.register_keras_serializable(package="keras_seqtools")
class HistogramBinning(Recalibrator):
    """The frequency of class 1 among the items of a bin, for all of it.

    For one probability, that of class 1. The result takes no more than
    `num_bins` values. A bin contains its left edge, and the last one its right
    edge; one that no item fell into answers its middle.

    Args:
        num_bins: Positive integer, the number of bins. Defaults to `15`.
        binning: `"uniform"` for bins of equal width, `"quantile"` for bins
            of equal mass, fewer of them if scores are tied. Defaults to
            `"uniform"`.

    Attributes:
        edges_: Array `(num_bins + 1,)`, the ends of the bins.
        values_: Array `(num_bins,)`, the probability in each.
        report: A `RecalibrationReport`.

    Example:

    >>> y_prob = np.array([0.1, 0.2, 0.6, 0.7])
    >>> scaling = kst.calibration.HistogramBinning(num_bins=2)
    >>> scaling.fit([0, 1, 1, 1], y_prob).transform(y_prob).tolist()
    [0.5, 0.5, 1.0, 1.0]

    Reference:

    - [Zadrozny & Elkan, 2001](https://dl.acm.org/doi/10.5555/645530.655658)
    """

    _found = ("edges_", "values_")
    _on_logits = False
    _binary = True

    edges_: np.ndarray
    values_: np.ndarray

    def __init__(self, num_bins: int = 15, binning: str = "uniform") -> None:
        self.num_bins = check_positive_int("num_bins", num_bins)
        if binning not in ("uniform", "quantile"):
            raise invalid("binning", '"uniform" or "quantile"', binning)
        self.binning = binning

    def _fit(self, items: Items) -> None:
        outcomes = (
            (
                items.labels[at, None],
                items.probabilities(scores),
                items.weight[at],
            )
            for at, scores in items.chunks()
        )
        (self.edges_,), sums = binned_sums(
            1, outcomes, self.num_bins, binning=self.binning
        )
        (mass,), _, (hits,) = mass_prob_hits(sums)
        middle = (self.edges_[:-1] + self.edges_[1:]) / 2.0
        self.values_ = np.divide(hits, mass, out=middle, where=mass > 0.0)

    def _map(self, scores: Any, xp: Any) -> Any:
        x, edges = xp.reshape(scores, (-1,)), self.edges_[1:-1]
        if self.binning == "uniform":
            # In the precision of the scores: 0.7 of float32 is on an edge too.
            x, edges = x * self.num_bins, np.arange(1.0, self.num_bins)
        x = xp.array(x, dtype="float64")
        bins = xp.searchsorted(edges, x, side="right")
        mapped = xp.where(xp.isnan(x), x, xp.take(self.values_, bins))
        return xp.reshape(mapped, xp.shape(scores))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "binning": self.binning,
        }
