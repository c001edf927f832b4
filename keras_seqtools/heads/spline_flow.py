"""A head whose density takes any shape: a flow of one monotone spline."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads import links
from keras_seqtools.heads._mode import argmax_density
from keras_seqtools.heads.distribution_head import DistributionHead

# Beyond three scales from the location the spline is the identity. There
# must be some probability, or the scale of the tails would be left to chance.
_BOUND = 3.0
_ROOT = 1.0 / math.sqrt(2.0 * math.pi)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)


def _bins(raw: Any) -> Any:
    """Positive numbers that add up to the range of the spline."""
    floor = 1e-3
    shares = floor + (1.0 - floor * raw.shape[-1]) * ops.softmax(raw)
    return 2.0 * _BOUND * shares


def _slopes(raw: Any) -> Any:
    """Positive numbers, 1 for 0."""
    floor = 1e-3
    return links.positive(raw + math.log(math.expm1(1.0 - floor)), floor)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class SplineFlowHead(DistributionHead):
    """A distribution of any shape, by a monotone rational-quadratic spline.

    The spline takes the standardised target, `(y - loc) / scale`, to a
    standard normal variable. It starts as a straight line, and stays one
    beyond three scales from `loc`, so that the tails are those of a normal
    distribution. Emits `loc`, `scale`, and for every target the widths and the
    heights of the bins and the slopes at the knots between them.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        bins: Integer of at least 2. Pieces of the spline. Defaults to `8`.
        **kwargs: Further arguments of `DistributionHead`: `offset`,
            `min_scale`, initializers and regularizers, and those of
            `keras.layers.Layer`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units * (3 * bins + 1))`: `loc`, `scale`, `bin_widths`,
        `bin_heights`, then `knot_slopes`.

    Example:

    >>> head = kst.heads.SplineFlowHead(kernel_initializer="zeros")
    >>> y_pred = head(np.zeros((1, 3), "float32"))  # a normal distribution
    >>> round(float(head.quantile(y_pred, 0.975)[0, 0, 0] / 0.6932), 2)
    1.96

    Reference:

    - [Durkan et al., 2019](https://arxiv.org/abs/1906.04032)
    """

    parameters = {
        "loc": links.identity,
        "scale": links.positive,
        "bin_widths": _bins,
        "bin_heights": _bins,
        "knot_slopes": _slopes,
    }
    locations = ("loc",)
    scales = ("loc", "scale")

    def __init__(self, units: int = 1, bins: int = 8, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.bins = check_positive_int("bins", bins)
        if not 2 <= bins <= 500:
            raise invalid("bins", "from 2 to 500", bins)

    @property
    def vector_sizes(self) -> dict[str, int]:
        return {
            "bin_widths": self.bins,
            "bin_heights": self.bins,
            "knot_slopes": self.bins - 1,
        }

    def make_distribution(self, loc: Any, scale: Any, **spline: Any) -> Any:
        from tensorflow_probability import bijectors as tfb

        return tfd.TransformedDistribution(
            tfd.Normal(ops.zeros_like(loc), ops.ones_like(loc)),
            tfb.Chain(
                [
                    tfb.Shift(loc),
                    tfb.Scale(scale),
                    tfb.Invert(_spline(**spline)),
                ]
            ),
        )

    def mean(self, y_pred: Any) -> Any:
        parts = self.split(y_pred)
        return parts["loc"] + parts["scale"] * self._standard_moments(y_pred)[0]

    def variance(self, y_pred: Any) -> Any:
        scale = self.split(y_pred)["scale"]
        return ops.square(scale) * self._standard_moments(y_pred)[1]

    def mode(self, y_pred: Any) -> Any:
        """Mode, `(..., units)`, found by a search."""
        y_pred = ops.convert_to_tensor(y_pred)
        parts = self.split(ops.cast(y_pred, "float64"))
        edges = -_BOUND + ops.cumsum(parts["bin_widths"], axis=-1)
        places = [
            edges - (1.0 - share) * parts["bin_widths"]
            for share in np.linspace(0.0, 1.0, 8)
        ]
        places = ops.moveaxis(ops.concatenate(places, axis=-1), -1, 0)
        mode = argmax_density(
            lambda y: self._log_prob(y, **parts),
            parts["loc"] + parts["scale"] * places,
        )
        return ops.cast(mode, y_pred.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}

    def _standard_moments(self, y_pred: Any) -> tuple[Any, Any]:
        """Mean and variance of `(Y - loc) / scale`.

        By Gauss-Legendre quadrature over the bins of the normal variable; the
        tails, where the spline is the identity, have a closed form.
        """
        parts = self.split(y_pred)
        spline = _spline(
            *(
                ops.expand_dims(parts[name], -2)
                for name in ("bin_widths", "bin_heights", "knot_slopes")
            )
        )
        heights = ops.expand_dims(parts["bin_heights"], -1)
        start = ops.cumsum(heights, axis=-2) - heights - _BOUND
        z = start + heights * (0.5 + 0.5 * _NODES)
        mass = 0.5 * _WEIGHTS * heights * _ROOT * ops.exp(-0.5 * z * z)
        flat = (*ops.shape(z)[:-2], -1)
        z, mass = ops.reshape(z, flat), ops.reshape(mass, flat)
        x = spline.inverse(z)
        # The tails cancel in the mean.
        mean = ops.sum(mass * x, axis=-1)
        tail = 0.5 * math.erfc(_BOUND / math.sqrt(2.0))
        outside = _BOUND * _ROOT * math.exp(-0.5 * _BOUND**2) + tail
        variance = (
            ops.sum(mass * ops.square(x - ops.expand_dims(mean, -1)), axis=-1)
            + 2.0 * outside
            + 2.0 * tail * ops.square(mean)
        )
        return mean, variance


def _spline(bin_widths: Any, bin_heights: Any, knot_slopes: Any) -> Any:
    from tensorflow_probability import bijectors as tfb

    return tfb.RationalQuadraticSpline(
        bin_widths, bin_heights, knot_slopes, range_min=-_BOUND
    )
