"""Heads that mix several distributions into one of any shape."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._validation import check_positive_int
from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads._mode import argmax_density
from keras_seqtools.heads._precise import normal_log_prob
from keras_seqtools.heads.distribution_head import DistributionHead


class MixtureHead(DistributionHead):
    """Components of one family with a place and a width each."""

    parameters = {
        "logits": links.logit,
        "loc": links.identity,
        "scale": links.positive,
    }
    locations = ("loc",)
    scales = ("loc", "scale")

    def __init__(
        self, units: int = 1, components: int = 5, **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self.components = check_positive_int("components", components)

    @property
    def vector_sizes(self) -> dict[str, int]:
        return dict.fromkeys(self.parameters, self.components)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "components": self.components}

    def _starts(self) -> list[Any]:
        # Components that begin equal would stay equal.
        middles = np.linspace(-1.5, 1.5, self.components)
        starts = []
        for width in (0.5, 1.0 / self.components):
            raw = np.zeros((3, self.units, self.components), "float32")
            raw[1], raw[2] = middles, np.log(np.expm1(width))
            starts.append(raw.reshape(-1))
        return starts


@keras.saving.register_keras_serializable(package="keras_seqtools")
class NormalMixtureHead(MixtureHead):
    """A mixture of normal distributions: several peaks, skew, heavy tails.

    Emits for every target `logits`, `loc` and `scale`, each with one number
    for each of the components. Which component is which means nothing. One of
    them may settle on a value that many targets share exactly; `min_scale`
    bounds how narrow it gets.

    Args:
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

    >>> head = kst.heads.NormalMixtureHead(components=2)
    >>> y_pred = np.array([[0.0, 0.0, -3.0, 3.0, 1.0, 1.0]], "float32")
    >>> round(float(head.variance(y_pred)[0, 0]), 3)  # 1 + 3**2
    10.0

    Reference:

    - [Bishop, 1994](https://publications.aston.ac.uk/id/eprint/373/)
    """

    def make_distribution(self, logits: Any, loc: Any, scale: Any) -> Any:
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=logits), tfd.Normal(loc, scale)
        )

    def mode(self, y_pred: Any) -> Any:
        """Mode, `(..., units)`, found by a search."""
        y_pred = ops.convert_to_tensor(y_pred)
        parameters = self.split(ops.cast(y_pred, "float64"))
        loc, scale = parameters["loc"], parameters["scale"]
        places = [loc + step * scale for step in (-1.0, -0.5, 0.0, 0.5, 1.0)]
        mode = argmax_density(
            lambda y: self._log_prob(y, **parameters),
            ops.moveaxis(ops.concatenate(places, axis=-1), -1, 0),
        )
        return ops.cast(mode, y_pred.dtype)

    def _log_prob(self, y: Any, logits: Any, loc: Any, scale: Any) -> Any:
        component = normal_log_prob(ops.expand_dims(y, -1), loc, scale)
        return ops.logsumexp(ops.log_softmax(logits) + component, axis=-1)
