"""Five thousand points a family, most of them absurd: finite, and right.

Half of the raw outputs lie anywhere within +-1e4, against targets anywhere in
the support; half lie within +-5 of what fits the target. Likelihoods are
compared with float64, at the parameters that the head emits. The references
are written out here: those of SciPy overflow where these points lie.
"""

import checks
import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from scipy import stats

from keras_seqtools import heads
from keras_seqtools.heads.distribution_head import unbuilt_copy

HALF = 2500
COMPONENTS, BINS, LEVELS, CLASSES = 3, 5, 255, 4


def poisson(y, log_rate):
    return y * log_rate - np.exp(log_rate) - special.gammaln(y + 1.0)


def negative_binomial(y, log_mean, dispersion):
    size = 1.0 / dispersion
    log_odds = np.log(dispersion) + log_mean
    return (
        special.gammaln(y + size)
        - special.gammaln(size)
        - special.gammaln(y + 1.0)
        - (size + y) * np.logaddexp(0.0, log_odds)
        + y * log_odds
    )


def zero_inflated(base):
    def log_prob(y, zero_logit, *parameters):
        some = special.log_expit(-zero_logit) + base(y, *parameters)
        zero = np.logaddexp(special.log_expit(zero_logit), some)
        return np.where(y == 0.0, zero, some)

    return log_prob


def laplace(y, loc, scale):
    return -np.abs(y - loc) / scale - np.log(2.0 * scale)


def log_normal(y, loc, scale):
    return stats.norm.logpdf(np.log(y), loc, scale) - np.log(y)


def gamma(y, log_mean, shape):
    log_ratio = np.log(y) - log_mean
    return (
        shape * (np.log(shape) + log_ratio - np.exp(log_ratio))
        - np.log(y)
        - special.gammaln(shape)
    )


def beta(y, mean_logit, precision):
    ones, zeros = (precision * special.expit(s * mean_logit) for s in (1, -1))
    return (
        special.xlogy(ones - 1.0, y)
        + special.xlog1py(zeros - 1.0, -y)
        - special.betaln(ones, zeros)
    )


def categorical(y, *logits):
    return np.choose(y.astype(int), special.log_softmax(logits, axis=0))


def mixture(component):
    def log_prob(y, *parameters):
        logits, loc, scale = np.split(np.array(parameters), 3)
        return special.logsumexp(
            special.log_softmax(logits, axis=0) + component(y, loc, scale),
            axis=0,
        )

    return log_prob


def discretized_logistic(y, loc, scale):
    upper = np.where(y == LEVELS, np.inf, (y + 0.5 - loc) / scale)
    lower = np.where(y == 0, -np.inf, (y - 0.5 - loc) / scale)
    # Of the two tails the one whose probabilities are small.
    mirrored = lower > 0.0
    upper, lower = (
        np.where(mirrored, -lower, upper),
        np.where(mirrored, -upper, lower),
    )
    log_upper, log_lower = special.log_expit(upper), special.log_expit(lower)
    return log_upper + np.log(-np.expm1(log_lower - log_upper))


def spline_flow(y, loc, scale, *spline):
    """Durkan et al. 2019, equations 4 and 5."""
    widths, heights = spline[:BINS], spline[BINS : 2 * BINS]
    one = np.ones_like(y)
    slopes = np.array([one, *spline[2 * BINS :], one])
    x = (y - loc) / scale
    z, log_slope = x.copy(), np.zeros_like(x)
    left, bottom = -3.0 * one, -3.0 * one
    for k in range(BINS):
        share = (x - left) / widths[k]
        inside = (share >= 0.0) & (share < 1.0)
        rest, slope = 1.0 - share, heights[k] / widths[k]
        with np.errstate(over="ignore", invalid="ignore"):
            below = slope + (slopes[k + 1] + slopes[k] - 2.0 * slope) * (
                share * rest
            )
            height = (slope * share + slopes[k] * rest) * share / below
            bends = (
                slopes[k + 1] * share**2
                + 2.0 * slope * share * rest
                + slopes[k] * rest**2
            )
            log_bend = np.log(slope**2 * bends / below**2)
        z = np.where(inside, bottom + heights[k] * height, z)
        log_slope = np.where(inside, log_bend, log_slope)
        left, bottom = left + widths[k], bottom + heights[k]
    return stats.norm.logpdf(z) + log_slope - np.log(scale)


def multivariate_normal(y, other, loc, other_loc, a, zero, b, c):
    first = (y - loc) / a
    second = (other - other_loc - b * first) / c
    log_prob = stats.norm.logpdf(first) + stats.norm.logpdf(second)
    return log_prob - np.log(a) - np.log(c)


def real(rng, size):
    return rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(-3, 7, size)


def positive(rng, size):
    return 10.0 ** rng.uniform(-7, 7, size)


def share(rng, size):
    return special.expit(rng.uniform(-14, 14, size))


def counts(rng, size):
    return np.floor(10.0 ** rng.uniform(0, 7, size)) - rng.integers(0, 2, size)


def integers(highest):
    return lambda rng, size: rng.integers(0, highest + 1, size).astype(float)


def near_log(y):
    return np.log(y + 0.5)


# Head, targets, the raw output that fits a target, and the reference.
FAMILIES = [
    (heads.NormalHead(), real, {"loc": np.copy}, stats.norm.logpdf),
    (heads.LaplaceHead(), real, {"loc": np.copy}, laplace),
    (
        heads.StudentTHead(),
        real,
        {"loc": np.copy},
        lambda y, df, loc, scale: stats.t.logpdf(y, df, loc, scale),
    ),
    (heads.LogNormalHead(), positive, {"loc": np.log}, log_normal),
    (heads.GammaHead(), positive, {"log_mean": np.log}, gamma),
    (heads.BetaHead(), share, {"mean_logit": special.logit}, beta),
    (heads.PoissonHead(), counts, {"log_rate": near_log}, poisson),
    (
        heads.NegativeBinomialHead(),
        counts,
        {"log_mean": near_log},
        negative_binomial,
    ),
    (
        heads.ZeroInflatedPoissonHead(),
        counts,
        {"log_rate": near_log},
        zero_inflated(poisson),
    ),
    (
        heads.ZeroInflatedNegativeBinomialHead(),
        counts,
        {"log_mean": near_log},
        zero_inflated(negative_binomial),
    ),
    (heads.CategoricalHead(CLASSES), integers(CLASSES - 1), {}, categorical),
    (
        heads.NormalMixtureHead(components=COMPONENTS),
        real,
        {"loc": np.copy},
        mixture(stats.norm.logpdf),
    ),
    (
        heads.DiscretizedLogisticMixtureHead(0, LEVELS, components=COMPONENTS),
        integers(LEVELS),
        {"loc": np.copy},
        mixture(discretized_logistic),
    ),
    (heads.SplineFlowHead(bins=BINS), real, {"loc": np.copy}, spline_flow),
    (
        heads.MultivariateNormalHead(units=2),
        real,
        {"loc": np.copy},
        multivariate_normal,
    ),
]
EVERY_FAMILY = pytest.mark.parametrize(
    ("head", "targets", "fit", "reference"),
    FAMILIES,
    ids=[type(head).__name__ for head, *_ in FAMILIES],
)


def points(head, targets, fit):
    """Targets `(n, units)` and raw outputs `(n, size)`, float32."""
    rng = checks.rng(1)
    y = targets(rng, (2 * HALF, head.units)).astype("float32")
    blocks = []
    for name, size in head.sizes.items():
        anywhere = rng.uniform(-1e4, 1e4, (HALF, size))
        near = rng.uniform(-5.0, 5.0, (HALF, size))
        if name in fit:
            near += np.repeat(fit[name](y[HALF:]), size // head.units, axis=1)
        blocks.append(np.concatenate([anywhere, near]))
    return y, np.concatenate(blocks, axis=1).astype("float32")


def value_and_gradient(head):
    def function(y, raw):
        with tf.GradientTape() as tape:
            tape.watch(raw)
            y_pred = head._emit(raw, 0.0)
            log_prob = head.log_likelihood(y, y_pred)
        return y_pred, log_prob, tape.gradient(log_prob, raw)

    return function


@EVERY_FAMILY
@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_likelihoods_are_finite_and_right(head, targets, fit, reference, mode):
    head = unbuilt_copy(head)
    head.build((None, 3))
    function = value_and_gradient(head)
    if mode != "eager":
        function = tf.function(function, jit_compile=mode == "xla")
    y, raw = points(head, targets, fit)
    y_pred, found, gradient = (
        result.numpy() for result in function(tf.constant(y), tf.constant(raw))
    )
    assert np.isfinite(y_pred).all()
    assert np.isfinite(gradient).all()
    inputs = [*y.T.astype("float64"), *y_pred.T.astype("float64")]
    expected = reference(*inputs)
    assert np.isfinite(expected).all()
    error = np.abs(found - expected)
    assert (error <= 1e-4 * (1.0 + np.abs(expected))).all()
