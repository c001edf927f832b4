"""A head for classes, so that classifiers and regressions read alike."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads.distribution_head import DistributionHead


@keras.saving.register_keras_serializable(package="keras_seqtools")
class CategoricalHead(DistributionHead):
    """One of several classes, without an order.

    Emits `logits`; their softmax are the probabilities. Targets are the
    indices 0, 1, ..., `num_classes - 1`. Classes have a likelihood and a mode,
    but neither mean nor variance, quantile nor cdf: those raise a
    `ValueError`. `predict_uncertainty` returns a `ClassificationUncertainty`.

    Args:
        num_classes: Integer of at least 2.
        **kwargs: Further arguments of `DistributionHead`: initializers and
            regularizers, and those of `keras.layers.Layer`.

    Input shape:
        `(..., features)`.

    Output shape:
        `(..., num_classes)`: `logits`.

    Example:

    >>> head = kst.heads.CategoricalHead(3)
    >>> y_pred = np.log(np.array([[0.2, 0.7, 0.1]], "float32"))
    >>> round(float(head.log_prob(np.array([1]), y_pred)[0, 0]), 4)  # log(.7)
    -0.3567
    """

    parameters = {"logits": links.identity}
    discrete = True

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        if kwargs.pop("units", 1) != 1:
            raise ValueError("`CategoricalHead` has one target, not several.")
        super().__init__(**kwargs)
        self.num_classes = check_positive_int("num_classes", num_classes)
        if num_classes == 1:
            raise invalid("num_classes", "at least 2", num_classes)
        self.support = (0.0, num_classes - 1.0)

    @property
    def vector_sizes(self) -> dict[str, int]:
        return {"logits": self.num_classes}

    def make_distribution(self, logits: Any) -> Any:
        return tfd.Categorical(logits=logits, dtype=logits.dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["units"]
        return {**config, "num_classes": self.num_classes}

    def _fit_bias(self, y: Any, offset: Any) -> None:
        count = np.bincount(y[:, 0].astype(int), minlength=self.num_classes)
        # Half a count, so that a class not seen yet is not impossible.
        self.bias.assign(np.log((count + 0.5) / (len(y) + 0.5 * len(count))))

    def _log_prob(self, y: Any, logits: Any) -> Any:
        # TFP raises, on a CPU, for what is no class; here that is NaN.
        hit = ops.one_hot(
            ops.cast(y, "int32"), self.num_classes, dtype=logits.dtype
        )
        return ops.sum(hit * ops.log_softmax(logits), axis=-1)

    def mixture_quantile(self, y_pred: Any, q: Any) -> Any:
        """Raises a `ValueError`: classes have no order."""
        raise ValueError("`CategoricalHead` has no quantiles.")

    def _moment(self, name: str, y_pred: Any) -> Any:
        if name != "mode":  # TFP answers with moments of the indices
            raise ValueError(f"`CategoricalHead` has no {name}.")
        return super()._moment(name, y_pred)

    def _probability(self, y: Any, y_pred: Any, above: bool = False) -> Any:
        raise ValueError("`CategoricalHead` has no cdf.")
