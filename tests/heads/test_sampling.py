"""Draws of every family follow its law, and their seed."""

import families
import numpy as np
import pytest
from scipy import stats

import keras_seqtools as kst

DRAWS = 20_000
LEVELS = np.array([0.001, 0.01, *np.linspace(0.05, 0.95, 19), 0.99, 0.999])
LEVELS = LEVELS.reshape(-1, 1, 1)


def check_follows(draws, cdf, edges):
    """A chi-square test of draws, in bins between these edges."""
    p = np.diff(cdf(edges.astype("float64")), prepend=0.0, append=1.0)
    at_most = [(draws <= edge).mean() for edge in edges]
    seen = np.diff(at_most, prepend=0.0, append=1.0)
    is_rare = p * len(draws) < 5.0
    p = np.append(p[~is_rare], p[is_rare].sum())
    seen = np.append(seen[~is_rare], seen[is_rare].sum())
    assert abs(seen[p == 0.0]).sum() == 0.0
    p, seen = p[p > 0.0] * len(draws), seen[p > 0.0] * len(draws)
    if len(p) > 1:
        assert stats.chisquare(seen, p * seen.sum() / p.sum()).pvalue > 1e-4


@families.EVERY_LAW
def test_draws_follow_the_law(case):
    y_pred = case.emitted()
    draws = np.asarray(case.make().sample(y_pred, DRAWS, seed=3))
    assert draws.shape == (DRAWS, len(y_pred), 1)
    lowest, highest = case.make().support
    assert ((draws >= lowest) & (draws <= highest)).all()
    for i, row in enumerate(y_pred):
        law = case.law(row[None])
        edges = np.ravel(law.ppf(LEVELS)).astype("float32")
        if not case.make().discrete and lowest == 0.0:
            edges = np.maximum(edges, 1e-30)  # float32 knows few below
        check_follows(
            draws[:, i, 0],
            lambda y, law=law: np.ravel(law.cdf(y[:, None, None])),
            np.unique(edges),
        )


@families.EVERY_FAMILY
def test_draws_follow_the_seed(case):
    head, y_pred = case.make(), case.emitted()
    draws = head.sample(y_pred, 200, seed=3)
    np.testing.assert_array_equal(draws, head.sample(y_pred, 200, seed=3))
    assert (
        np.asarray(draws) != np.asarray(head.sample(y_pred, 200, seed=4))
    ).any()


@families.EVERY_FAMILY
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_drawn_from(case, bad):
    head = case.make()
    y_pred = np.tile(case.emitted()[:1], (3, 1))
    y_pred[1] = bad
    draws = np.asarray(head.sample(y_pred, 2, seed=3))
    is_nan = np.isnan(draws).any(axis=-1)
    assert not is_nan[:, [0, 2]].any()
    if np.isnan(bad):
        assert is_nan[:, 1].all()
    else:  # a normal distribution about infinity is there
        assert (is_nan | np.isinf(draws).any(-1))[:, 1].all()


@pytest.mark.parametrize("mean", [1e3, 1e9, 1e30])
@pytest.mark.parametrize("dispersion", [1e-4, 0.5])
def test_counts_of_any_size(mean, dispersion):
    # Where TFP's own draws are infinite, or never come.
    head = kst.heads.NegativeBinomialHead()
    y_pred = np.array([[np.log(mean), dispersion]], "float32")
    draws = np.asarray(head.sample(y_pred, DRAWS, seed=3), "float64")[:, 0, 0]
    # So many that the law of the counts is that of their rate.
    law = stats.gamma(1.0 / dispersion, scale=mean * dispersion)
    if mean < 1e4:
        shape = 1.0 / dispersion
        law = stats.nbinom(shape, shape / (shape + mean))
    edges = np.unique(law.ppf(np.linspace(0.05, 0.95, 19)))
    check_follows(draws, law.cdf, edges)


def test_one_draw_without_an_axis():
    head = kst.heads.NormalHead()
    y_pred = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    one = head.sample(y_pred, (), seed=3)
    assert one.shape == (2, 1)
    np.testing.assert_array_equal(one, head.sample(y_pred, (), seed=3))
