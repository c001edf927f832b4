"""The CRPS of counts in closed form, of float64 tensors.

It is `E|X - y| - E|X - X'| / 2`. Both terms are near the mean where the mean
is small and the score far smaller, so what is computed of each is how far it
is from the mean: `E|X - y| - E(X)`, which is 0 for `y = 0`, and
`E(X) - E|X - X'| / 2 = E(min(X, X'))`. An inflation of zeros multiplies the
first by the probability of the others, and the second by its square.

Reference:

- [Wei & Held, 2014](https://doi.org/10.1007/s11749-014-0380-8):
  Calibration tests for count data
"""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_seqtools.heads import _precise
from keras_seqtools.heads import _special

# Places `x` and weights of an integral over all `x > 0` by the trapezoidal
# rule in `log(x)`, ever wider spaced: for what rises and falls at least like
# a power of `x`, right to eleven digits.
_STEPS = 0.2 * np.arange(-63, 64)
_PLACES = np.exp(5.0 * np.sinh(_STEPS / 5.0))
_WEIGHTS = 0.2 * np.cosh(_STEPS / 5.0) * _PLACES


def poisson(y: Any, log_rate: Any) -> Any:
    from_mean, least = _poisson(y, log_rate)
    return from_mean + least


def negative_binomial(y: Any, log_mean: Any, dispersion: Any) -> Any:
    from_mean, least = _negative_binomial(y, log_mean, dispersion)
    return from_mean + least


def zero_inflated_poisson(y: Any, zero_logit: Any, log_rate: Any) -> Any:
    return _inflate(y, zero_logit, *_poisson(y, log_rate))


def zero_inflated_negative_binomial(
    y: Any, zero_logit: Any, log_mean: Any, dispersion: Any
) -> Any:
    parts = _negative_binomial(y, log_mean, dispersion)
    return _inflate(y, zero_logit, *parts)


def _inflate(y: Any, zero_logit: Any, from_mean: Any, least: Any) -> Any:
    some = ops.sigmoid(-zero_logit)
    return ops.sigmoid(zero_logit) * y + some * (from_mean + some * least)


def _poisson(y: Any, log_rate: Any) -> tuple[Any, Any]:
    rate = ops.exp(log_rate)
    probability = ops.exp(_precise.poisson_log_prob(y, log_rate))
    at_most = _special.poisson_cdf(y, rate)
    from_mean = _distance(y, rate, at_most, rate * probability) - rate
    double = 2.0 * rate
    share = _special.bessel_i0e(double) + _special.bessel_i1e(double)
    # By its series, where next to nothing is left of 1 - share.
    small = ops.minimum(rate, 0.25)
    term, series = 1.0, 0.0
    for n in range(1, 18):
        term = term * -4.0 * small * (n - 0.5) / (n * (n + 1.0))
        series = series - term
    least = rate * ops.where(rate < 0.25, series, 1.0 - share)
    return ops.where(y > 0.0, from_mean, 0.0), least


def _negative_binomial(
    y: Any, log_mean: Any, dispersion: Any
) -> tuple[Any, Any]:
    mean = ops.exp(log_mean)
    probability = ops.exp(
        _precise.negative_binomial_log_prob(y, log_mean, dispersion)
    )
    at_most = _special.negative_binomial_cdf(y, mean, dispersion)
    partial = mean * (1.0 + dispersion * y) * probability
    # E(X; X <= y) / E(X), by the distribution that has one more for size.
    share = _special.negative_binomial_cdf(
        y - 1.0, mean * (1.0 + dispersion), dispersion / (1.0 + dispersion)
    )
    # The first has digits where most of the mean comes from rare values, the
    # second where the spread is small.
    from_mean = ops.where(
        _is_near_zero(mean, dispersion),
        y * (2.0 * at_most - 1.0) - 2.0 * mean * share,
        _distance(y, mean, at_most, partial) - mean,
    )
    least = _least_negative_binomial(mean, dispersion)
    return ops.where(y > 0.0, from_mean, 0.0), least


def _distance(y: Any, mean: Any, at_most: Any, partial: Any) -> Any:
    """`E|X - y|`, where `partial` is `E(X - E(X); X > y)`."""
    return (y - mean) * (2.0 * at_most - 1.0) + 2.0 * partial


def _is_near_zero(mean: Any, dispersion: Any) -> Any:
    """Whether the mean is less than two standard deviations."""
    return mean < 4.0 * (1.0 + dispersion * mean)


def _least_negative_binomial(mean: Any, dispersion: Any) -> Any:
    """`E(min(X, X'))`, from the characteristic function `f` by Parseval.

    At the angle `2 atan(x / c)` with `c = 1 + 2 * dispersion * mean` it is
    `((1 - ix / c) / (1 - ix))**size`, and the integrals over `c dx / x**2` of
    `|1 - f|**2` and of `1 - |f|**2` are `2 pi` times this and `E|X - X'| / 2`.
    The first has no cancellation, the second does not oscillate.
    """
    mean, dispersion = mean[..., None], dispersion[..., None]
    size, product = 1.0 / dispersion, dispersion * mean
    c = 1.0 + 2.0 * product
    # 1 - 1 / c**2, and where the integrand turns from rising to falling.
    part = 4.0 * product * (1.0 + product) / ops.square(c)
    unit = ops.rsqrt(1.0 + size * part)
    x = unit * _PLACES
    square = ops.square(x)
    log_modulus = (
        -size / 2.0 * ops.log1p(square * part / (1.0 + square / ops.square(c)))
    )
    angle = size * ops.arctan(2.0 * product / c * x / (1.0 + square / c))
    chord = ops.square(ops.expm1(log_modulus)) + 4.0 * ops.exp(
        log_modulus
    ) * ops.square(ops.sin(angle / 2.0))
    is_near_zero = _is_near_zero(mean, dispersion)
    integrand = ops.where(is_near_zero, chord, -ops.expm1(2.0 * log_modulus))
    integral = ops.sum(
        integrand / square * (unit * _WEIGHTS), axis=-1, keepdims=True
    )
    integral = c / (2.0 * math.pi) * integral
    return ops.where(is_near_zero, integral, mean - integral)[..., 0]
