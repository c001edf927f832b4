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

import keras
from keras import ops

_LOG_2PI = math.log(2.0 * math.pi)
# Of `exp_remainder`, and Bernoulli's numbers over 2 * 1, 4 * 3, 6 * 5, ....
_EXPONENTIAL = tuple(1.0 / math.factorial(n) for n in range(2, 17))
_STIRLING = (
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360360.0,
    1.0 / 156.0,
    -3617.0 / 122400.0,
)
_STIRLING_SLOPE = tuple((1 - 2 * n) * c for n, c in enumerate(_STIRLING, 1))


def exp_remainder(t: Any) -> Any:
    """`exp(t) - 1 - t`, which is never negative."""
    small = ops.clip(t, -0.5, 0.5)
    series = _series(small, _EXPONENTIAL, 9)
    return ops.where(ops.abs(t) < 0.5, small * small * series, ops.expm1(t) - t)


def stirling_error(x: Any) -> Any:
    """`lgamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2)` for `x > 0`."""
    # Above 8 the series is exact; what is below is moved up by 8.
    is_large = x >= 8.0
    inverse = 1.0 / ops.where(is_large, x, x + 8.0)
    series = inverse * _series(inverse * inverse, _STIRLING, 3)
    x = ops.minimum(x, 8.0)
    # x (x + 1) ... (x + 7): the first goes with the last, and so on.
    pair = x * (x + 7.0)
    product = pair * (pair + 6.0) * (pair + 10.0) * (pair + 12.0)
    moved = (
        x * ops.log1p(8.0 / x)
        + 7.5 * ops.log(x + 8.0)
        + 0.5 * ops.log(x)
        - 8.0
        - ops.log(product)
    )
    return series + ops.where(is_large, 0.0, moved)


def stirling_slope(x: Any) -> Any:
    """The derivative of `stirling_error`, term by term."""
    is_large = x >= 8.0
    inverse = 1.0 / ops.where(is_large, x, x + 8.0)
    square = inverse * inverse
    series = square * _series(square, _STIRLING_SLOPE, 3)
    x = ops.minimum(x, 8.0)
    pair = x * (x + 7.0)
    reciprocals = (2.0 * x + 7.0) * (
        1.0 / pair
        + 1.0 / (pair + 6.0)
        + 1.0 / (pair + 10.0)
        + 1.0 / (pair + 12.0)
    )
    moved = ops.log1p(8.0 / x) + 4.0 / (x * (x + 8.0)) - reciprocals
    return series + ops.where(is_large, 0.0, moved)


def _series(x: Any, coefficients: tuple[float, ...], in_float32: int) -> Any:
    """The polynomial, of as many terms as the digits of `x` need."""
    if keras.backend.standardize_dtype(x.dtype) != "float64":
        coefficients = coefficients[:in_float32]
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


def normal_log_prob(y: Any, loc: Any, scale: Any) -> Any:
    """Log-density of any `y`, in nats."""
    # The difference first: TFP divides both by the scale, which may be tiny.
    return (
        -0.5 * ops.square((y - loc) / scale) - ops.log(scale) - 0.5 * _LOG_2PI
    )


def poisson_log_prob(y: Any, log_rate: Any) -> Any:
    """Log-probability of counts `y`, in nats."""
    count = ops.maximum(y, 1.0)
    deviance = count * exp_remainder(log_rate - ops.log(count))
    some = -deviance - 0.5 * (_LOG_2PI + ops.log(count)) - stirling_error(count)
    return ops.where(y > 0.0, some, -ops.exp(log_rate))


def negative_binomial_log_prob(y: Any, log_mean: Any, dispersion: Any) -> Any:
    """Log-probability of counts with variance `mean + dispersion * mean**2`.

    All three of one shape. The gradient is written out: it is a fifth of the
    operations that differentiating each step would take, and has a digit more.
    """

    @ops.custom_gradient
    def log_prob(log_mean: Any, dispersion: Any) -> Any:
        mean, size = ops.exp(log_mean), 1.0 / dispersion
        spread = 1.0 + dispersion * mean
        surprise = (y - mean) / spread
        # log((size + y) / (size + mean)), by whichever form keeps its digits.
        excess = dispersion * surprise
        ratio = ops.where(
            excess > -0.5,
            ops.log1p(ops.maximum(excess, -0.5)),
            ops.log((1.0 + dispersion * y) / spread),
        )
        count = ops.maximum(y, 1.0)
        log_count = ops.log(count)
        # Stacked, what is three times the same is one operation.
        of_both, of_size, of_count = ops.unstack(
            stirling_error(ops.stack([size + count, size, count])), 3
        )
        deviance, rest = ops.unstack(
            exp_remainder(ops.stack([log_mean - log_count + ratio, ratio])), 2
        )
        some = (
            of_both
            - of_size
            - of_count
            - count * deviance
            - 0.5 * (_LOG_2PI + log_count + ops.log1p(dispersion * count))
        )
        value = ops.where(y > 0.0, some, -mean / spread) - size * rest

        def gradient(upstream: Any) -> tuple[Any, Any]:
            of_both, of_size = ops.unstack(
                stirling_slope(ops.stack([size + y, size])), 2
            )
            by_size = of_both - of_size - rest + 0.5 * y / (size * (size + y))
            return upstream * surprise, -upstream * size * size * by_size

        return value, gradient

    return log_prob(log_mean, dispersion)


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
