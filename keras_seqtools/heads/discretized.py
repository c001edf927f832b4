"""A head for integers in a known range, of which many are likely."""

from numbers import Integral
from typing import Any

import keras
from keras import ops

from keras_seqtools._validation import invalid
from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads.mixtures import MixtureHead


@keras.saving.register_keras_serializable(package="keras_seqtools")
class DiscretizedLogisticMixtureHead(MixtureHead):
    """A mixture of logistic distributions, rounded to integers and bounded.

    For integers in a known range, such as the levels of a quantised signal or
    the stars of a rating. The first and the last of them hold all that lies
    beyond. Emits for every target `logits`, `loc` and `scale`, each with one
    number for each of the components.

    Mean and variance add up all integers of the range: a range of millions is
    better modelled as continuous.

    Args:
        low: Integer. The lowest target.
        high: Integer. The highest target.
        units: Positive integer. Number of targets, each with a mixture of its
            own. Defaults to `1`.
        components: Positive integer. Number of components. Defaults to `5`.
        **kwargs: Further arguments of `DistributionHead`: `offset`,
            `min_scale`, initializers and regularizers, and those of
            `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units * components * 3)`: `logits`, `loc`, then `scale`.

    Example:

    >>> head = kst.heads.DiscretizedLogisticMixtureHead(0, 15, components=2)
    >>> y_pred = np.log([[0.8, 0.2]]), [[4.0, 10.0]], [[0.25, 0.5]]
    >>> y_pred = np.concatenate(y_pred, axis=-1).astype("float32")
    >>> float(head.mode(y_pred)[0, 0])
    4.0

    Reference:

    - [Salimans et al., 2017](https://arxiv.org/abs/1701.05517)
    """

    discrete = True

    def __init__(
        self,
        low: int,
        high: int,
        units: int = 1,
        components: int = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, components, **kwargs)
        if not all(isinstance(end, Integral) for end in (low, high)) or (
            low >= high
        ):
            raise invalid("low and high", "integers, low < high", (low, high))
        self.low, self.high = int(low), int(high)
        self.support = (float(low), float(high))

    def make_distribution(self, logits: Any, loc: Any, scale: Any) -> Any:
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=logits),
            # TFP rounds up; to the nearest is up from half a unit below.
            tfd.QuantizedDistribution(
                tfd.Logistic(loc - 0.5, scale), *self.support
            ),
        )

    def mean(self, y_pred: Any) -> Any:
        integers, probs = self._probabilities(y_pred)
        return ops.sum(probs * integers, axis=0)

    def variance(self, y_pred: Any) -> Any:
        integers, probs = self._probabilities(y_pred)
        mean = ops.sum(probs * integers, axis=0)
        return ops.sum(probs * ops.square(integers - mean), axis=0)

    def mode(self, y_pred: Any) -> Any:
        _, probs = self._probabilities(y_pred)
        mode = self.low + ops.argmax(probs, axis=0)
        return ops.cast(mode, probs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high}

    def _log_prob(self, y: Any, logits: Any, loc: Any, scale: Any) -> Any:
        y = ops.expand_dims(y, -1)
        upper, lower = (y + 0.5 - loc) / scale, (y - 0.5 - loc) / scale
        # log(sigmoid(upper) - sigmoid(lower)), without the difference.
        between = (
            ops.log_sigmoid(upper)
            + ops.log_sigmoid(-lower)
            + ops.log(-ops.expm1(-1.0 / scale))
        )
        component = ops.where(
            y <= self.low,
            ops.log_sigmoid(upper),
            ops.where(y >= self.high, ops.log_sigmoid(-lower), between),
        )
        return ops.logsumexp(ops.log_softmax(logits) + component, axis=-1)

    def _probabilities(self, y_pred: Any) -> tuple[Any, Any]:
        """All targets there can be, `(n, 1, ...)`, and their probabilities."""
        parameters = self.split(y_pred)
        dtype, rank = parameters["loc"].dtype, len(parameters["loc"].shape)
        integers = ops.reshape(
            ops.arange(self.low, self.high + 1, dtype=dtype),
            (-1, *(1,) * (rank - 1)),
        )
        return integers, ops.exp(self._log_prob(integers, **parameters))
