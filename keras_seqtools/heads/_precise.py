"""Log-probabilities written so that float32 keeps its digits.

Textbook forms subtract log-gamma functions that are each far larger than the
result. Here everything large is gone before the computer sees it: what is
left is the deviance of an observation from its expectation, a sum of positive
terms, and the error of Stirling's formula, which is small.

Reference:

- [Loader, 2000](https://www.r-project.org/doc/reports/CLoader-dbinom-2002.pdf):
  Fast and accurate computation of binomial probabilities
"""

import math
from typing import Any

from keras import ops

_LOG_2PI = math.log(2.0 * math.pi)


def exp_remainder(t: Any) -> Any:
    """`exp(t) - 1 - t`, which is never negative."""
    is_small = ops.abs(t) < 0.5
    small = ops.where(is_small, t, 0.0)
    series = 1.0
    for n in range(10, 2, -1):
        series = 1.0 + small / n * series
    large = ops.where(is_small, 1.0, t)
    return ops.where(
        is_small, 0.5 * small * small * series, ops.expm1(large) - large
    )


def stirling_error(x: Any) -> Any:
    """`lgamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2)` for `x > 0`."""
    # Above 8 a short series is exact; what is below is moved up by 8.
    is_large = x >= 8.0
    up = ops.where(is_large, x, x + 8.0)
    inverse = 1.0 / up
    square = inverse * inverse
    series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0))
    x = ops.where(is_large, 1.0, x)
    product = x
    for i in range(1, 8):
        product = product * (x + i)
    moved = (
        x * ops.log1p(8.0 / x)
        + 7.5 * ops.log(x + 8.0)
        + 0.5 * ops.log(x)
        - 8.0
        - ops.log(product)
    )
    return series + ops.where(is_large, 0.0, moved)


def poisson_log_prob(y: Any, log_rate: Any) -> Any:
    """Log-probability of counts `y`, in nats."""
    count = ops.maximum(y, 1.0)
    deviance = count * exp_remainder(log_rate - ops.log(count))
    some = -deviance - 0.5 * (_LOG_2PI + ops.log(count)) - stirling_error(count)
    return ops.where(y > 0.0, some, -ops.exp(log_rate))


def negative_binomial_log_prob(y: Any, log_mean: Any, dispersion: Any) -> Any:
    """Log-probability of counts with variance `mean + dispersion * mean**2`."""
    mean, size = ops.exp(log_mean), 1.0 / dispersion
    # log((size + y) / (size + mean)), by whichever form keeps its digits.
    excess = dispersion * (y - mean) / (1.0 + dispersion * mean)
    is_near = excess > -0.5
    ratio = ops.where(
        is_near,
        ops.log1p(ops.where(is_near, excess, 0.0)),
        ops.log1p(dispersion * y) - ops.log1p(dispersion * mean),
    )
    count = ops.maximum(y, 1.0)
    some = (
        -count * exp_remainder(log_mean - ops.log(count) + ratio)
        - 0.5 * (_LOG_2PI + ops.log(count) + ops.log1p(dispersion * count))
        + stirling_error(size + count)
        - stirling_error(size)
        - stirling_error(count)
    )
    none = -mean / (1.0 + dispersion * mean)
    return ops.where(y > 0.0, some, none) - size * exp_remainder(ratio)


def gamma_log_prob(y: Any, log_mean: Any, concentration: Any) -> Any:
    """Log-density of `y > 0`, in nats."""
    return (
        0.5 * (ops.log(concentration) - _LOG_2PI)
        - ops.log(y)
        - stirling_error(concentration)
        - concentration * exp_remainder(ops.log(y) - log_mean)
    )


def beta_log_prob(y: Any, mean_logit: Any, precision: Any) -> Any:
    """Log-density of `0 < y < 1`, in nats."""
    log_y, log_rest = ops.log(y), ops.log1p(-y)
    log_mean = ops.log_sigmoid(mean_logit)
    log_mean_rest = ops.log_sigmoid(-mean_logit)
    ones, zeros = (
        precision * ops.sigmoid(sign * mean_logit) for sign in (1.0, -1.0)
    )
    return (
        0.5 * (ops.log(precision) + log_mean + log_mean_rest - _LOG_2PI)
        - log_y
        - log_rest
        + stirling_error(precision)
        - stirling_error(ones)
        - stirling_error(zeros)
        - ones * exp_remainder(log_y - log_mean)
        - zeros * exp_remainder(log_rest - log_mean_rest)
    )
