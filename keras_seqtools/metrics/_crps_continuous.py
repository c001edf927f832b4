"""The CRPS of continuous families in closed form, of float64 tensors.

All are `E|X - y| - E|X - X'| / 2`, arranged so that far tails and extreme
scales neither overflow nor cancel.

Reference:

- [Jordan, Krueger & Lerch, 2019](https://doi.org/10.18637/jss.v090.i12):
  Evaluating probabilistic forecasts with scoringRules
"""

import math
from typing import Any

from keras import ops

from keras_seqtools.heads import _precise
from keras_seqtools.heads import _special

# From here on a Student t is a normal distribution, to that many digits.
_MOST_DF = 1e8


def normal(y: Any, loc: Any, scale: Any) -> Any:
    return _mean_distance(y - loc, scale) - scale / math.sqrt(math.pi)


def laplace(y: Any, loc: Any, scale: Any) -> Any:
    distance = ops.abs(y - loc)
    return distance + scale * (ops.exp(-distance / scale) - 0.75)


def logistic(y: Any, loc: Any, scale: Any) -> Any:
    distance = ops.abs(y - loc)
    return distance + scale * (2.0 * ops.log1p(ops.exp(-distance / scale)) - 1)


def student_t(y: Any, df: Any, loc: Any, scale: Any) -> Any:
    """For `df > 1`, below which there is no mean."""
    df = ops.minimum(df, _MOST_DF)
    distance = ops.abs(y - loc)
    z = distance / scale
    one_over_beta = _special.inverse_beta(0.5, df / 2.0)
    tail = ops.exp(-(df - 1.0) / 2.0 * ops.log1p(ops.square(z) / df))
    pair = one_over_beta / _special.inverse_beta(0.5, df - 0.5)
    spread = 2.0 * ops.sqrt(df) / (df - 1.0) * one_over_beta
    mass = _special.student_t_mass(z, df)
    return distance * mass + scale * spread * (tail - pair)


def lognormal(y: Any, loc: Any, scale: Any) -> Any:
    """Where `loc` and `scale` are those of `log(y)`."""
    z = (ops.log(y) - loc) / scale
    log_mean = loc + ops.square(scale) / 2.0
    tails = (
        # The mean would overflow where its product with a tail does not.
        ops.exp(log_mean + _special.log_erfc(x))
        for x in ((scale - z) / math.sqrt(2.0), scale / 2.0)
    )
    above, pair = tails
    return y * _special.erf(z / math.sqrt(2.0)) - above + pair


def gamma(y: Any, concentration: Any, rate: Any) -> Any:
    mean = concentration / rate
    log_density = _precise.gamma_log_prob(y, ops.log(mean), concentration)
    below = _special.gamma_cdf(rate * y, concentration)
    return (
        (y - mean) * (2.0 * below - 1.0)
        + 2.0 / rate * ops.exp(ops.log(y) + log_density)
        - _special.inverse_beta(0.5, concentration) / rate
    )


def normal_mixture(y: Any, logits: Any, loc: Any, scale: Any) -> Any:
    """Where the components are on the last axis."""
    weight = ops.softmax(logits)
    to_y = _mean_distance(y[..., None] - loc, scale)
    pairs = _mean_distance(
        loc[..., :, None] - loc[..., None, :],
        ops.hypot(scale[..., :, None], scale[..., None, :]),
    )
    between = ops.sum(weight[..., None, :] * pairs, axis=-1)
    return ops.sum(weight * (to_y - between / 2.0), axis=-1)


def _mean_distance(loc: Any, scale: Any) -> Any:
    """`E|X|` of a normal distribution."""
    z = loc / scale
    return loc * _special.erf(z / math.sqrt(2.0)) + scale * math.sqrt(
        2.0 / math.pi
    ) * ops.exp(-ops.square(z) / 2.0)
