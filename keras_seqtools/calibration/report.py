"""What a recalibration did to the scores of the data it was fitted to."""

import dataclasses
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from keras_seqtools.calibration._fit_items import Items

_NUM_BINS = 15
# Standard errors to either side, for 95 %.
_WIDTH = NormalDist().inv_cdf(0.975)
_REPLICATES = 500
# Rows are drawn again one by one, or if there are more in this many groups.
_MAX_GROUPS = 1000


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A proper score before and after, with an interval of 95 % around each.

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


@dataclasses.dataclass(frozen=True)
class CalibrationErrors:
    """The expected calibration error before and after, and what it can be.

    It has no interval: never below 0, it is too large by chance wherever it
    is small, and an interval around it would exclude a calibrated model.

    Attributes:
        before: The error of what was given.
        after: The error of what was made of it.
        chance_before: What it would be on average, with as many items, if all
            that was given were calibrated.
        chance_after: The same of what was made of it.
    """

    before: float
    after: float
    chance_before: float
    chance_after: float


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
        ece: `CalibrationErrors`, expected ones, by 15 bins, of the top label
            or the one probability.

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
    ece: CalibrationErrors

    def __repr__(self) -> str:
        lines = [
            f"RecalibrationReport: n={self.n}, on the data of the fit, "
            "95 % intervals",
            f"{'':6}{'before':26}{'after':26}gain",
        ]
        for name in ("nll", "brier"):
            score = getattr(self, name)
            cells = (
                (score.before, *score.before_interval),
                (score.after, *score.after_interval),
                (score.gain, *score.gain_interval),
            )
            row = (f"{x:.4f} [{a:.4f}, {b:.4f}]" for x, a, b in cells)
            lines.append(f"{name:6}" + "".join(f"{cell:26}" for cell in row))
        ece = self.ece
        before = f"{ece.before:.4f} (chance {ece.chance_before:.4f})"
        after = f"{ece.after:.4f} (chance {ece.chance_after:.4f})"
        lines.append(f"{'ece':6}{before:26}{after}")
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
    variance = np.zeros((2, _NUM_BINS))
    for at, scores in items.chunks():
        given = items.logits(scores), items.probabilities(scores)
        weight = items.weight[at]
        for total, spread, form in zip(
            sums, variance, (given, calibrate(scores)), strict=True
        ):
            *terms, top, bins = _terms(*form, items.labels[at])
            places = (np.zeros_like(bins), np.ones_like(bins), bins + 2)
            for column, term in zip(places, terms, strict=True):
                place = group[at] * columns + column
                np.add.at(total.reshape(-1), place, weight * term)
            np.add.at(spread, bins, weight**2 * top * (1.0 - top))
    mass = np.bincount(group, items.weight)
    draws = rng.multinomial(size, np.full(size, 1.0 / size), _REPLICATES)
    # One group says nothing of how groups differ.
    width = _WIDTH if size > 1 else math.nan
    found, drawn = sums.sum(axis=1), draws @ sums
    nll, brier = (
        _comparison(
            found[:, i] / mass.sum(), drawn[..., i] / (draws @ mass), width
        )
        for i in range(2)
    )
    # A normal gap of that variance is so large on average.
    chance = np.sqrt(2.0 / math.pi * variance).sum(axis=-1)
    errors = np.abs(found[:, 2:]).sum(axis=-1)
    ece = map(float, np.concatenate([errors, chance]) / mass.sum())
    return RecalibrationReport(
        len(items.places), nll, brier, CalibrationErrors(*ece)
    )


def _terms(
    logits: np.ndarray, p: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Of each item: likelihood, Brier score, gap, stated probability, bin."""
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
    top = top.astype("float64")
    return nll, brier, top - hit, np.clip(top, 0.0, 1.0), bins


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
