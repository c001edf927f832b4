"""Every family against SciPy in float64, which knows nothing of our code."""

import checks
import keras
import numpy as np
import pytest
from scipy import optimize
from scipy import stats

from keras_seqtools.heads import DistributionHead
from keras_seqtools.heads import NormalHead
from keras_seqtools.heads import PoissonHead
from keras_seqtools.heads import StudentTHead
from keras_seqtools.heads import links


def real(shape):
    return checks.rng(2).normal(100.0, 20.0, shape)


def counts(shape):
    return checks.rng(2).poisson(7.0, shape).astype(float)


@keras.saving.register_keras_serializable(package="test_heads")
class GumbelHead(DistributionHead):
    """A user's own family, of the five lines that it takes."""

    parameters = {"loc": links.identity, "scale": links.positive}

    def make_distribution(self, loc, scale):
        from tensorflow_probability import distributions as tfd

        return tfd.Gumbel(loc, scale)


# Class, valid targets, parameters, and the same in SciPy.
FAMILIES = [
    (
        NormalHead,
        real,
        {"loc": [0.0, -3.0, 120.0], "scale": [1e-3, 1.0, 40.0]},
        lambda p: stats.norm(p["loc"], p["scale"]),
    ),
    (
        StudentTHead,
        real,
        {
            "df": [2.01, 4.0, 300.0],
            "loc": [0.0, -3.0, 120.0],
            "scale": [1e-3, 1.0, 40.0],
        },
        lambda p: stats.t(p["df"], p["loc"], p["scale"]),
    ),
    (
        PoissonHead,
        counts,
        {"log_rate": [-5.0, 1.0, 7.0]},
        lambda p: stats.poisson(np.exp(p["log_rate"])),
    ),
    (
        GumbelHead,
        real,
        {"loc": [0.0, -3.0, 120.0], "scale": [1e-3, 1.0, 40.0]},
        lambda p: stats.gumbel_r(p["loc"], p["scale"]),
    ),
]
EVERY_FAMILY = pytest.mark.parametrize(
    ("family", "targets", "parameters", "reference"),
    FAMILIES,
    ids=[family.__name__ for family, *_ in FAMILIES],
)


@EVERY_FAMILY
def test_contract(family, targets, parameters, reference, tmp_path):
    checks.check_head(family, tmp_path, targets=targets)


def emitted(parameters):
    """What a head with one unit would emit, and the parameters in float64."""
    y_pred = np.stack(list(parameters.values()), axis=-1).astype("float32")
    return y_pred, {
        name: y_pred[:, [i]].astype("float64")
        for i, name in enumerate(parameters)
    }


@EVERY_FAMILY
def test_equals_scipy(family, targets, parameters, reference):
    head = family()
    y_pred, parameters = emitted(parameters)
    reference = reference(parameters)
    y = reference.ppf([[0.03], [0.4], [0.97]]).astype("float32")
    log_density = getattr(reference, "logpmf" if head.discrete else "logpdf")
    close = {"rtol": 2e-5, "atol": 2e-6}
    np.testing.assert_allclose(
        head.log_prob(y, y_pred), log_density(y), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(head.cdf(y, y_pred), reference.cdf(y), **close)
    np.testing.assert_allclose(head.mean(y_pred), reference.mean(), **close)
    np.testing.assert_allclose(
        head.variance(y_pred), reference.var(), rtol=1e-4
    )
    np.testing.assert_allclose(head.stddev(y_pred), reference.std(), rtol=1e-4)


@EVERY_FAMILY
@pytest.mark.parametrize("q", [1e-6, 0.05, 0.5, 0.9, 1 - 1e-6])
def test_quantiles_equal_scipy(family, targets, parameters, reference, q):
    y_pred, parameters = emitted(parameters)
    reference = reference(parameters)
    found = family().quantile(y_pred, q)[0]
    if family.discrete:
        np.testing.assert_array_equal(found, reference.ppf(q))
    else:
        error = np.abs(found - reference.ppf(q)) / reference.std()
        assert (error < 1e-6).all()


@EVERY_FAMILY
def test_mixture_quantiles_solve_the_mean_of_the_cdfs(
    family, targets, parameters, reference
):
    levels = (0.01, 0.3, 0.8, 0.999)
    y_pred, parameters = emitted(parameters)
    reference = reference(parameters)
    # The three rows as the components of one mixture, far apart and unequal.
    found = family().mixture_quantile(y_pred[:, None], levels)
    step = 1.0 if family.discrete else 1e-5 * reference.std().max()
    above = 0.0 if family.discrete else step
    for level, y in zip(levels, np.asarray(found).ravel(), strict=True):
        with np.errstate(over="ignore"):  # SciPy, far below a Gumbel
            assert reference.cdf(y - step).mean() < level
            assert reference.cdf(y + above).mean() >= level


@EVERY_FAMILY
def test_probabilities_of_thresholds(family, targets, parameters, reference):
    y_pred, parameters = emitted(parameters)
    reference = reference(parameters)
    for threshold in (0.0, 2.0, 2.5, 100.0):
        # Of 2 or fewer, P(Y < 2) holds what is at most 1.
        last = np.ceil(threshold) - 1 if family.discrete else threshold
        np.testing.assert_allclose(
            family().prob_below(y_pred, threshold),
            reference.cdf(last),
            rtol=1e-5,
            atol=1e-6,
        )
        np.testing.assert_allclose(
            family().prob_above(y_pred, threshold),
            reference.sf(threshold),
            rtol=1e-5,
            atol=1e-6,
        )


@EVERY_FAMILY
def test_intervals_are_quantiles(family, targets, parameters, reference):
    y_pred, parameters = emitted(parameters)
    lower, upper = family().interval(y_pred, 0.8)
    ends = family().quantile(y_pred, (0.1, 0.9))
    np.testing.assert_allclose([lower, upper], ends, rtol=1e-6)


@EVERY_FAMILY
def test_draws_follow_the_seed_and_the_law(
    family, targets, parameters, reference
):
    y_pred, parameters = emitted(parameters)
    reference = reference(parameters)
    draws = np.asarray(family().sample(y_pred, 4000, seed=3))
    again = np.asarray(family().sample(y_pred, 4000, seed=3))
    other = np.asarray(family().sample(y_pred, 4000, seed=4))
    np.testing.assert_array_equal(draws, again)
    assert (draws != other).any()
    for q in (0.1, 0.5, 0.9):
        y = reference.ppf(q).astype("float32")
        p = reference.cdf(y)
        share = (draws <= y).mean(0)
        assert (
            np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / 4000) + 1e-3
        ).all()


@EVERY_FAMILY
def test_adapt_finds_the_most_likely_constant(
    family, targets, parameters, reference
):
    head, y = family(), targets((2000, 1))
    head.build((None, 3))
    head.adapt(y)
    y_pred = np.asarray(head(np.zeros((1, 3), "float32")), "float64")[0]

    def log_likelihood(y_pred):
        values = dict(zip(head.parameters, y_pred, strict=True))
        law = reference(values)
        log_density = law.logpmf if head.discrete else law.logpdf
        return log_density(y).mean()

    best = -optimize.minimize(
        lambda y_pred: -log_likelihood(y_pred), y_pred, method="Nelder-Mead"
    ).fun
    assert log_likelihood(y_pred) > best - 1e-4


@keras.saving.register_keras_serializable(package="test_heads")
class WeibullHead(DistributionHead):
    parameters = {"concentration": links.positive, "scale": links.positive}
    scales = ("scale",)
    support = (0.0, np.inf)

    def make_distribution(self, concentration, scale):
        from tensorflow_probability import distributions as tfd

        return tfd.Weibull(concentration, scale)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0, 1e6])
def test_adapt_of_a_users_family_at_any_scale(scale):
    y = stats.weibull_min(2.0, scale=scale).rvs((3000, 1), random_state=1)
    head = WeibullHead()
    head.build((None, 3))
    head.adapt(y)
    found = np.asarray(head(np.zeros((1, 3), "float32")), "float64")[0]

    def negative_log_likelihood(values):
        shape, relative = np.exp(values)
        return (
            -stats.weibull_min(shape, scale=scale * relative).logpdf(y).mean()
        )

    best = optimize.minimize(
        negative_log_likelihood, (0.0, 0.0), method="Nelder-Mead"
    )
    np.testing.assert_allclose(found, np.exp(best.x) * [1.0, scale], rtol=1e-2)


def test_support_may_end_above():
    class Negative(WeibullHead):
        support = (-np.inf, 0.0)

    assert Negative().possible_target < 0.0


def test_adapt_of_a_normal_is_mean_and_standard_deviation():
    y = real((500, 2)) * [1.0, 50.0]
    head = NormalHead(units=2)
    head.build((None, 3))
    head.adapt(y)
    y_pred = head(np.zeros((1, 3), "float32"))
    np.testing.assert_allclose(head.mean(y_pred)[0], y.mean(0), rtol=1e-4)
    np.testing.assert_allclose(head.stddev(y_pred)[0], y.std(0), rtol=1e-3)


@pytest.mark.parametrize("raw", [-1e28, -200.0, -1.0, 0.0, 25.0, 200.0, 1e28])
@pytest.mark.parametrize(
    "link", [links.positive, links.log_rate, links.degrees_of_freedom]
)
def test_links_are_finite_and_valid(link, raw):
    value = float(link(np.float32(raw)))
    assert np.isfinite(value)
    if link is links.log_rate:
        assert np.exp(np.float32(value)) < np.inf
    else:
        assert value > (2.0 if link is links.degrees_of_freedom else 0.0)
