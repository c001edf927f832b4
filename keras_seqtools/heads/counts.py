"""Heads for counts: how often, not how much."""

from typing import Any

import keras
import numpy as np

from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads.distribution_head import DistributionHead


@keras.saving.register_keras_serializable(package="keras_seqtools")
class PoissonHead(DistributionHead):
    """A Poisson distribution of counts, whose rate follows the input.

    Emits `log_rate`, the logarithm of the expected count, which keeps its
    digits where a rate would underflow; `mean` gives the rate. Targets are
    the integers 0, 1, 2, ...; `validate` refuses others, and their likelihood
    is NaN. Float32 loses digits of the likelihood and the cdf as counts grow:
    near 1e5 it is right to some hundredths of a nat, near 1e7 it is useless.
    Model counts that large as continuous.

    A mask of the input passes through unchanged, and computation is in
    float32 under every dtype policy. For the methods see
    `keras_seqtools.heads.DistributionHead`.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        offset: Boolean. Must be false: a count has no location to shift.
            Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        `(..., features)`.

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
    support = (0.0, np.inf)
    discrete = True

    def make_distribution(self, log_rate: Any) -> Any:  # type: ignore[override]
        return tfd.Poisson(log_rate=log_rate)
