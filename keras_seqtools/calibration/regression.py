"""Recalibration of regression: of standard deviations, and of quantiles."""

import math
from typing import Any
from typing import Self

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.calibration._inputs import check_positive
from keras_seqtools.calibration._inputs import counted
from keras_seqtools.calibration._inputs import mean_and_std
from keras_seqtools.metrics._results import is_regression
from keras_seqtools.metrics._weights import mask_and_weight

# A quantile nearer to 0 or 1 is infinite in float32.
_EDGE = float(np.finfo("float32").eps)


class StdScaling:
    """Multiplies standard deviations by the one factor that fits best.

    The factor is `sqrt(mean(z**2))` of the errors in standard deviations,
    `z = (y - mean) / std`, which is what maximises the likelihood of a normal
    distribution. Above 1 the model was too sure. It corrects the size of the
    spread, not its shape nor where it is large.

    Attributes:
        scale_: The factor.
        report: What it did to the rows of `fit`: `n`, how many values counted,
            and `nll_before` and `nll_after`, the mean negative log-likelihood
            of a normal distribution, in nats.

    Example:

    >>> scaling = kst.calibration.StdScaling()
    >>> scaling = scaling.fit([1.0, 5.0], mean=[0.0, 0.0], std=[0.5, 2.5])
    >>> scaling.scale_
    2.0
    >>> scaling.transform([0.5, 1.0])
    array([1., 2.])

    Reference:

    - [Laves et al., 2020](https://proceedings.mlr.press/v121/laves20a.html)
    - [Levi et al., 2022](https://arxiv.org/abs/1905.11659)
    """

    def fit(
        self,
        y_true: Any,
        mean: Any,
        std: Any = None,
        *,
        mask: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Finds the factor.

        Nothing is broadcast.

        Args:
            y_true: Array of the values that came, rows first.
            mean: Array of the same shape; or a result of
                `predict_uncertainty`, of which `mean` and `std` are taken.
            std: Array of the same shape. Defaults to `None`: that of the
                result.
            mask: Boolean array, of the shape of `y_true` or its first axes.
                What it, or the mask of the result, leaves out may hold
                anything. Defaults to `None`.
            sample_weight: Array of weights, aligned like `mask`. What weighs
                nothing may hold anything. Defaults to `None`.

        Returns:
            The object itself.

        Raises:
            ValueError: If a shape does not fit, what counts holds a number
                that is not finite or a `std` that is not positive, nothing
                counts, or there is no error at all.
        """
        mean, std, known = mean_and_std(mean, std)
        if std is None:
            raise invalid("std", "an array, unless `mean` is a result", std)
        keeps, weight = mask_and_weight(mask, sample_weight, np.shape(mean))
        keeps, (y, mean, std) = counted(
            keeps & (weight != 0.0), known, y_true=y_true, mean=mean, std=std
        )
        check_positive("std", std)
        weight = weight[keeps]
        z = (y - mean) / std
        if not z.any():
            raise ValueError(
                "No factor fits: expected errors to scale by. Received: "
                f"{z.size} values that count, all of them predicted exactly"
            )
        square = float(np.average(z**2, weights=weight))
        self.scale_ = math.sqrt(square)
        rest = np.average(np.log(std), weights=weight) + math.log(2 * np.pi) / 2
        self.report = {
            "n": z.size,
            "nll_before": float(rest + square / 2),
            "nll_after": float(rest + math.log(self.scale_) + 1 / 2),
        }
        return self

    def transform(self, std: Any) -> np.ndarray:
        """The standard deviations, scaled.

        Args:
            std: Array, or a result, of which `std` is taken.

        Returns:
            Float64 array of the same shape.
        """
        if not hasattr(self, "scale_"):
            raise ValueError("This `StdScaling` is not fitted: call `fit`.")
        if is_regression(std):
            std = std.std
        return self.scale_ * np.asarray(std, "float64")


class QuantileRecalibration:
    """Which quantile to ask for, to get the one that is wanted.

    If 20 % of the values fall below the quantile 0.1 of a model, then 0.1 is
    what to ask for to get the quantile 0.2. The map is read off the PIT
    values, the cdf of each value under its prediction: their distribution
    function turned around, straight between them. It corrects the shape of
    the predictions as well as their spread, on average over the rows, and
    takes hundreds of rows, where `StdScaling` takes tens.

    An isotonic regression of that distribution function, as in the paper, is
    the function itself: it never falls. Equal PIT values are one point of it,
    in the middle of their jump. Those of counts come equal in masses:
    randomise them.

    Example:

    >>> pit = [0.3, 0.4, 0.5, 0.6, 0.7]  # too near the middle: too wide
    >>> recalibration = kst.calibration.QuantileRecalibration().fit(pit)
    >>> recalibration.transform([0.1, 0.5, 0.9]).round(3)
    array([0.3, 0.5, 0.7])

    Reference:

    - [Kuleshov et al., 2018](https://arxiv.org/abs/1807.00263)
    """

    def fit(
        self, pit: Any, *, mask: Any = None, sample_weight: Any = None
    ) -> Self:
        """Takes the distribution function of the PIT values.

        Args:
            pit: Array of the cdf of each value under its prediction, rows
                first.
            mask: Boolean array, of the shape of `pit` or its first axes. What
                it leaves out may hold anything. Defaults to `None`.
            sample_weight: Array of weights, aligned like `mask`. What weighs
                nothing may hold anything. Defaults to `None`.

        Returns:
            The object itself.

        Raises:
            ValueError: If a shape does not fit, nothing counts, or what counts
                is NaN or outside of [0, 1].
        """
        pit = np.asarray(pit)
        keeps, weight = mask_and_weight(mask, sample_weight, pit.shape)
        keeps, (values,) = counted(keeps & (weight != 0.0), pit=pit)
        if not values.size or values.min() < 0.0 or values.max() > 1.0:
            raise invalid("pit", "one value in [0, 1] at least", values)
        places, index = np.unique(values, return_inverse=True)
        mass = np.bincount(index, weight[keeps])
        inside = (np.cumsum(mass) - mass / 2) / mass.sum()
        self._reached = np.concatenate([[0.0], inside, [1.0]])
        self._asked = np.concatenate([[0.0], places, [1.0]])
        return self

    def transform(self, levels: Any) -> np.ndarray:
        """The levels to ask the model for.

        Args:
            levels: Array of the levels that are wanted, in (0, 1).

        Returns:
            Float64 array of the same shape, in (0, 1), which never falls where
            `levels` rises: `predict_uncertainty(..., quantiles=...)` takes
            it.
        """
        if not hasattr(self, "_asked"):
            raise ValueError(
                "This `QuantileRecalibration` is not fitted: call `fit`."
            )
        wanted = np.reshape(check_fractions("levels", levels), np.shape(levels))
        asked = np.interp(wanted, self._reached, self._asked)
        return np.clip(asked, _EDGE, 1.0 - _EDGE)
