"""`adapt` starts a head at the marginal distribution of its targets."""

import checks
import families
import keras
import numpy as np
import pytest
from scipy import optimize
from scipy import stats

from keras_seqtools import heads


def adapted(head, y):
    """What the head emits for zeros once it is adapted to `y`."""
    head.build((None, 3))
    head.adapt(y)
    return np.asarray(head(np.zeros((1, 3), "float32")))


@pytest.mark.parametrize(
    "y",
    [
        stats.gamma(0.1).rvs((500, 1), random_state=1) + 1e-20,
        stats.gamma(1e4).rvs((500, 1), random_state=1),
        np.array([[1.0], [2.0], [3.0], [4.0], [1e6]]),
    ],
    ids=["mostly tiny", "hardly spread", "an outlier"],
)
def test_of_a_gamma_is_scipys_fit(y):
    log_mean, concentration = adapted(heads.GammaHead(), y)[0]
    shape, _, scale = stats.gamma.fit(y, floc=0)
    np.testing.assert_allclose(log_mean, np.log(shape * scale), rtol=1e-4)
    np.testing.assert_allclose(concentration, shape, rtol=2e-3)


def test_leaves_a_gradient_to_train_by():
    """Where the most likely constant is at the end of what a head can say."""
    poisson = checks.rng().poisson(5.0, 300)
    for head, y in (
        (heads.PoissonHead(), np.zeros(50)),
        (heads.NegativeBinomialHead(), poisson),
        (heads.ZeroInflatedPoissonHead(), poisson),
        (heads.ZeroInflatedPoissonHead(), np.zeros(50)),
    ):
        adapted(head, y)
        assert (np.abs(head.bias) <= 10.0).all()


# Whose likelihood has one maximum, which SciPy finds.
SMOOTH = families.by_name(
    [
        case
        for case in families.CASES
        if "Mixture" not in case.name and "Spline" not in case.name
    ]
)


@SMOOTH
def test_finds_the_most_likely_constant(case):
    y = case.targets((2000, 1))
    y_pred = adapted(case.make(), y)[0]
    shape = np.shape(y_pred)

    def log_likelihood(y_pred):
        with np.errstate(all="ignore"):  # far from what is possible
            value = case.log_density(y, y_pred.reshape(1, *shape)).mean()
        return value if np.isfinite(value) else -1e9

    best = -optimize.minimize(
        lambda y_pred: -log_likelihood(y_pred), y_pred, method="Nelder-Mead"
    ).fun
    assert log_likelihood(y_pred.astype("float64")) > best - 1e-4


def slow_for_splines(cases):
    return families.by_name(
        [
            pytest.param(case, marks=pytest.mark.slow)
            if case.name == "SplineFlowHead"
            else case
            for case in cases
        ]
    )


@slow_for_splines(
    [
        case
        for case in families.CASES
        if case.name in ("NormalMixtureHead", "SplineFlowHead")
    ]
)
@pytest.mark.parametrize(
    "distribution", ["normal", "two peaks", "skewed", "skewed and large"]
)
def test_flexible_families_fit_no_worse_than_a_normal(case, distribution):
    rng = checks.rng(5)
    y = {
        "normal": rng.normal(100.0, 20.0, (500, 1)),
        "two peaks": rng.normal([[-50.0], [50.0]] * 250, 5.0),
        "skewed": rng.gamma(0.7, 3.0, (500, 1)),
        "skewed and large": rng.gamma(0.7, 3e6, (500, 1)),
    }[distribution]
    found = case.log_density(y, adapted(case.make(), y)).mean()
    normal = stats.norm(y.mean(), y.std()).logpdf(y).mean()
    assert found > normal - 1e-4
    if distribution != "normal":
        assert found > normal + 0.2


def test_bounded_mixture_fits_no_worse_than_rounded_logistic():
    case = next(c for c in families.CASES if c.name.startswith("Discretized"))
    y = case.targets((500, 1))
    found = case.log_density(y, adapted(case.make(), y)).mean()

    def one_logistic(values):
        loc, scale = values[0], np.exp(values[1])
        row = np.array([[0, 0, 0, *[loc] * 3, *[scale] * 3]])
        return -case.log_density(y, row).mean()

    best = optimize.minimize(one_logistic, (7.0, 0.5), method="Nelder-Mead")
    assert found > -best.fun - 1e-4


# Those that say which parameters a rescaling touches. A flow has too many
# local optima for the same one to be found every time.
RESCALED = families.by_name(
    [
        case
        for case in families.CASES
        if not case.make().discrete
        and case.name != "SplineFlowHead"
        and (case.make().scales or case.make().locations)
    ]
)


@RESCALED
@pytest.mark.slow
def test_fits_targets_of_any_scale_alike(case):
    """The likelihood changes by the logarithm of the scale, no more."""
    y = case.targets((300, 1))
    y = y / y.std()

    def log_likelihood(scale):
        y_pred = adapted(case.make(), scale * y)
        return case.log_density(scale * y, y_pred).mean() + np.log(scale)

    usual = log_likelihood(1.0)
    for scale in (1e-3, 1e3, 1e6):
        assert abs(log_likelihood(scale) - usual) < 1e-3


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0, 1e6])
def test_of_a_users_family_at_any_scale(scale):
    y = stats.weibull_min(2.0, scale=scale).rvs((3000, 1), random_state=1)
    found = adapted(families.WeibullHead(), y)[0].astype("float64")

    def negative_log_likelihood(values):
        shape, relative = np.exp(values)
        return (
            -stats.weibull_min(shape, scale=scale * relative).logpdf(y).mean()
        )

    best = optimize.minimize(
        negative_log_likelihood, (0.0, 0.0), method="Nelder-Mead"
    )
    np.testing.assert_allclose(found, np.exp(best.x) * [1.0, scale], rtol=1e-2)


def test_of_a_normal_is_mean_and_standard_deviation():
    y = families.real((500, 2)) * [1.0, 50.0]
    head = heads.NormalHead(units=2)
    y_pred = adapted(head, y)
    np.testing.assert_allclose(head.mean(y_pred)[0], y.mean(0), rtol=1e-4)
    np.testing.assert_allclose(head.stddev(y_pred)[0], y.std(0), rtol=1e-3)


def test_with_an_exposure_is_events_over_exposure():
    rng = checks.rng()
    exposure = rng.gamma(1.0, 1e4, (3000, 2))
    y = rng.poisson([1e-3, 0.2] * exposure)
    head = heads.PoissonHead(units=2, exposure=True)
    head.build([(None, 3), (None, 2)])
    head.adapt(y, exposure=exposure)
    log_rate = head([np.zeros((1, 3)), np.ones((1, 2))])[0]
    np.testing.assert_allclose(
        log_rate, np.log(y.sum(0) / exposure.sum(0)), atol=1e-4
    )


def test_is_saved_with_the_model(tmp_path):
    model = keras.Sequential([keras.Input((3,)), heads.GammaHead()])
    model.layers[-1].adapt(families.positive((200, 1)))
    loaded = checks.save_and_load(model, tmp_path)
    zeros = np.zeros((1, 3), "float32")
    np.testing.assert_array_equal(loaded(zeros), model(zeros))
