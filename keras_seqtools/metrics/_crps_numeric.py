"""The CRPS of any head that has a cdf: the integral of `(F(x) - 1{x >= y})**2`.

Not of pinball losses over levels: quantiles have to be searched, and run away
at both ends, where this integrand vanishes.
"""

from typing import Any

import numpy as np

from keras_seqtools.heads import DistributionHead

# What lies beyond the quantiles at the ends is below any digit that counts:
# its probability enters squared.
_TAIL = (1e-9, 1e-6, 1e-3, 0.05, 0.25)
_LEVELS = (*_TAIL, 0.5, *(1.0 - p for p in reversed(_TAIL)))
# How far two rules may differ on a panel, as a share of the score.
_TOLERANCE = 1e-8
_MAX_HALVINGS = 60
# Integers that are added up at a time.
_INTEGERS = 256


def _clenshaw_curtis(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Places from -1 to 1 and weights of the rule with `n + 1` of them."""
    places, order = np.cos(np.pi * np.arange(n + 1) / n), np.arange(0, n + 1, 2)
    integrals = np.zeros(n + 1)
    integrals[order] = 2.0 / (1.0 - order**2)
    vander = np.polynomial.chebyshev.chebvander(places, n)
    return places, np.linalg.solve(vander.T, integrals)


# The second of them has all places of the first. Both have the ends, next to
# which a step would not be seen otherwise.
_COARSE = _clenshaw_curtis(8)[1]
_PLACES, _FINE = _clenshaw_curtis(16)


def crps_of_cdf(
    y: np.ndarray, y_pred: np.ndarray, head: DistributionHead
) -> np.ndarray:
    """The score of `y`, `(rows, units)`, inside the support; float64."""
    quantiles = np.asarray(head.quantile(y_pred, _LEVELS))
    inside = np.clip(y, quantiles[0], quantiles[-1])
    score = _add_up if head.discrete else _integrate
    return np.abs(y - inside) + score(inside, y_pred, head, quantiles)


def _add_up(
    y: np.ndarray, y_pred: np.ndarray, head: DistributionHead, quantiles: Any
) -> np.ndarray:
    first, last = quantiles[0], quantiles[-1]
    steps = np.arange(_INTEGERS)[:, None, None]
    score = np.zeros_like(y)
    while (first <= last).any():
        x = first + steps
        gap = _cdf(x, y_pred, head) - (x >= y)
        score += np.where(x <= last, np.square(gap), 0.0).sum(axis=0)
        first = first + _INTEGERS
    return score + 0.0 * last  # NaN where the quantiles are


def _integrate(
    y: np.ndarray, y_pred: np.ndarray, head: DistributionHead, quantiles: Any
) -> np.ndarray:
    """Over panels between quantiles and `y`, halved until two rules agree."""
    edges = np.sort(np.concatenate([quantiles, y[None]]), axis=0)
    rows = np.tile(np.arange(len(y)), len(edges) - 1)
    lower, upper = (
        ends.reshape(-1, y.shape[-1]) for ends in (edges[:-1], edges[1:])
    )
    score = np.zeros_like(y)
    for _ in range(_MAX_HALVINGS):
        half, middle = (upper - lower) / 2.0, (upper + lower) / 2.0
        x = middle + half * _PLACES[:, None, None]
        gap = _cdf(x, y_pred[rows], head) - (middle >= y[rows])
        square = np.square(gap)
        fine = half * np.tensordot(_FINE, square, 1)
        coarse = half * np.tensordot(_COARSE, square[::2], 1)
        size = score.copy()
        np.add.at(size, rows, fine)
        error = np.abs(fine - coarse)
        is_done = ~(error > _TOLERANCE * size[rows]).any(axis=-1)
        np.add.at(score, rows[is_done], fine[is_done])
        if is_done.all():
            break
        rows, lower, middle, upper = (
            values[~is_done] for values in (rows, lower, middle, upper)
        )
        rows = np.tile(rows, 2)
        lower = np.concatenate([lower, middle])
        upper = np.concatenate([middle, upper])
    return score


def _cdf(x: np.ndarray, y_pred: np.ndarray, head: DistributionHead) -> Any:
    y_pred = np.broadcast_to(y_pred, (len(x), *y_pred.shape))
    return np.asarray(head.cdf(x, y_pred))
