"""Heads for counts with more zeros than a law of counts explains."""

from typing import Any

import keras
from keras import ops

from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads._count_head import CountHead
from keras_seqtools.heads._count_head import split_seed
from keras_seqtools.heads.counts import NegativeBinomialHead
from keras_seqtools.heads.counts import PoissonHead


class _ZeroInflated(CountHead):
    """Always 0 with one probability, else what the next class says."""

    def make_distribution(self, zero_logit: Any, **parameters: Any) -> Any:
        # By probability: TFP 0.25 doubles a logit of inflation.
        return tfd.Inflated(
            super().make_distribution(**parameters),
            inflated_loc_probs=ops.sigmoid(zero_logit),
        )

    def mean(self, y_pred: Any) -> Any:
        some = ops.sigmoid(-self.split(y_pred)["zero_logit"])
        return some * super().mean(y_pred)

    def variance(self, y_pred: Any) -> Any:
        zero_logit = self.split(y_pred)["zero_logit"]
        between = ops.sigmoid(zero_logit) * ops.square(super().mean(y_pred))
        return ops.sigmoid(-zero_logit) * (super().variance(y_pred) + between)

    def mode(self, y_pred: Any) -> Any:
        parameters = self.split(y_pred)
        base = {**parameters}
        del base["zero_logit"]
        mode = super().make_distribution(**base).mode()
        zero = ops.zeros_like(mode)
        is_zero = self._log_prob(zero, **parameters) >= self._log_prob(
            mode, **parameters
        )
        return ops.where(is_zero, zero, mode)

    def _lowest_bias(self, name: str) -> float:
        # Counts that need no inflation by themselves may, once there are
        # regressors; from a logit too low that would take long to find.
        return -4.0 if name == "zero_logit" else super()._lowest_bias(name)

    def _log_prob(self, y: Any, zero_logit: Any, **parameters: Any) -> Any:
        count = ops.log_sigmoid(-zero_logit) + super()._log_prob(
            y, **parameters
        )
        zero = ops.logaddexp(ops.log_sigmoid(zero_logit), count)
        return ops.where(y == 0.0, zero, count)

    def _sample(
        self, n: Any, seed: Any, zero_logit: Any, **parameters: Any
    ) -> Any:
        of_zero, of_count = split_seed(seed)
        counts = super()._sample(n, of_count, **parameters)
        is_zero = tfd.Bernoulli(logits=zero_logit).sample(n, of_zero) == 1
        return ops.where(is_zero, 0.0, counts)

    def _tail(
        self, y: Any, above: bool, zero_logit: Any, **parameters: Any
    ) -> Any:
        p = ops.sigmoid(-zero_logit) * super()._tail(y, above, **parameters)
        return p if above else ops.sigmoid(zero_logit) + p


@keras.saving.register_keras_serializable(package="keras_seqtools")
class ZeroInflatedPoissonHead(_ZeroInflated, PoissonHead):  # type: ignore[misc]
    """A Poisson distribution with more zeros.

    Emits `zero_logit`, the logit of the probability of a zero that is certain
    from the start, and `log_rate`, the logarithm of the rate of the others,
    among whom are zeros too. The mean is `exp(log_rate)` times the probability
    of being one of those.

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
        `(..., units * 2)`: `zero_logit`, then `log_rate`.

    Example:

    >>> head = kst.heads.ZeroInflatedPoissonHead()
    >>> y_pred = np.array([[0.0, np.log(3.0)]], "float32")
    >>> round(float(head.prob_below(y_pred, 1)[0, 0]), 4)  # (1 + exp(-3)) / 2
    0.5249

    Reference:

    - [Lambert, 1992](https://doi.org/10.2307/1269547)
    """

    parameters = {"zero_logit": links.logit, **PoissonHead.parameters}


@keras.saving.register_keras_serializable(package="keras_seqtools")
class ZeroInflatedNegativeBinomialHead(_ZeroInflated, NegativeBinomialHead):  # type: ignore[misc]
    """A negative binomial distribution with more zeros.

    Emits `zero_logit`, the logit of the probability of a zero that is certain
    from the start, and of the others `log_mean` and `dispersion` as
    `NegativeBinomialHead` does. Large dispersion makes zeros too: the two are
    told apart only by many data.

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
        `(..., units * 3)`: `zero_logit`, `log_mean`, then `dispersion`.

    Example:

    >>> head = kst.heads.ZeroInflatedNegativeBinomialHead()
    >>> y_pred = np.array([[0.0, np.log(3.0), 0.5]], "float32")
    >>> round(float(head.mean(y_pred)[0, 0]), 4)
    1.5

    Reference:

    - [Greene, 1994](https://ssrn.com/abstract=1293115)
    """

    parameters = {
        "zero_logit": links.logit,
        **NegativeBinomialHead.parameters,
    }
