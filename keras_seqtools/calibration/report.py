"""What a recalibration did to the scores of the data it was fitted to."""

import dataclasses
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from keras_seqtools.calibration._items import Items

_NUM_BINS = 15
# Standard errors to either side, for 95 %.
_WIDTH = NormalDist().inv_cdf(0.975)
_REPLICATES = 500
# Rows are drawn again one by one, or if there are more in this many groups.
_MAX_GROUPS = 1000


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A score before and after, with an interval of 95 % around each.

    Attributes:
        before: The score of what was given.
        after: The score of what was made of it.
        gain: `before - after`: above 0 if the score fell.
        before_interval: Ends of the interval of `before`.
        after_interval: Ends of the interval of `after`.
        gain_interval: Ends of the interval of `gain`. Before and after are of
            the same items, so that it is narrower than those two suggest.
    """

    before: float
    after: float
    gain: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    gain_interval: tuple[float, float]


@dataclasses.dataclass(frozen=True, repr=False)
class RecalibrationReport:
    """What a map did to the data it was fitted to; printed, it is a table.

    Intervals are the estimate plus and minus 1.96 standard errors, these by
    the bootstrap over rows: the steps of a row are not taken to be
    independent. A few rows are too few for them.

    The data are those of the fit. For a map with few parameters that says
    much; an isotonic or a matrix map looks better here than on new data, where
    a metric of `kst.metrics` tells.

    Attributes:
        n: The number of items that counted.
        nll: `Comparison` of the mean negative log-likelihood, in nats.
        brier: `Comparison` of the Brier score, in [0, 2], of one probability
            in [0, 1].
        ece: `Comparison` of the expected calibration error, 15 bins, of the
            top label or the one probability.

    Example:

    >>> y_prob = np.tile([0.1, 0.9], 50)
    >>> y_true = np.tile([0, 1, 1, 1, 0, 0, 0, 1, 0, 1], 10)
    >>> report = kst.calibration.PlattScaling().fit(y_true, y_prob).report
    >>> report.n, bool(report.nll.gain > 0.0)
    (100, True)
    """

    n: int
    nll: Comparison
    brier: Comparison
    ece: Comparison

    def __repr__(self) -> str:
        lines = [
            f"RecalibrationReport: n={self.n}, on the data of the fit, "
            "95 % intervals",
            f"{'':6}{'before':26}{'after':26}gain",
        ]
        for name in ("nll", "brier", "ece"):
            score = getattr(self, name)
            cells = (
                (score.before, *score.before_interval),
                (score.after, *score.after_interval),
                (score.gain, *score.gain_interval),
            )
            row = (f"{x:.4f} [{a:.4f}, {b:.4f}]" for x, a, b in cells)
            lines.append(f"{name:6}" + "".join(f"{cell:26}" for cell in row))
        low, high = self.nll.gain_interval
        if not (low > 0.0 or high < 0.0):
            lines.append("no detectable gain: that of the nll may be 0")
        return "\n".join(line.rstrip() for line in lines)


def compare(
    items: Items, calibrate: Callable[[np.ndarray], tuple[Any, Any]]
) -> RecalibrationReport:
    """Scores before and after `calibrate`, from scores to both forms."""
    rows, row = np.unique(items.rows, return_inverse=True)
    size = min(len(rows), _MAX_GROUPS)
    rng = np.random.default_rng(0)
    group = (rng.permutation(len(rows)) % size)[row]
    columns = 2 + _NUM_BINS
    sums = np.zeros((2, size, columns))
    for at, scores in items.chunks():
        given = items.logits(scores), items.probabilities(scores)
        for total, form in zip(sums, (given, calibrate(scores)), strict=True):
            terms, bins = _terms(*form, items.labels[at])
            places = (np.zeros_like(bins), np.ones_like(bins), bins + 2)
            for column, term in zip(places, terms, strict=True):
                place = group[at] * columns + column
                np.add.at(total.reshape(-1), place, items.weight[at] * term)
    mass = np.bincount(group, items.weight)
    draws = rng.multinomial(size, np.full(size, 1.0 / size), _REPLICATES)
    # One group says nothing of how groups differ.
    width = _WIDTH if size > 1 else math.nan
    comparisons = (
        _comparison(values, drawn, width)
        for values, drawn in zip(
            _scores(sums.sum(axis=1), mass.sum()),
            _scores(draws @ sums, draws @ mass),
            strict=True,
        )
    )
    return RecalibrationReport(len(items.places), *comparisons)


def _terms(
    logits: np.ndarray, p: np.ndarray, labels: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Of each item: likelihood and Brier score, gap of its bin; the bin."""
    if p.shape[-1] == 1:
        z, top, hit = logits[:, 0], p[:, 0], labels
        nll = np.logaddexp(0.0, z) - labels * z
        brier = (top - labels) ** 2
    else:
        every = np.arange(len(p))
        best = p.argmax(axis=-1)
        top, hit = p[every, best], best == labels
        q = p.astype("float64", copy=False)
        # The logarithm of p to the last digit, also where p is 0.
        nll = logits[every, best] - logits[every, labels]
        nll -= np.log(q[every, best])
        brier = np.einsum("ij,ij->i", q, q) - 2.0 * q[every, labels] + 1.0
    bins = np.minimum((top * _NUM_BINS).astype("int64"), _NUM_BINS - 1)
    return (nll, brier, np.subtract(top, hit, dtype="float64")), bins


def _scores(sums: Any, mass: Any) -> tuple[Any, Any, Any]:
    """The three scores, before and after, of sums over items."""
    error = np.abs(sums[..., 2:]).sum(axis=-1)
    return sums[..., 0] / mass, sums[..., 1] / mass, error / mass


def _comparison(
    values: np.ndarray, drawn: np.ndarray, width: float
) -> Comparison:
    found: dict[str, Any] = {}
    for name, value, replicates in (
        ("before", values[0], drawn[0]),
        ("after", values[1], drawn[1]),
        ("gain", values[0] - values[1], drawn[0] - drawn[1]),
    ):
        half = width * replicates.std()
        found[name] = float(value)
        found[f"{name}_interval"] = float(value - half), float(value + half)
    return Comparison(**found)
