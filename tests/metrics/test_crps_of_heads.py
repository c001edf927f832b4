"""The CRPS of what heads predict, against laws that know nothing of them."""

import itertools

import families
import keras
import numpy as np
import pytest
from scipy import integrate
from scipy import special

from keras_seqtools import heads
from keras_seqtools import metrics

# Panels between quantiles, close to one another in both tails.
LEVELS = special.expit(np.linspace(-30.0, 30.0, 121))
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


def integral(case, y, y_pred):
    """Of `(F(x) - 1{x >= y})**2`, by many panels."""
    law = case.law(y_pred)
    ends = np.sort([*(law.ppf(level) for level in LEVELS), y], axis=0)
    half, middle = np.diff(ends, axis=0) / 2, (ends[1:] + ends[:-1]) / 2
    x = middle + half * NODES[:, None, None, None]
    side = np.where(middle < y, law.cdf(x), law.sf(x))
    return (np.tensordot(WEIGHTS, side**2, 1) * half).sum(0)


def total(case, y, y_pred):
    law = case.law(y_pred)
    last = max(law.ppf(np.full_like(y, 1 - 1e-13)).max(), y.max())
    x = np.arange(last + 2.0)[:, None, None]
    return (np.where(x < y, law.cdf(x), law.sf(x)) ** 2).sum(0)


def cases(*names, without=()):
    return families.by_name(
        [
            case
            for case in families.CASES
            if (not names or case.name in names) and case.name not in without
        ]
    )


# Of steps far apart, or bends, these panels would see too little.
@cases(without=("NormalMixtureHead", "SplineFlowHead"))
def test_equals_the_definition(case):
    head, y_pred = case.make(), case.emitted().astype("float64")
    if case.name in ("BetaHead", "GammaHead"):
        y_pred = y_pred[1:3]  # not those that are all but at their ends
    law = case.law(y_pred)
    for level in (0.001, 0.4, 0.97):
        y = law.ppf(np.full((len(y_pred), 1), level))
        expected = (total if head.discrete else integral)(case, y, y_pred)
        scores = metrics.crps(y, y_pred, head)
        np.testing.assert_allclose(scores, expected, rtol=2e-7)


@cases("SplineFlowHead")
def test_equals_the_definition_from_knot_to_knot(case):
    head, y_pred = case.make(), case.emitted().astype("float64")
    y = head.quantile(y_pred, 0.4).numpy()[0]
    scores = metrics.crps(y, y_pred, head)
    for i in range(len(y)):
        law = case.law(y_pred[i])
        knots = law.loc + law.scale * np.array([-8, -5, *law.x.flat, 5, 8])
        expected = 0.0
        for start, end in itertools.pairwise(np.unique([*knots, y[i, 0]])):
            side = law.cdf if end <= y[i, 0] else law.sf
            expected += integrate.quad(
                lambda x, side=side: side(np.array([x]))[0] ** 2,
                start,
                end,
                epsabs=0.0,
            )[0]
        np.testing.assert_allclose(scores[i, 0], expected, rtol=1e-7)


class Renamed(heads.NormalMixtureHead):
    """Has no closed form, because it could be anything."""


@cases("NormalHead", "NormalMixtureHead")
def test_integration_sees_the_narrowest_steps(case):
    head = heads.NormalMixtureHead(components=3)
    y_pred = case.emitted()
    if case.name == "NormalHead":
        # The same normal distribution thrice.
        loc, scale = (
            np.repeat(y_pred[:, :1], 3, 1),
            np.repeat(y_pred[:, 1:], 3, 1),
        )
        y_pred = np.concatenate([0 * loc, loc, scale], axis=-1)
    for place in (0.0, 1.0, -3e3, 1e9):
        y = np.full((len(y_pred), 1), place)
        np.testing.assert_allclose(
            metrics.crps(y, y_pred, Renamed(components=3)),
            metrics.crps(y, y_pred, head),
            rtol=1e-7,
        )


def test_a_beta_at_both_ends_is_a_coin():
    p = special.expit(1.0)
    y_pred = np.array([[1.0, 1e-4]])
    score = metrics.crps([[0.25]], y_pred, heads.BetaHead())
    # F is 1 - p from next to 0 up to next to 1.
    expected = 0.25 * (1 - p) ** 2 + 0.75 * p**2
    np.testing.assert_allclose(score, [[expected]], rtol=2e-4)


@pytest.mark.parametrize("head", [heads.NormalHead(2), families.GumbelHead(2)])
def test_units_are_scored_one_by_one(head):
    loc = np.array([[[0.0, 5.0], [1.0, -2.0]]])
    y_pred = np.concatenate([loc, np.abs(loc) + 1.0], axis=-1)
    y = np.array([[[0.3, 9.0], [4.0, -2.0]]])
    scores = metrics.crps(y, y_pred, head)
    assert scores.shape == (1, 2, 2)
    one = type(head)()
    for item in np.ndindex(1, 2):
        for unit in range(2):
            alone = metrics.crps(
                y[item][unit : unit + 1], y_pred[item][unit::2][None], one
            )
            np.testing.assert_allclose(scores[item][unit], alone[0], rtol=1e-7)


def test_units_of_a_joint_distribution_are_scored_one_by_one():
    head = heads.MultivariateNormalHead(2)
    y_pred = np.array([[1.0, 2.0, 3.0, 0.0, 4.0, 3.0]])
    scores = metrics.crps([[0.0, 0.0]], y_pred, head)
    expected = metrics.crps_normal([0.0, 0.0], [1.0, 2.0], [3.0, 5.0])
    np.testing.assert_allclose(scores[0], expected)


def test_shapes_and_rows_of_any_number():
    head = heads.NormalHead()
    y_pred = np.stack([np.linspace(0, 1, 5000), np.ones(5000)], axis=-1)
    y = np.linspace(2, 3, 5000)
    scores = metrics.crps(y, y_pred, head)
    assert scores.shape == (5000,)
    assert scores.dtype == "float64"
    np.testing.assert_allclose(
        scores, metrics.crps_normal(y, *y_pred.T), rtol=1e-13
    )
    assert metrics.crps(y[:, None], y_pred, head).shape == (5000, 1)
    assert metrics.crps(y[:0], y_pred[:0], head).shape == (0,)
    tensor = keras.ops.convert_to_tensor(y_pred.astype("float32"))
    assert metrics.crps(list(y), tensor, head).shape == (5000,)


@pytest.mark.parametrize(
    ("head", "good"),
    [
        (heads.LogNormalHead(), 1.0),
        (families.WeibullHead(), 1.0),
        (heads.PoissonHead(), 2.0),
        (heads.DiscretizedLogisticMixtureHead(0, 5, components=1), 3.0),
        (families.GumbelHead(), 0.0),
    ],
)
def test_what_cannot_be_is_nan_and_stays_where_it_is(head, good):
    row = np.asarray(head.possible_prediction)
    y_pred = np.tile(row, (5, 1))
    y_pred[3] = np.nan
    y = np.array([good, np.nan, np.inf, good, good])
    bad = [False, True, True, True, False]
    np.testing.assert_array_equal(np.isnan(metrics.crps(y, y_pred, head)), bad)
    if head.support[0] == 0.0:
        assert np.isnan(metrics.crps([-1.0], y_pred[:1], head))


def test_refusals():
    y_pred = np.ones((4, 2))
    with pytest.raises(ValueError, match="targets of shape"):
        metrics.crps(np.ones((4, 2)), y_pred, heads.NormalHead())
    with pytest.raises(ValueError, match="emits 3 numbers"):
        metrics.crps(np.ones(4), y_pred, heads.StudentTHead())
    with pytest.raises(ValueError, match="`CategoricalHead` has no"):
        metrics.crps(np.ones(4), y_pred, heads.CategoricalHead(2))
    with pytest.raises(TypeError, match=r"`head`.*Received: head='normal'"):
        metrics.crps(np.ones(4), y_pred, "normal")
    emitted = heads.NormalHead()(np.ones((4, 1), "float32"))
    with pytest.raises(ValueError, match=r"NormalHead.*LaplaceHead"):
        metrics.crps(np.ones(4), emitted, heads.LaplaceHead())
