"""The quantile that conformal prediction rests on, and of what it is."""

import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid

_GROUPS = (None, "sequence", "horizon")


def conformal_quantile(ordered: Any, level: float) -> float:
    """The score that the next one exceeds with probability `1 - level` at most.

    It is the `ceil((n + 1) * level)`-th of `n` scores in their order: infinite
    if there is no such, minus infinity at a level of 0 or less.
    """
    # Of the level as it is written: in floats 10 * (1 - 0.7) exceeds 3.
    exact = Fraction(level).limit_denominator(10**9)
    rank = math.ceil((len(ordered) + 1) * exact)
    if rank > len(ordered):
        return math.inf
    return float(ordered[rank - 1]) if rank > 0 else -math.inf


class Conformal:
    """A level, the quantile of the scores there, and what a score stands for.

    The guarantee is for things that are exchangeable. Rows may be; the steps
    of one row are not, so that more than one value a row needs a `group`.
    """

    def __init__(self, level: float, group: str | None) -> None:
        (self.level,) = check_fractions("level", level)
        if group not in _GROUPS:
            raise invalid("group", f"one of {_GROUPS}", group)
        self.group = group
        self._item: tuple[int, ...] | None = None

    def _quantile(
        self, scores: np.ndarray, keeps: np.ndarray, level: float
    ) -> Any:
        """One number, or for `"horizon"` one for each place in a row.

        Args:
            scores: Array of one axis, the scores that count.
            keeps: Boolean array, rows first: where they belong.
            level: Float, the level of the quantile.
        """
        item = keeps.shape[1:]
        self._check_group(item)
        self._item = item
        size = (len(keeps), math.prod(item))
        table = np.full(keeps.shape, -np.inf)
        table[keeps] = scores
        table, keeps = table.reshape(size), keeps.reshape(size)
        if self.group == "sequence":
            table = table.max(axis=1, initial=-np.inf)[:, None]
            keeps = keeps.any(axis=1).reshape(-1, 1)
        quantile = np.array(
            [
                conformal_quantile(np.sort(column[kept]), level)
                for column, kept in zip(table.T, keeps.T, strict=True)
            ]
        ).reshape(item if self.group == "horizon" else ())
        if np.isinf(quantile).any():
            count = int(keeps.sum(axis=0).min())
            warnings.warn(
                f"`{type(self).__name__}` has too few scores, so that what it "
                "predicts is everything: infinite intervals, sets of all "
                f"classes. Of {count} scores the highest level is "
                f"{count / (count + 1):.4g}. Received: {level:.4g}",
                stacklevel=3,
            )
        return quantile[()]

    def _check_group(self, item: tuple[int, ...]) -> None:
        if self.group is None and math.prod(item) != 1:
            raise ValueError(
                f"Rows of shape {item} hold several values, which are not "
                "exchangeable. Expected one value a row, or "
                '`group="sequence"`, to cover all of a row at once, or '
                '`group="horizon"`, to cover each place in it. Received: '
                "group=None"
            )

    def _check_fitted_to(self, shape: tuple[int, ...]) -> None:
        """What is predicted must have rows like those that were fitted."""
        if self._item is None:
            raise ValueError(
                f"This `{type(self).__name__}` is not fitted: call `fit`."
            )
        item = shape[1:]
        self._check_group(item)
        if self.group == "horizon" and item != self._item:
            raise ValueError(
                f"Expected rows of the shape fitted, {self._item}. "
                f"Received: rows of shape {item}"
            )
