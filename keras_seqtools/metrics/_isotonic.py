"""Isotonic regression: the increasing step function nearest to the data."""

import numpy as np

# Below this share of violations a pass over the arrays pools too little.
_FEW = 0.03


def isotonic_fit(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least squares fit of `y` that never falls as `x` rises.

    Arrays of one axis; the weights are positive. Returns the distinct `x`, in
    order, and the fitted value at each, in float64. Items of the same `x` have
    one value, so that their order is of no account.

    Adjacent violators are pooled (Ayer et al., 1955), whole falling runs in
    one pass over the arrays; what few are left, one by one: time is
    O(n log n) on any data.
    """
    order = np.argsort(x)
    x = x[order]
    first = np.flatnonzero(np.append(True, x[1:] != x[:-1])[: len(x)])
    mass = np.add.reduceat(weight[order], first, dtype="float64")
    total = np.add.reduceat((weight * y)[order], first, dtype="float64")
    left = np.arange(len(first))
    while True:
        value = total / mass
        starts = np.flatnonzero(
            np.append(True, value[1:] >= value[:-1])[: len(value)]
        )
        violations = len(value) - len(starts)
        if not violations:
            break
        if violations < _FEW * len(value):
            left, value = _pool_one_by_one(total, mass, left)
            break
        mass = np.add.reduceat(mass, starts)
        total = np.add.reduceat(total, starts)
        left = left[starts]
    return x[first], np.repeat(value, np.diff(left, append=len(first)))


def _pool_one_by_one(
    total: np.ndarray, mass: np.ndarray, left: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The blocks that are left of these: their first indices and values."""
    totals: list[float] = []
    masses: list[float] = []
    lefts: list[int] = []
    values: list[float] = []
    for t, m, start in zip(
        total.tolist(), mass.tolist(), left.tolist(), strict=True
    ):
        value = t / m
        while values and values[-1] > value:
            values.pop()
            t += totals.pop()
            m += masses.pop()
            start = lefts.pop()
            value = t / m
        totals.append(t)
        masses.append(m)
        lefts.append(start)
        values.append(value)
    return np.array(lefts), np.array(values)
