"""Special functions in float64, also where TensorFlow's own give up.

The incomplete gamma and beta functions of TensorFlow stop short of converging
once all their arguments are in the hundreds of thousands. There Temme's
expansions, in which a normal probability is the first term, are exact.

Reference:

- [Temme, 1979](https://doi.org/10.1137/0510071), the gamma function
- [Temme, 1982](https://doi.org/10.1137/0513017), the beta function
- [Wise, 1950](https://doi.org/10.1093/biomet/37.3-4.208)
"""

import math
from typing import Any

import tensorflow as tf
from keras import ops

# Above it Temme's expansions have ten digits, and below it TensorFlow has.
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


def gamma_cdf(y: Any, concentration: Any) -> Any:
    """P(Y <= y) of a gamma distribution of rate 1."""
    is_large = concentration > _LARGE
    excess = (y - concentration) / concentration
    deviance = concentration * (excess - ops.log1p(excess))
    eta = ops.sign(excess) * ops.sqrt(2.0 * deviance / concentration)
    near = -1.0 / 3.0 + eta * (1.0 / 12.0 - eta * 2.0 / 135.0)
    shift = ops.where(
        ops.abs(excess) < 1e-3, near, 1.0 / excess - 1.0 / eta
    ) - 1.0 / (540.0 * concentration)
    return ops.where(
        is_large,
        _temme(excess, deviance, concentration, -shift),
        _igamma(concentration, y, ~is_large),
    )


def poisson_cdf(y: Any, rate: Any) -> Any:
    """P(Y <= y) for integers `y >= 0`."""
    return 1.0 - gamma_cdf(rate, y + 1.0)


def negative_binomial_cdf(y: Any, mean: Any, dispersion: Any) -> Any:
    """P(Y <= y) for integers `y >= 0`; variance `mean + dispersion * mean**2`.

    That is the beta function of `1 / dispersion` and `y + 1` up to
    `1 / (1 + dispersion * mean)`. Temme's expansion compares this with
    `1 / (1 + dispersion * (y + 1))`. Where only one of the two is large, it
    is Wise's gamma distribution.
    """
    size, after, product = 1.0 / dispersion, y + 1.0, dispersion * mean
    prob, center = 1.0 / (1.0 + product), 1.0 / (1.0 + dispersion * after)
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
    few, many = ops.minimum(size, after), ops.maximum(size, after)
    is_large = few > _LARGE
    is_flat = ~is_large & (many > _LARGE * ops.maximum(few, 1.0) ** 1.5)
    is_other = ~(is_large | is_flat)
    odds = ops.where(size < after, 1.0 / product, product)
    flat = _igamma(few, (many + (few - 1.0) / 2.0) * ops.log1p(odds), is_flat)
    other = tf.math.betainc(
        ops.where(is_other, size, 1.0),
        ops.where(is_other, after, 1.0),
        ops.where(is_other, prob, 0.5),
    )
    return ops.where(
        is_large,
        _temme(excess, deviance, total, shift),
        ops.where(is_flat, ops.where(size < after, flat, 1.0 - flat), other),
    )


def student_t_mass(z: Any, df: Any) -> Any:
    """P(-z <= T <= z) for `z >= 0`."""
    share = 1.0 / (1.0 + df / ops.square(z))
    return tf.math.betainc(ops.full_like(df, 0.5), df / 2.0, share)


def _temme(excess: Any, deviance: Any, total: Any, shift: Any) -> Any:
    """A normal probability, and what it lacks for want of symmetry."""
    probability = 0.5 + 0.5 * ops.sign(excess) * erf(ops.sqrt(deviance))
    density = ops.exp(-deviance) / ops.sqrt(2.0 * math.pi * total)
    return probability + density * shift


def _igamma(a: Any, x: Any, wanted: Any) -> Any:
    """TensorFlow's, which takes long over what nobody wants."""
    return tf.math.igamma(ops.where(wanted, a, 1.0), ops.where(wanted, x, 1.0))
