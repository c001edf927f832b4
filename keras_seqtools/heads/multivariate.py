"""A head for several targets whose errors go together."""

from typing import Any

import keras
from keras import ops

from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads.distribution_head import DistributionHead


@keras.saving.register_keras_serializable(package="keras_seqtools")
class MultivariateNormalHead(DistributionHead):
    """A normal distribution of several targets, with all their covariances.

    Emits `loc` and `scale_tril`, a lower triangular matrix whose product with
    its transpose is the covariance; of the matrix also the zeros. `log_prob`
    is that of the targets together and has shape `(...)`. Mean, variance, cdf,
    quantiles and the probabilities of thresholds are those of each target on
    its own, `(..., units)`; `sample` draws them together.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        **kwargs: Further arguments of `DistributionHead`: `offset`,
            `dispersion`, `min_scale`, initializers and regularizers, and those
            of `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units + units**2)`: `loc`, then `scale_tril` by rows.

    Example:

    >>> head = kst.heads.MultivariateNormalHead(units=2)
    >>> y_pred = np.array([[0.0, 0.0, 1.0, 0.0, 3.0, 4.0]], "float32")
    >>> head.distribution(y_pred).covariance()[0].numpy().tolist()
    [[1.0, 3.0], [3.0, 25.0]]

    Reference:

    - [Williams, 1996](https://doi.org/10.1162/neco.1996.8.4.843)
    """

    parameters = {"loc": links.identity, "scale_tril": links.scale_tril}
    locations = ("loc",)
    scales = ("loc", "scale_tril")
    dispersions = ("scale_tril",)
    joint = True

    @property
    def vector_sizes(self) -> dict[str, int]:
        return {"scale_tril": self.units}

    def make_distribution(self, loc: Any, scale_tril: Any) -> Any:
        return tfd.MultivariateNormalTriL(loc, scale_tril)

    def _marginals(self, y_pred: Any) -> Any:
        parameters = self.split(y_pred)
        variance = ops.sum(ops.square(parameters["scale_tril"]), axis=-1)
        return tfd.Normal(parameters["loc"], ops.sqrt(variance))
