"""Closed forms of the CRPS against its integral, or sum, by SciPy."""

import itertools

import numpy as np
import pytest
from scipy import integrate
from scipy import stats

from keras_seqtools import metrics

TAIL = (1e-14, 1e-11, 1e-8, 1e-5, 1e-3, 0.02, 0.2)
LEVELS = np.array([*TAIL, 0.5, *(1 - p for p in reversed(TAIL))])


def integral(law, y):
    """The definition: of F**2 up to y, and of (1 - F)**2 from there on.

    Over the logarithm of x, where x is positive.
    """
    positive = law.support()[0] == 0.0
    places = np.unique([*law.ppf(LEVELS), y])
    if positive:
        places = np.log(places[places > 0.0])
        y = np.log(y)

    def integrand(place, function):
        if positive:
            return function(np.exp(place)) ** 2 * np.exp(place)
        return function(place) ** 2

    return sum(
        integrate.quad(
            integrand,
            start,
            end,
            (law.cdf if end <= y else law.sf,),
            epsabs=0.0,
            epsrel=1e-10,
        )[0]
        for start, end in itertools.pairwise(places)
    )


def total(cdf, sf, y, last):
    """The definition for counts: one integer after the other."""
    k = np.arange(max(last, y) + 1)
    return np.square(np.where(k < y, cdf(k), sf(k))).sum()


@pytest.mark.parametrize("scale", [1e-7, 1e7])
@pytest.mark.parametrize(
    ("score", "family", "first"),
    [
        (metrics.crps_normal, stats.norm, ()),
        (metrics.crps_laplace, stats.laplace, ()),
        (metrics.crps_logistic, stats.logistic, ()),
        (metrics.crps_student_t, stats.t, (1.3,)),
        (metrics.crps_student_t, stats.t, (2.01,)),
        (metrics.crps_student_t, stats.t, (30.0,)),
        (metrics.crps_student_t, stats.t, (1e6,)),
    ],
)
def test_locations_and_scales(score, family, first, scale):
    loc = 3.0 * scale
    z = np.array([-200.0, -8.0, -1.0, 0.0, 1e-3, 0.7, 5.0, 200.0])
    y = loc + scale * z
    expected = [integral(family(*first, loc, scale), one) for one in y]
    scores = score(y, *first, loc, scale)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


@pytest.mark.parametrize("score", [metrics.crps_normal, metrics.crps_laplace])
def test_nothing_overflows_where_the_score_is_the_distance(score):
    scores = score([1.0, 1e300], [0.0, -1e-300], 1e-300)
    np.testing.assert_array_equal(scores, [1.0, 1e300])


def test_a_student_t_of_many_degrees_of_freedom_is_a_normal():
    y = np.linspace(-5.0, 5.0, 11)
    np.testing.assert_allclose(
        metrics.crps_student_t(y, 1e15, 0.0, 1.0),
        metrics.crps_normal(y, 0.0, 1.0),
        rtol=1e-6,
    )


@pytest.mark.parametrize("scale", [1e-4, 0.3, 1.0, 4.0])
def test_lognormal(scale):
    z = np.array([-6.0, -1.0, 0.0, 0.2, 3.0])
    law, y = stats.lognorm(scale, scale=np.exp(1.0)), np.exp(1.0 + scale * z)
    expected = [integral(law, one) for one in y]
    scores = metrics.crps_lognormal(y, 1.0, scale)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_a_lognormal_whose_mean_overflows_and_whose_score_does_not():
    # E|X - X'| / 2 is nearly the mean, exp(800): so much cancels.
    assert metrics.crps_lognormal([1.0], 0.0, 40.0) < np.exp(405.0)


@pytest.mark.parametrize("concentration", [0.1, 0.5, 1.0, 7.0, 9e3, 2e4, 1e6])
@pytest.mark.parametrize("rate", [1e-6, 3.0])
def test_gamma(concentration, rate):
    law = stats.gamma(concentration, scale=1.0 / rate)
    y = law.ppf([0.01, 0.3, 0.5, 0.9, 0.999])
    y = np.array([*y[y > 0.0], 3.0 * law.mean()])
    expected = [integral(law, one) for one in y]
    scores = metrics.crps_gamma(y, concentration, rate)
    np.testing.assert_allclose(scores, expected, rtol=3e-9)


def test_a_mixture_of_normals_is_not_the_mean_over_its_components():
    logits = np.log([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    loc = np.array([[-9.0, 0.0, 40.0], [0.0, 0.1, 0.3]])
    scale = np.array([[0.01, 1.0, 9.0], [1.0, 0.5, 2.0]])
    y = np.array([1.0, -2.0])
    scores = metrics.crps_normal_mixture(y, logits, loc, scale)
    for i in range(2):
        parts, weights = stats.norm(loc[i], scale[i]), np.exp(logits[i])
        steps = loc[i] + scale[i] * np.linspace(-9, 9, 37)[:, None]
        expected = 0.0
        for start, end in itertools.pairwise(np.unique([*steps.flat, y[i]])):
            side = parts.cdf if end <= y[i] else parts.sf
            expected += integrate.quad(
                lambda x, side=side, w=weights: (w @ side(x)) ** 2, start, end
            )[0]
        np.testing.assert_allclose(scores[i], expected, rtol=1e-9)
        of_parts = metrics.crps_normal(np.full(3, y[i]), loc[i], scale[i])
        assert scores[i] < 0.99 * weights @ of_parts
    one = metrics.crps_normal_mixture(y, [0.0, 0.0], [1.0, 1.0], [2.0, 2.0])
    np.testing.assert_allclose(one, metrics.crps_normal(y, 1.0, 2.0))


COUNTS = np.array([0.0, 1.0, 2.0, 5.0, 30.0])


@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.2, 0.3, 3.0, 50.0, 1e4, 1e6])
def test_poisson(rate):
    law = stats.poisson(rate)
    y = np.array([*COUNTS, *law.ppf([1e-6, 0.3, 0.999])])
    last = int(law.isf(1e-16)) + 9
    expected = [total(law.cdf, law.sf, int(one), last) for one in y]
    scores = metrics.crps_poisson(y, rate)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def negative_binomial(mean, dispersion, last):
    """P(Y <= k) and P(Y > k), by recursion from P(Y = 0).

    SciPy's loses digits where the dispersion is small.
    """
    product, k = dispersion * mean, np.arange(last)
    ratios = (mean + k * product) / ((1.0 + product) * (k + 1.0))
    zero = np.exp(-np.log1p(product) / dispersion)
    p = zero * np.cumprod(np.append(1.0, ratios))
    above = np.append(np.cumsum(p[::-1])[-2::-1], 0.0)
    at_most = np.cumsum(p)
    return at_most.__getitem__, above.__getitem__


@pytest.mark.parametrize("mean", [1e-6, 1e-3, 0.5, 4.0, 60.0])
@pytest.mark.parametrize("dispersion", [1e-6, 1e-3, 0.4, 5.0, 300.0])
def test_negative_binomial(mean, dispersion):
    last = int(50.0 * (1.0 + dispersion * mean) + 10.0 * mean + 30.0)
    functions = negative_binomial(mean, dispersion, last)
    y = np.array([*COUNTS, np.ceil(3.0 * mean)])
    expected = [total(*functions, int(one), last) for one in y]
    scores = metrics.crps_negative_binomial(y, mean, dispersion)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


@pytest.mark.parametrize("dispersion", [1e-6, 3e-5, 1e-2])
def test_negative_binomials_of_large_counts(dispersion):
    mean = 1e5
    law = stats.nbinom(1.0 / dispersion, 1.0 / (1.0 + dispersion * mean))
    y = law.ppf([1e-5, 0.3, 0.5, 0.99])
    last = int(mean + 12.0 * law.std())
    expected = [total(law.cdf, law.sf, int(one), last) for one in y]
    scores = metrics.crps_negative_binomial(y, mean, dispersion)
    np.testing.assert_allclose(scores, expected, rtol=1e-7)


def test_overdispersed_counts_are_gamma_distributed():
    mean, dispersion = 1e9, 20.0
    y = mean * np.array([1e-6, 0.01, 1.0, 30.0]).round(9)
    rate = 1.0 / (dispersion * mean)
    np.testing.assert_allclose(
        metrics.crps_negative_binomial(y, mean, dispersion),
        metrics.crps_gamma(y, 1.0 / dispersion, rate),
        rtol=1e-6,
    )


@pytest.mark.parametrize("rate", [1e-6, 0.5, 1e3, 1e8])
def test_without_dispersion_a_negative_binomial_is_a_poisson(rate):
    y = np.round(rate * np.array([0.0, 0.99, 1.0, 1.001])) + 1.0
    np.testing.assert_allclose(
        metrics.crps_negative_binomial(y, rate, 1e-16 / rate),
        metrics.crps_poisson(y, rate),
        rtol=1e-6,
    )


@pytest.mark.parametrize("zero_prob", [0.0, 1e-3, 0.4, 1.0])
def test_zero_inflated(zero_prob):
    poisson, last = stats.poisson(3.0), 60
    scattered = negative_binomial(3.0, 0.5, last)
    laws = {
        metrics.crps_zero_inflated_poisson: (poisson.cdf, poisson.sf),
        metrics.crps_zero_inflated_negative_binomial: scattered,
    }
    parameters = {
        metrics.crps_zero_inflated_poisson: (3.0,),
        metrics.crps_zero_inflated_negative_binomial: (3.0, 0.5),
    }
    rest = 1.0 - zero_prob
    for score, (cdf, sf) in laws.items():
        expected = [
            total(
                lambda k, cdf=cdf: zero_prob + rest * cdf(k),
                lambda k, sf=sf: rest * sf(k),
                int(one),
                last,
            )
            for one in COUNTS
        ]
        scores = score(COUNTS, zero_prob, *parameters[score])
        np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-15)


ALL = {
    metrics.crps_normal: (0.0, 1.0),
    metrics.crps_laplace: (0.0, 1.0),
    metrics.crps_logistic: (0.0, 1.0),
    metrics.crps_student_t: (3.0, 0.0, 1.0),
    metrics.crps_lognormal: (0.0, 1.0),
    metrics.crps_gamma: (2.0, 1.0),
    metrics.crps_poisson: (2.0,),
    metrics.crps_negative_binomial: (2.0, 0.5),
    metrics.crps_zero_inflated_poisson: (0.1, 2.0),
    metrics.crps_zero_inflated_negative_binomial: (0.1, 2.0, 0.5),
}
every = pytest.mark.parametrize("score", ALL, ids=lambda f: f.__name__)


@every
def test_item_by_item_in_any_shape(score):
    y = np.arange(1, 5001).reshape(50, 50, 2) % 7 + 1
    columns = [np.full(y.shape, value) + 0.01 * (y % 2) for value in ALL[score]]
    scores = score(y, *columns)
    assert scores.shape == y.shape
    assert scores.dtype == "float64"
    assert (scores > 0.0).all()
    for item in [(0, 0, 0), (7, 3, 1), (49, 49, 1)]:
        one = score(
            float(y[item]), *(float(column[item]) for column in columns)
        )
        assert one.shape == ()
        np.testing.assert_allclose(scores[item], one, rtol=1e-13)
    assert score(np.zeros((0, 3)), *ALL[score]).shape == (0, 3)


@every
def test_what_cannot_be_is_nan_and_stays_where_it_is(score):
    y = np.array([1.0, np.nan, 1.0, -1.0, 0.5, np.inf])
    parameters = [np.full(6, value) for value in ALL[score]]
    parameters[-1][2] = np.nan
    bad = [False, True, True, False, False, True]
    if score in (metrics.crps_lognormal, metrics.crps_gamma):
        bad[3] = True
    elif "loc" not in score.__code__.co_varnames:
        bad[3] = bad[4] = True
    np.testing.assert_array_equal(np.isnan(score(y, *parameters)), bad)


@every
@pytest.mark.parametrize("shape", [(4, 1), (1,), (1, 4), (5,)])
def test_refuses_shapes_that_would_broadcast(score, shape):
    for place, value in enumerate(ALL[score]):
        parameters = list(ALL[score])
        parameters[place] = np.full(shape, value)
        name = score.__code__.co_varnames[place + 1]
        with pytest.raises(ValueError, match=rf"`{name}`.*the shape \(4,\)"):
            score(np.ones(4), *parameters)


@every
def test_refuses_parameters_out_of_range(score):
    for place, name in enumerate(score.__code__.co_varnames[1:]):
        if place == len(ALL[score]) or name == "loc":
            break
        parameters = list(ALL[score])
        parameters[place] = -0.1
        with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
            score([1.0], *parameters)
    with pytest.raises(ValueError, match=r"`df`.*above 1"):
        metrics.crps_student_t([1.0], 1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("logits", "loc", "scale", "name"),
    [
        (np.zeros(3), np.zeros(2), np.ones(3), "loc"),
        (np.zeros((4, 2)), np.zeros((4, 2)), np.ones((4, 1)), "scale"),
        (0.0, 0.0, 1.0, "logits"),
        (np.zeros((5, 2)), np.zeros(2), np.ones(2), "logits"),
        (np.zeros(2), np.zeros(2), np.zeros(2), "scale"),
    ],
)
def test_refuses_components_that_do_not_fit(logits, loc, scale, name):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: "):
        metrics.crps_normal_mixture(np.ones(4), logits, loc, scale)
