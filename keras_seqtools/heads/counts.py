"""Heads for counts: how often, not how much."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools.heads import _precise
from keras_seqtools.heads import _special
from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads._count_head import CountHead
from keras_seqtools.heads._count_head import split_seed


@keras.saving.register_keras_serializable(package="keras_seqtools")
class PoissonHead(CountHead):
    """A Poisson distribution of counts, whose rate follows the input.

    Emits `log_rate`, the logarithm of the expected count, which keeps its
    digits where a rate would underflow; `mean` gives the rate. Targets are
    the integers 0, 1, 2, ...; `validate` refuses others, and their likelihood
    is NaN. Counts whose variance exceeds their mean, as most do, are better
    served by `NegativeBinomialHead`.

    Float32 holds counts up to 16,777,216 exactly. There the likelihood itself
    is right to five digits, but `log_rate` cannot say a rate more exactly than
    to a millionth: give huge counts an exposure.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        exposure: Boolean. Whether a second input, raw and above 0, multiplies
            the rate: the time or the population in which one has counted.
            Defaults to `False`.
        **kwargs: Further arguments of `DistributionHead`: initializers and
            regularizers, and those of `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `exposure` a list of that and `(..., units)`.

    Output shape:
        `(..., units)`: `log_rate`.

    Example:

    >>> head = kst.heads.PoissonHead()
    >>> y_pred = np.log(np.array([[3.0]], "float32"))
    >>> head.quantile(y_pred, (0.05, 0.5, 0.95)).numpy().ravel().tolist()
    [1.0, 3.0, 6.0]

    Reference:

    - [McCullagh & Nelder, 1989](https://doi.org/10.1201/9780203753736)
    """

    parameters = {"log_rate": links.log_rate}
    locations = ("log_rate",)

    def make_distribution(self, log_rate: Any) -> Any:
        return tfd.Poisson(log_rate=log_rate)

    def _sample(self, n: Any, seed: Any, log_rate: Any) -> Any:
        return tfd.Poisson(log_rate=log_rate).sample(n, seed=seed)

    def mean(self, y_pred: Any) -> Any:
        return ops.exp(self.split(y_pred)["log_rate"])

    def variance(self, y_pred: Any) -> Any:
        return ops.exp(self.split(y_pred)["log_rate"])

    def _log_prob(self, y: Any, log_rate: Any) -> Any:
        return _precise.poisson_log_prob(y, log_rate)

    def _tail(self, y: Any, above: bool, log_rate: Any) -> Any:
        return _special.poisson_cdf(y, ops.exp(log_rate), above)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class NegativeBinomialHead(CountHead):
    """A negative binomial distribution: counts that vary more than a Poisson's.

    Emits `log_mean`, the logarithm of the expected count, and `dispersion`:
    the variance is `mean + dispersion * mean**2`, so 0 would be a Poisson
    distribution; 1e-6 is the least. With `dispersion="constant"` this is the
    "NB2" model of regression on counts. Targets are the integers 0, 1, 2, ....

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        exposure: Boolean. Whether a second input, raw and above 0, multiplies
            the mean: the time or the population in which one has counted.
            Defaults to `False`.
        **kwargs: Further arguments of `DistributionHead`: `dispersion`,
            initializers and regularizers, and those of `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `exposure` a list of that and `(..., units)`.

    Output shape:
        `(..., units * 2)`: `log_mean`, then `dispersion`.

    Example:

    >>> head = kst.heads.NegativeBinomialHead()
    >>> y_pred = np.array([[np.log(3.0), 0.5]], "float32")
    >>> round(float(head.variance(y_pred)[0, 0]), 4)  # 3 + 0.5 * 3**2
    7.5

    Reference:

    - [Hilbe, 2011](https://doi.org/10.1017/CBO9780511973420)
    """

    parameters = {"log_mean": links.log_rate, "dispersion": links.dispersion}
    locations = ("log_mean",)
    dispersions = ("dispersion",)

    def make_distribution(self, log_mean: Any, dispersion: Any) -> Any:
        return tfd.NegativeBinomial.experimental_from_mean_dispersion(
            ops.exp(log_mean), dispersion
        )

    def mean(self, y_pred: Any) -> Any:  # TFP's loses digits
        return ops.exp(self.split(y_pred)["log_mean"])

    def variance(self, y_pred: Any) -> Any:
        parameters = self.split(y_pred)
        mean = ops.exp(parameters["log_mean"])
        return mean + parameters["dispersion"] * ops.square(mean)

    def _log_prob(self, y: Any, log_mean: Any, dispersion: Any) -> Any:
        return _precise.negative_binomial_log_prob(y, log_mean, dispersion)

    def _sample(self, n: Any, seed: Any, log_mean: Any, dispersion: Any) -> Any:
        # TFP's overflows above means of about 1e8, and may not end.
        of_rate, of_count = split_seed(seed)
        shape = 1.0 / dispersion
        rate = ops.exp(log_mean) * tfd.Gamma(shape, shape).sample(n, of_rate)
        is_known = ~ops.isnan(rate)
        counts = tfd.Poisson(ops.where(is_known, rate, 1.0)).sample(
            seed=of_count
        )
        return ops.where(is_known, counts, np.nan)

    def _tail(self, y: Any, above: bool, log_mean: Any, dispersion: Any) -> Any:
        p = _special.negative_binomial_cdf(y, ops.exp(log_mean), dispersion)
        return 1.0 - p if above else p
