"""Draws of every family follow its law, and their seed."""

import families
import numpy as np
from scipy import stats

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
