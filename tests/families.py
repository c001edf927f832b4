"""Every family, beside distributions that know nothing of our code."""

import dataclasses
import functools
from collections.abc import Callable

import checks
import keras
import numpy as np
import pytest
import references
from scipy import special
from scipy import stats

from keras_seqtools import heads
from keras_seqtools.heads import links


@keras.saving.register_keras_serializable(package="test_heads")
class GumbelHead(heads.DistributionHead):
    """A user's own family, of the five lines that it takes."""

    parameters = {"loc": links.identity, "scale": links.positive}

    def make_distribution(self, loc, scale):
        from tensorflow_probability import distributions as tfd

        return tfd.Gumbel(loc, scale)


@keras.saving.register_keras_serializable(package="test_heads")
class WeibullHead(heads.DistributionHead):
    """A user's own family of positive targets."""

    parameters = {"concentration": links.positive, "scale": links.positive}
    scales = ("scale",)
    support = (0.0, np.inf)

    def make_distribution(self, concentration, scale):
        from tensorflow_probability import distributions as tfd

        return tfd.Weibull(concentration, scale)


def real(shape):
    return checks.rng(2).normal(100.0, 20.0, shape)


def positive(shape):
    return checks.rng(2).gamma(3.0, 2.0, shape)


def fractions(shape):
    return checks.rng(2).beta(2.0, 3.0, shape)


def counts(shape):
    return checks.rng(2).poisson(7.0, shape).astype(float)


def scattered_counts(shape):
    return checks.rng(2).negative_binomial(2.0, 0.2, shape).astype(float)


def counts_with_zeros(shape):
    none = checks.rng(3).random(shape) < 0.3
    return np.where(none, 0.0, scattered_counts(shape))


def levels(shape):
    return np.clip(counts(shape), 0.0, 15.0)


def classes(shape):
    return checks.rng(2).integers(0, 3, shape).astype(float)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A family: how to make its head, valid targets, and a reference.

    `rows` are parameters as columns, one value (or vector) for each row, and
    `reference` makes the same distribution of float64 parameters `(..., 1)`.
    """

    make: Callable
    targets: Callable
    rows: dict
    reference: Callable

    @property
    def name(self):
        return getattr(self.make, "func", self.make).__name__

    def emitted(self):
        """What a head with one unit would emit for the rows."""
        blocks = [np.array(column) for column in self.rows.values()]
        blocks = [block.reshape(len(block), -1) for block in blocks]
        return np.concatenate(blocks, axis=-1).astype("float32")

    def law(self, y_pred):
        """The reference for what a head with one unit emits."""
        y_pred, values, start = np.asarray(y_pred, "float64"), [], 0
        for column in self.rows.values():
            size = np.size(column[0])
            value = y_pred[..., start : start + size]
            start += size
            values.append(value[..., None, :] if np.ndim(column[0]) else value)
        assert start == y_pred.shape[-1]
        return self.reference(*values)

    def log_density(self, y, y_pred):
        law = self.law(y_pred)
        return (law.logpmf if self.make().discrete else law.logpdf)(y)


def negative_binomial(log_mean, dispersion):
    mean = np.exp(log_mean)
    return stats.nbinom(1.0 / dispersion, 1.0 / (1.0 + dispersion * mean))


def beta(mean_logit, precision):
    return stats.beta(
        precision * special.expit(mean_logit),
        precision * special.expit(-mean_logit),
    )


def spline_rows(bins):
    """Splines from almost straight to very bent, made of random numbers."""
    rng, bends = checks.rng(4), np.array([[0.1], [0.5], [1.0], [2.0]])
    return {
        "loc": [0.0, -3.0, 120.0, 100.0],
        "scale": [1e-3, 1.0, 40.0, 5.0],
        "bin_widths": 6
        * special.softmax(bends * rng.normal(size=(4, bins)), -1),
        "bin_heights": 6
        * special.softmax(bends * rng.normal(size=(4, bins)), -1),
        "knot_slopes": np.exp(bends * rng.normal(size=(4, bins - 1))),
    }


LOC = {"loc": [0.0, -3.0, 120.0, 1e4], "scale": [1e-3, 1.0, 40.0, 0.3]}
MIXED = {
    "logits": [[0.0, 0.0, 0.0], [3.0, 0.0, -3.0], [0.0, 5.0, -2.0], [1, 2, 3]],
    "loc": [[-9.0, 0.0, 40.0], [0.0, 0.1, 0.3], [1e3, 0.0, -1e3], [2, 8, 14]],
    "scale": [[0.01, 1.0, 9.0], [1.0, 0.5, 2.0], [1.0, 10.0, 0.1], [1, 1, 1]],
}
CASES = [
    Case(heads.NormalHead, real, LOC, stats.norm),
    Case(
        heads.StudentTHead,
        real,
        {"df": [2.01, 4.0, 300.0, 2.5], **LOC},
        stats.t,
    ),
    Case(heads.LaplaceHead, real, LOC, stats.laplace),
    Case(
        heads.LogNormalHead,
        positive,
        {"loc": [0.0, 3.0, -5.0, 1.0], "scale": [0.1, 1.0, 3.0, 0.5]},
        lambda loc, scale: stats.lognorm(scale, scale=np.exp(loc)),
    ),
    Case(
        heads.GammaHead,
        positive,
        {
            "log_mean": [0.0, 3.0, -2.0, 8.0],
            "concentration": [0.01, 1.0, 5.0, 1e4],
        },
        lambda log_mean, shape: stats.gamma(
            shape, scale=np.exp(log_mean) / shape
        ),
    ),
    Case(
        heads.BetaHead,
        fractions,
        {
            "mean_logit": [0.3, -9.0, 9.0, -9.0, 9.0, 1.0],
            "precision": [3.0, 1e4, 1e4, 1e-2, 1e-2, 1e4],
        },
        beta,
    ),
    Case(
        heads.PoissonHead,
        counts,
        {"log_rate": [-5.0, 1.0, 4.0, 7.0]},
        lambda log_rate: stats.poisson(np.exp(log_rate)),
    ),
    Case(
        heads.NegativeBinomialHead,
        scattered_counts,
        {
            "log_mean": [1.0, 6.0, -2.0, 5.0, 4.0, 0.0],
            "dispersion": [1e-6, 5.0, 0.5, 0.1, 1e-6, 5.0],
        },
        negative_binomial,
    ),
    Case(
        heads.ZeroInflatedPoissonHead,
        counts_with_zeros,
        {
            "zero_logit": [-8.0, 0.0, 2.0, 9.0],
            "log_rate": [1.0, -2.0, 4.0, 6.0],
        },
        lambda zero, log_rate: references.ZeroInflated(
            zero, stats.poisson(np.exp(log_rate))
        ),
    ),
    Case(
        heads.ZeroInflatedNegativeBinomialHead,
        counts_with_zeros,
        {
            "zero_logit": [-8.0, 0.0, 2.0, 9.0],
            "log_mean": [1.0, 6.0, -2.0, 5.0],
            "dispersion": [1e-6, 5.0, 0.5, 0.1],
        },
        lambda zero, log_mean, dispersion: references.ZeroInflated(
            zero, negative_binomial(log_mean, dispersion)
        ),
    ),
    Case(
        functools.partial(heads.NormalMixtureHead, components=3),
        real,
        MIXED,
        lambda logits, loc, scale: references.Mixture(
            logits, stats.norm(loc, scale)
        ),
    ),
    Case(
        functools.partial(
            heads.DiscretizedLogisticMixtureHead, 0, 15, components=3
        ),
        levels,
        MIXED,
        lambda *parameters: references.RoundedMixture(*parameters, 0, 15),
    ),
    Case(
        functools.partial(heads.SplineFlowHead, bins=4),
        real,
        spline_rows(4),
        references.SplineFlow,
    ),
    Case(
        heads.MultivariateNormalHead,
        real,
        {"loc": LOC["loc"], "scale_tril": [[s] for s in LOC["scale"]]},
        lambda loc, scale: stats.norm(loc, scale[..., 0]),
    ),
    Case(GumbelHead, real, LOC, stats.gumbel_r),
    Case(
        WeibullHead,
        positive,
        {
            "concentration": [1.0, 1.5, 3.0, 50.0],
            "scale": [1e-3, 1.0, 40.0, 2.0],
        },
        lambda shape, scale: stats.weibull_min(shape, scale=scale),
    ),
]
CATEGORICAL = Case(
    functools.partial(heads.CategoricalHead, 3),
    classes,
    {"logits": [[0.0, 0.0, 0.0], [3.0, 0.0, -3.0]]},
    None,
)
by_name = functools.partial(
    pytest.mark.parametrize, "case", ids=lambda c: c.name
)
# All that have a cdf and moments, and those without too.
EVERY_LAW = by_name(CASES)
EVERY_FAMILY = by_name([*CASES, CATEGORICAL])
CONTINUOUS = by_name([case for case in CASES if not case.make().discrete])
DISCRETE = by_name([case for case in CASES if case.make().discrete])
