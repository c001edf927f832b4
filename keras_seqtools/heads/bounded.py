"""Heads for targets on a part of the real line."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools.heads import _precise
from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads.distribution_head import DistributionHead


@keras.saving.register_keras_serializable(package="keras_seqtools")
class LogNormalHead(DistributionHead):
    """A log-normal distribution: errors that multiply.

    Emits `loc` and `scale` of the logarithm of the target: the median is
    `exp(loc)`. The mean is `exp(loc + scale**2 / 2)`, which overflows where a
    scale is large; read quantiles there. Targets are positive.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        offset: Boolean. Whether a second input is added to `loc`, and so is a
            logarithm itself. Defaults to `False`.
        **kwargs: Further arguments of `DistributionHead`: `dispersion`,
            `min_scale` (of the logarithm), initializers and regularizers, and
            those of `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units * 2)`: `loc`, then `scale`.

    Example:

    >>> head = kst.heads.LogNormalHead()
    >>> y_pred = np.array([[np.log(20.0), 0.5]], "float32")
    >>> round(float(head.quantile(y_pred, 0.5)[0, 0, 0]), 3)
    20.0

    Reference:

    - [Limpert, Stahel & Abbt, 2001](https://doi.org/10.1641/0006-3568(2001)051[0341:LNDATS]2.0.CO;2)
    """

    parameters = {"loc": links.identity, "scale": links.positive}
    support = (0.0, np.inf)
    locations = ("loc",)
    scales = ("loc", "scale")
    dispersions = ("scale",)

    def make_distribution(self, loc: Any, scale: Any) -> Any:
        return tfd.LogNormal(loc, scale)

    def _log_prob(self, y: Any, loc: Any, scale: Any) -> Any:
        log_y = ops.log(y)
        return _precise.normal_log_prob(log_y, loc, scale) - log_y

    def _shift_and_scale(self, y: Any, offset: Any) -> tuple[Any, Any]:
        return super()._shift_and_scale(np.log(y), offset)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class GammaHead(DistributionHead):
    """A gamma distribution: waiting times, costs, amounts of rain.

    Emits `log_mean`, the logarithm of the mean, and `concentration`: the
    variance is `mean**2 / concentration`. With `dispersion="constant"` this is
    a gamma regression with a log link. Targets are positive.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        offset: Boolean. Whether a second input is added to `log_mean`, and so
            is a logarithm itself. Defaults to `False`.
        **kwargs: Further arguments of `DistributionHead`: `dispersion`,
            initializers and regularizers, and those of `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units * 2)`: `log_mean`, then `concentration`.

    Example:

    >>> head = kst.heads.GammaHead()
    >>> y_pred = np.array([[np.log(20.0), 4.0]], "float32")
    >>> round(float(head.stddev(y_pred)[0, 0]), 3)  # mean / sqrt(4)
    10.0

    Reference:

    - [McCullagh & Nelder, 1989](https://doi.org/10.1201/9780203753736)
    """

    parameters = {
        "log_mean": links.log_rate,
        "concentration": links.concentration,
    }
    support = (0.0, np.inf)
    locations = ("log_mean",)
    dispersions = ("concentration",)

    def make_distribution(self, log_mean: Any, concentration: Any) -> Any:
        return tfd.Gamma(
            concentration, log_rate=ops.log(concentration) - log_mean
        )

    def mode(self, y_pred: Any) -> Any:
        """Mode, `(..., units)`; 0 where the density rises up to there."""
        parameters = self.split(y_pred)
        shape = parameters["concentration"]
        return ops.exp(parameters["log_mean"]) * ops.relu(shape - 1.0) / shape

    def _log_prob(self, y: Any, log_mean: Any, concentration: Any) -> Any:
        return _precise.gamma_log_prob(y, log_mean, concentration)

    def _shift_and_scale(self, y: Any, offset: Any) -> tuple[Any, Any]:
        mean = (y / np.exp(offset)).mean(0)
        return np.log(mean), np.ones_like(mean)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class BetaHead(DistributionHead):
    """A beta distribution: shares, between 0 and 1 and neither of them.

    Emits `mean_logit`, the logit of the mean, and `precision`: the variance
    is `mean * (1 - mean) / (1 + precision)`. With `dispersion="constant"` this
    is beta regression. Targets of exactly 0 or 1 have no likelihood, and
    `validate` refuses them.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        **kwargs: Further arguments of `DistributionHead`: `dispersion`,
            initializers and regularizers, and those of `keras.layers.Layer`.

    Input shape:
        `(..., features)`.

    Output shape:
        `(..., units * 2)`: `mean_logit`, then `precision`.

    Example:

    >>> head = kst.heads.BetaHead()
    >>> y_pred = np.array([[0.0, 3.0]], "float32")
    >>> round(float(head.stddev(y_pred)[0, 0]), 3)
    0.25

    Reference:

    - [Ferrari & Cribari-Neto, 2004](https://doi.org/10.1080/0266476042000214501)
    """

    parameters = {"mean_logit": links.logit, "precision": links.concentration}
    support = (0.0, 1.0)
    dispersions = ("precision",)

    def make_distribution(self, mean_logit: Any, precision: Any) -> Any:
        return tfd.Beta(
            precision * ops.sigmoid(mean_logit),
            precision * ops.sigmoid(-mean_logit),
        )

    def mode(self, y_pred: Any) -> Any:
        """Mode, `(..., units)`; 0 or 1 where the density rises up to there."""
        beta = self.distribution(y_pred)
        ones, zeros = beta.concentration1, beta.concentration0
        inside = (ones > 1.0) & (zeros > 1.0)
        between = (ones - 1.0) / ops.where(inside, ones + zeros - 2.0, 1.0)
        return ops.where(inside, between, ops.where(ones > zeros, 1.0, 0.0))

    def _log_prob(self, y: Any, mean_logit: Any, precision: Any) -> Any:
        return _precise.beta_log_prob(y, mean_logit, precision)
