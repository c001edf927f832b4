"""Special functions in float64, also where TensorFlow's own give up.

The incomplete gamma and beta functions of TensorFlow stop short of converging
once all their arguments are in the hundreds of thousands. There Temme's
expansions, in which a normal probability is the first term, are exact. The
beta function of one large argument is Wise's gamma probability.

Reference:

- [Temme, 1979](https://doi.org/10.1137/0510071), the gamma function
- [Temme, 1982](https://doi.org/10.1137/0513017), the beta function
- [Wise, 1950](https://doi.org/10.1093/biomet/37.3-4.208)
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import ops

from keras_seqtools.heads import _precise

# Above it Temme's expansions have nine digits, and below it TensorFlow has.
_LARGE = 1e4

bessel_i0e = tf.math.bessel_i0e
bessel_i1e = tf.math.bessel_i1e


def erf(x: Any) -> Any:
    """The error function, also where TensorFlow's squares too large a number.

    From 6 on it is 1.
    """
    return ops.erf(ops.clip(x, -9.0, 9.0))


def log_erfc(x: Any) -> Any:
    """The logarithm of the complementary error function."""
    import tensorflow_probability as tfp

    return tfp.math.logerfc(x)


def inverse_beta(a: float, b: Any) -> Any:
    """`1 / B(a, b)`, one over the beta function, for large `b` too."""
    import tensorflow_probability as tfp

    return ops.exp(-tfp.math.lbeta(ops.full_like(b, a), b))


def gamma_cdf(y: Any, concentration: Any, above: bool = False) -> Any:
    """P(Y <= y), or with `above` P(Y > y), of a gamma law of rate 1."""
    is_large = concentration > _LARGE

    def temme() -> Any:
        excess = (y - concentration) / concentration
        deviance = concentration * (excess - ops.log1p(excess))
        eta = ops.sign(excess) * ops.sqrt(2.0 * deviance / concentration)
        near = -1.0 / 3.0 + eta * (1.0 / 12.0 - eta * 2.0 / 135.0)
        shift = ops.where(
            ops.abs(excess) < 1e-3, near, 1.0 / excess - 1.0 / eta
        ) - 1.0 / (540.0 * concentration)
        return _temme(excess, deviance, concentration, -shift, above)

    # TensorFlow's takes long over large numbers: it is not asked.
    function = tf.math.igammac if above else tf.math.igamma
    other = function(
        ops.where(is_large, 1.0, concentration), ops.where(is_large, 1.0, y)
    )
    return _where(is_large, temme, other)


def poisson_cdf(y: Any, rate: Any, above: bool = False) -> Any:
    """P(Y <= y), or with `above` P(Y > y), for integers `y >= 0`.

    Differentiable with respect to the rate.
    """

    @ops.custom_gradient
    def cdf(rate: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            log_prob = _precise.poisson_log_prob(y, ops.log(rate))
            return (1.0 if above else -1.0) * upstream * ops.exp(log_prob)

        return gamma_cdf(rate, y + 1.0, not above), gradient

    return cdf(rate + ops.zeros_like(y))


def negative_binomial_cdf(y: Any, mean: Any, dispersion: Any) -> Any:
    """P(Y <= y) for integers `y >= 0`; variance `mean + dispersion * mean**2`.

    Differentiable as TFP's is: with respect to the mean, and to the
    dispersion, but there of means beyond a million only from 1e-4 on.
    """

    @ops.custom_gradient
    def cdf(mean: Any, dispersion: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            import tensorflow_probability as tfp

            return tfp.math.value_and_gradient(
                lambda mean, dispersion: tfp.math.betainc(
                    # Of integers, TFP has a wrong derivative.
                    1.0 / dispersion + 1e-8,
                    y + 1.0,
                    ops.sigmoid(-ops.log(dispersion * mean)),
                ),
                [mean, dispersion],
                output_gradients=upstream,
            )[1]

        return _negative_binomial_cdf(y, mean, dispersion), gradient

    zero = ops.zeros_like(y + mean + dispersion)
    return cdf(mean + zero, dispersion + zero)


def _negative_binomial_cdf(y: Any, mean: Any, dispersion: Any) -> Any:
    """The beta function of `size` and `after`, up to `prob`."""
    size, after, product = 1.0 / dispersion, y + 1.0, dispersion * mean
    prob = 1.0 / (1.0 + product)
    few, many = ops.minimum(size, after), ops.maximum(size, after)
    # From few**(5 / 4) on; below 10,000 TensorFlow's is faster.
    least = ops.maximum(few, 40.0)
    is_flat = many > 100.0 * least * ops.sqrt(ops.sqrt(least))
    is_large = ~is_flat & (few > _LARGE)

    def flat() -> Any:
        """Wise's, with the first term of what it lacks."""
        odds = ops.where(size < after, 1.0 / product, product)
        middle = many + (few - 1.0) / 2.0
        x = middle * ops.log1p(odds)
        log_density = _precise.gamma_log_prob(x, ops.log(few), few)
        lack = (
            (few - 1.0)
            * (few + 1.0 + x)
            / (24.0 * ops.square(middle))
            * ops.exp(ops.log(x) + log_density)
        )
        is_lower = size < after
        lower, upper = (
            gamma_cdf(
                ops.where(is_flat & is_wanted, x, 1.0),
                ops.where(is_flat & is_wanted, few, 1.0),
                is_upper,
            )
            for is_upper, is_wanted in ((False, is_lower), (True, ~is_lower))
        )
        return ops.where(is_lower, lower - lack, upper + lack)

    def temme() -> Any:
        """`prob` is compared with what it is where `y + 1` is the mean."""
        center = 1.0 / (1.0 + dispersion * after)
        excess, total = (after - mean) / mean, size + after
        deviance = after * ops.log1p(excess) - total * ops.log1p(
            product * prob * excess
        )
        deviance = ops.maximum(deviance, 0.0)
        eta = ops.sign(excess) * ops.sqrt(2.0 * deviance / total)
        width = center * ops.sqrt(dispersion * after)
        gap = product * excess * prob * center
        near = (1.0 - 2.0 * center) / (3.0 * width)
        shift = ops.where(ops.abs(excess) < 1e-5, near, 1.0 / eta - width / gap)
        return _temme(excess, deviance, total, shift)

    is_other = ~(is_flat | is_large)
    other = tf.math.betainc(
        ops.where(is_other, size, 1.0),
        ops.where(is_other, after, 1.0),
        ops.where(is_other, prob, 0.5),
    )
    return _where(is_large, temme, _where(is_flat, flat, other))


def student_t_mass(z: Any, df: Any) -> Any:
    """P(-z <= T <= z) for `z >= 0`."""
    share = 1.0 / (1.0 + df / ops.square(z))
    return tf.math.betainc(ops.full_like(df, 0.5), df / 2.0, share)


def _temme(
    excess: Any, deviance: Any, total: Any, shift: Any, above: bool = False
) -> Any:
    """A normal probability, and what it lacks for want of symmetry."""
    sign = -1.0 if above else 1.0
    z = ops.clip(ops.sign(excess) * ops.sqrt(deviance), -30.0, 30.0)
    density = ops.exp(-deviance) / ops.sqrt(2.0 * math.pi * total)
    return 0.5 * ops.erfc(-sign * z) + sign * density * shift


def _where(condition: Any, value: Callable[[], Any], other: Any) -> Any:
    """`ops.where`, with a first choice that is computed if it is wanted."""
    return ops.cond(
        ops.any(condition),
        lambda: ops.where(condition, value(), other),
        lambda: other,
    )
