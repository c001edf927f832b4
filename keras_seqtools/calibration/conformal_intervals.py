"""Intervals that cover with a stated probability, whatever the model."""

from typing import Any
from typing import Self

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.calibration._conformal import Conformal
from keras_seqtools.calibration._inputs import check_positive
from keras_seqtools.calibration._inputs import counted
from keras_seqtools.calibration._inputs import interval_ends
from keras_seqtools.calibration._inputs import mean_and_std
from keras_seqtools.metrics._weights import joint_mask


class SplitConformal(Conformal):
    """Intervals around point predictions that cover with probability `level`.

    Fitted to rows that the model was not trained on, it covers a new row with
    probability `level` at least, and at most `1 / (n + 1)` more if no two
    errors are equal: for any model and any distribution, if the rows are
    exchangeable. That is an average over rows, not a promise for each kind of
    them.

    Without standard deviations all intervals are equally wide. With them the
    width follows, `mean ± quantile * std`, so that only their proportions
    matter. A result of `predict_uncertainty` brings its `mean` and its `std`,
    aleatoric and epistemic.

    With too few rows for the level, `n < level / (1 - level)`, the interval is
    infinite, and `fit` warns.

    The steps of one sequence are not exchangeable. Targets of more than one
    value a row, such as `(batch, time)`, therefore need a `group`.

    Args:
        level: Float in (0, 1), the probability of covering. Defaults to `0.9`.
        group: `None` for one value a row; `"sequence"`, where the score of a
            row is its largest, so that a band covers whole rows, all their
            steps at once; or `"horizon"`, where every place in a row has
            intervals of its own, each of which covers. Defaults to `None`.

    Attributes:
        quantile_: The quantile of the errors, or of the errors in standard
            deviations; of the shape of a row for `"horizon"`.

    Example:

    >>> conformal = kst.calibration.SplitConformal(level=0.75)
    >>> conformal = conformal.fit([1.0, 2.0, 3.0], [1.5, 2.0, 2.0])
    >>> lower, upper = conformal.predict_interval([5.0, 6.0])
    >>> lower.tolist(), upper.tolist()
    ([4.0, 5.0], [6.0, 7.0])

    Reference:

    - [Lei et al., 2018](https://arxiv.org/abs/1604.04173)
    - [Stankevičiūtė et al., 2021](
      https://proceedings.neurips.cc/paper/2021/hash/312f1ba2a72318edaaa995a67835fad5-Abstract.html),
      horizons
    """

    def __init__(self, level: float = 0.9, group: str | None = None) -> None:
        super().__init__(level, group)

    def fit(
        self, y_true: Any, y_pred: Any, std: Any = None, *, mask: Any = None
    ) -> Self:
        """Takes the quantile of the errors.

        Nothing is broadcast.

        Args:
            y_true: Array of the values that came, rows first.
            y_pred: Array of the same shape, point predictions; or a result of
                `predict_uncertainty`.
            std: Array of the same shape, standard deviations. Defaults to
                `None`: those of the result, or none.
            mask: Boolean array, of the shape of `y_true` or its first axes.
                What it, or the mask of the result, leaves out may hold
                anything. Defaults to `None`.

        Returns:
            The object itself.

        Raises:
            ValueError: If a shape does not fit, or what counts holds a number
                that is not finite or a `std` that is not positive.
        """
        y_pred, std, known = mean_and_std(y_pred, std)
        if std is None:
            keeps, (y, mean) = counted(
                mask, known, y_true=y_true, y_pred=y_pred
            )
            scores = np.abs(y - mean)
        else:
            keeps, (y, mean, std) = counted(
                mask, known, y_true=y_true, y_pred=y_pred, std=std
            )
            check_positive("std", std)
            scores = np.abs(y - mean) / std
        self.quantile_ = self._quantile(scores, keeps, self.level)
        self._is_scaled = std is not None
        return self

    def predict_interval(
        self, y_pred: Any, std: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the intervals.

        Args:
            y_pred: Array of point predictions, or a result.
            std: Array of the same shape, if `fit` was given standard
                deviations, else `None`. Defaults to `None`.

        Returns:
            Two float64 arrays of the shape of `y_pred`. What is NaN stays so.
        """
        y_pred, std, known = mean_and_std(y_pred, std)
        mean = np.asarray(y_pred, "float64")
        self._check_fitted_to(mean.shape)
        if self._is_scaled != (std is not None):
            expected = "standard deviations" if self._is_scaled else "`None`"
            raise invalid("std", f"{expected}, as in `fit`", std)
        if std is None:
            half = np.broadcast_to(self.quantile_, mean.shape)
        else:
            std = np.asarray(std, "float64")
            if std.shape != mean.shape:
                raise invalid("std", f"the shape {mean.shape}", std.shape)
            keeps = joint_mask(mean.shape, known) & ~np.isnan(std)
            check_positive("std", std[keeps])
            with np.errstate(invalid="ignore"):  # inf * 0, under the mask
                half = self.quantile_ * std
        return mean - half, mean + half


class ConformalizedQuantileRegression(Conformal):
    """Predicted intervals, moved out or in until they cover (CQR).

    The score of a row is how far its value lies outside of the interval,
    negative if inside; its quantile is added at both ends. The intervals keep
    the shape that the model gave them: wide where it is unsure, skewed where
    it is skewed. They cover as those of `SplitConformal` do, with the same
    warning and the same `group`.

    Intervals that were too wide become narrower, and one that is narrower
    than what is taken off comes out with its ends crossed: it is empty.

    Args:
        level: Float in (0, 1), the probability of covering. Defaults to `0.9`.
        symmetric: Boolean, whether both ends move by the same. Otherwise each
            end has a quantile of its own, and a value falls below the lower
            one with probability `(1 - level) / 2` at most, and above the
            upper one likewise; that takes twice as many rows. Defaults to
            `True`.
        group: `None`, `"sequence"` or `"horizon"`, as in `SplitConformal`.
            Defaults to `None`.

    Attributes:
        lower_shift_: What is taken from the lower end; of the shape of a row
            for `"horizon"`.
        upper_shift_: What is added to the upper end.

    Example:

    >>> conformal = kst.calibration.ConformalizedQuantileRegression(level=0.75)
    >>> conformal = conformal.fit(
    ...     [1.0, 2.0, 3.0], lower=[0.0, 0.0, 0.0], upper=[2.0, 2.0, 2.0]
    ... )
    >>> lower, upper = conformal.predict_interval([4.0], [5.0])
    >>> lower.tolist(), upper.tolist()
    ([3.0], [6.0])

    Reference:

    - [Romano et al., 2019](https://arxiv.org/abs/1905.03222)
    """

    def __init__(
        self,
        level: float = 0.9,
        symmetric: bool = True,
        group: str | None = None,
    ) -> None:
        super().__init__(level, group)
        self.symmetric = symmetric

    def fit(
        self, y_true: Any, lower: Any, upper: Any = None, *, mask: Any = None
    ) -> Self:
        """Takes the quantile of how far values lie outside.

        Nothing is broadcast.

        Args:
            y_true: Array of the values that came, rows first.
            lower: Array of the same shape, the lower ends; or a result of
                `predict_uncertainty(..., levels=(level,))`.
            upper: Array of the same shape, the upper ends. Defaults to
                `None`: those of the result.
            mask: Boolean array, of the shape of `y_true` or its first axes.
                What it, or the mask of the result, leaves out may hold
                anything. Defaults to `None`.

        Returns:
            The object itself.

        Raises:
            ValueError: If a shape does not fit, or what counts holds a number
                that is not finite.
        """
        lower, upper, known = interval_ends(lower, upper, self.level)
        keeps, (y, low, high) = counted(
            mask, known, y_true=y_true, lower=lower, upper=upper
        )
        if self.symmetric:
            scores = np.maximum(low - y, y - high)
            shift = self._quantile(scores, keeps, self.level)
            self.lower_shift_ = self.upper_shift_ = shift
        else:
            level = (1.0 + self.level) / 2.0
            self.lower_shift_ = self._quantile(low - y, keeps, level)
            self.upper_shift_ = self._quantile(y - high, keeps, level)
        return self

    def predict_interval(
        self, lower: Any, upper: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the intervals.

        Args:
            lower: Array of the lower ends, or a result.
            upper: Array of the same shape, the upper ends. Defaults to
                `None`: those of the result.

        Returns:
            Two float64 arrays of the shape of `lower`. What is NaN stays so.
        """
        lower, upper, _ = interval_ends(lower, upper, self.level)
        low, high = np.asarray(lower, "float64"), np.asarray(upper, "float64")
        if low.shape != high.shape:
            raise invalid("upper", f"the shape {low.shape}", high.shape)
        self._check_fitted_to(low.shape)
        return low - self.lower_shift_, high + self.upper_shift_
