"""Heads for targets on the real line."""

from typing import Any

import keras

from keras_seqtools.heads import _precise
from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads.distribution_head import DistributionHead


@keras.saving.register_keras_serializable(package="keras_seqtools")
class NormalHead(DistributionHead):
    """A normal distribution whose mean and spread both follow the input.

    Emits `loc` and `scale`, in the units of the target. With
    `dispersion="constant"` the spread is one number for all inputs. Outliers
    pull a normal distribution hard; `StudentTHead` bears them.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        offset: Boolean. Whether a second input is added to `loc`. Defaults
            to `False`.
        **kwargs: Further arguments of `DistributionHead`: `dispersion`,
            `min_scale`, initializers and regularizers, and those of
            `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units * 2)`: `loc`, then `scale`.

    Example:

    >>> head = kst.heads.NormalHead()
    >>> y_pred = np.array([[120.0, 10.0]], "float32")  # loc, scale
    >>> lower, upper = head.interval(y_pred, 0.9)
    >>> round(float(lower[0, 0]), 1), round(float(upper[0, 0]), 1)
    (103.6, 136.4)

    Reference:

    - [Nix & Weigend, 1994](https://doi.org/10.1109/ICNN.1994.374138)
    """

    parameters = {"loc": links.identity, "scale": links.positive}
    locations = ("loc",)
    scales = ("loc", "scale")
    dispersions = ("scale",)

    def make_distribution(self, loc: Any, scale: Any) -> Any:
        return tfd.Normal(loc, scale)

    def _log_prob(self, y: Any, loc: Any, scale: Any) -> Any:
        return _precise.normal_log_prob(y, loc, scale)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class StudentTHead(DistributionHead):
    """A Student t distribution: a location, a spread, and heavy tails.

    Emits `df`, `loc` and `scale`, in the units of the target (`df`, the
    degrees of freedom, has none). A small `df` lets a few large errors pass
    without widening the bulk. `df` is above 2.01, so that the variance
    exists; it is then `scale**2 * df / (df - 2)`, which can be far above
    `scale**2`: read intervals rather than standard deviations where `df` is
    small.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        offset: Boolean. Whether a second input is added to `loc`. Defaults
            to `False`.
        **kwargs: Further arguments of `DistributionHead`: `dispersion`,
            `min_scale`, initializers and regularizers, and those of
            `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units * 3)`: `df`, then `loc`, then `scale`.

    Example:

    >>> head = kst.heads.StudentTHead()
    >>> y_pred = np.array([[5.0, 120.0, 10.0]], "float32")  # df, loc, scale
    >>> round(float(head.prob_below(y_pred, 100.0)[0, 0]), 4)
    0.051

    Reference:

    - [Lange, Little & Taylor, 1989](https://doi.org/10.1080/01621459.1989.10478852)
    """

    parameters = {
        "df": links.degrees_of_freedom,
        "loc": links.identity,
        "scale": links.positive,
    }
    locations = ("loc",)
    scales = ("loc", "scale")
    dispersions = ("df", "scale")

    def make_distribution(self, df: Any, loc: Any, scale: Any) -> Any:
        return tfd.StudentT(df, loc, scale)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class LaplaceHead(DistributionHead):
    """A Laplace distribution: a sharp peak and tails longer than a normal's.

    Emits `loc`, the median, and `scale`, the mean absolute deviation from it,
    in the units of the target. With `dispersion="constant"` its likelihood is
    that of a regression on the mean absolute error.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        offset: Boolean. Whether a second input is added to `loc`. Defaults
            to `False`.
        **kwargs: Further arguments of `DistributionHead`: `dispersion`,
            `min_scale`, initializers and regularizers, and those of
            `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units * 2)`: `loc`, then `scale`.

    Example:

    >>> head = kst.heads.LaplaceHead()
    >>> y_pred = np.array([[120.0, 10.0]], "float32")  # loc, scale
    >>> round(float(head.stddev(y_pred)[0, 0]), 3)  # sqrt(2) * scale
    14.142
    """

    parameters = {"loc": links.identity, "scale": links.positive}
    locations = ("loc",)
    scales = ("loc", "scale")
    dispersions = ("scale",)

    def make_distribution(self, loc: Any, scale: Any) -> Any:
        return tfd.Laplace(loc, scale)
