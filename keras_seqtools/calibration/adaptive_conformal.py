"""Conformal intervals for a series, step by step, whatever it does."""

import bisect
import math
from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.calibration._conformal import conformal_quantile
from keras_seqtools.calibration._inputs import interval_ends


class AdaptiveConformal:
    """Intervals for one series whose long-run coverage is `level`.

    The values of a series are not exchangeable: it drifts, and what covered
    last year does not cover now. This follows it. Each step asks for the
    conformal quantile of the errors so far, as in
    `ConformalizedQuantileRegression`, at a level of its own: higher after a
    miss, lower after a hit. For any series, adversarial ones too, the share
    of the first `T` values that are covered differs from `level` by at most
    `(max(level, 1 - level) + step_size) / (step_size * T)`.

    The first intervals are infinite, for want of errors. Later ones are, for
    a step, where the level that is asked for passes 1, and where it passes 0
    they are empty, `(inf, -inf)`: that is what the promise takes.

    At each step call `predict_interval`, and when the value is known `update`
    with the same ends. A point prediction is an interval whose ends are
    equal. A value that never comes is left out.

    Args:
        level: Float in (0, 1), the share to cover. Defaults to `0.9`.
        step_size: Positive float, how fast the level moves: large ones follow
            a drift at once, and ask for infinite intervals more often.
            Defaults to `0.005`.

    Attributes:
        level_: The level that is asked for at present; it may leave [0, 1].

    Example:

    >>> conformal = kst.calibration.AdaptiveConformal(level=0.5, step_size=0.1)
    >>> for y, y_pred in zip([1.0, 3.0, 2.0], [1.5, 2.0, 2.0]):
    ...     covered = conformal.update(y, y_pred, y_pred)
    >>> conformal.level_
    0.45
    >>> conformal.predict_interval(4.0, 4.0)
    (3.5, 4.5)

    Reference:

    - [Gibbs & Candès, 2021](https://arxiv.org/abs/2106.00170)
    """

    def __init__(self, level: float = 0.9, step_size: float = 0.005) -> None:
        (self.level,) = check_fractions("level", level)
        if not 0.0 < step_size < math.inf:
            raise invalid("step_size", "a positive number", step_size)
        self.step_size = float(step_size)
        self.level_ = self.level
        self._scores: list[float] = []

    def predict_interval(
        self, lower: Any, upper: Any = None
    ) -> tuple[float, float]:
        """The interval of the next value.

        Args:
            lower: The lower end that the model predicts, one number; or a
                result of `predict_uncertainty(..., levels=(level,))` with one
                value.
            upper: The upper end. Defaults to `None`: that of the result.

        Returns:
            Two floats.
        """
        low, high = self._ends(lower, upper)
        shift = conformal_quantile(self._scores, self.level_)
        return low - shift, high + shift

    def update(self, y_true: Any, lower: Any, upper: Any = None) -> bool:
        """Learns from the value that came.

        Args:
            y_true: The value, one number.
            lower: The lower end that the model predicted, or a result: the
                same as in `predict_interval`.
            upper: The upper end. Defaults to `None`: that of the result.

        Returns:
            Whether the interval of `predict_interval` covered it.
        """
        y, (low, high) = _number("y_true", y_true), self._ends(lower, upper)
        score = max(low - y, y - high)
        covered = score <= conformal_quantile(self._scores, self.level_)
        self.level_ += self.step_size * (self.level - covered)
        bisect.insort(self._scores, score)
        return covered

    def _ends(self, lower: Any, upper: Any) -> tuple[float, float]:
        lower, upper, _ = interval_ends(lower, upper, self.level)
        return _number("lower", lower), _number("upper", upper)


def _number(name: str, value: Any) -> float:
    number = np.asarray(value, "float64")
    if number.size != 1 or not np.isfinite(number).all():
        raise invalid(name, "one finite number", value)
    return number.item()
