"""Maximum likelihood of maps of logits that are linear in their parameters.

The objective is convex. Newton's method finds its minimum, with each step by
conjugate gradients, so that no Hessian of all the parameters is formed.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_seqtools.metrics._scores import to_probabilities

# Draws every parameter to where it starts, so little that it is felt only
# where the data leave it free: classes that did not come, separable ones. It
# is a share of the largest curvature, so that the units do not matter.
_RIDGE = 1e-8
_MAX_STEPS = 100
# In nats an item. Newton's step after one of this gain would gain far less.
_TOLERANCE = 1e-10

# Of so many parameters the Hessian is formed where nothing else helps.
_MOST_FORMED = 600

# Features, targets `(items, classes)` that add up to 1, and weights.
Chunk = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """Logits from features and parameters.

    Attributes:
        chunks: Function that gives all the data, some at a time.
        forward: Function of features and parameters, to logits
            `(items, classes)`.
        adjoint: Function of features and what has the shape of logits, to
            what has the shape of the parameters.
    """

    chunks: Callable[[], Iterator[Chunk]]
    forward: Callable[[np.ndarray, np.ndarray], np.ndarray]
    adjoint: Callable[[np.ndarray, np.ndarray], np.ndarray]


def maximise_likelihood(
    linear: LinearMap, start: np.ndarray, penalty: Any = 0.0
) -> tuple[np.ndarray, float]:
    """The parameters of least mean cross-entropy, and that minimum.

    Added to it is `sum(penalty * (parameters - start)**2) / 2`: what comes out
    is never worse than the start.

    Raises:
        RuntimeError: If it does not converge.
    """
    _, _, curvature = _Objective(linear, start, penalty).at(0.0 * start)
    curvature = np.where(curvature > 0.0, curvature, 1.0)
    objective = _Objective(linear, start, penalty + _RIDGE * curvature)
    theta, found = start, objective.at(start)
    # Smaller logits first: where they are far too large nothing curves.
    while (closer := objective.at(theta / 4.0))[0] < found[0]:
        theta, found = theta / 4.0, closer
    for _ in range(_MAX_STEPS):
        value, gradient, diagonal = found
        step = _solve(objective.curvature(theta), gradient, diagonal)
        gain = -(gradient * step).sum() / 2.0
        if abs(gain) < _TOLERANCE:
            return theta + step, value
        while (found := objective.at(theta + step))[0] > value - 1e-4 * gain:
            step, gain = step / 2.0, gain / 2.0
        theta = theta + step
    raise RuntimeError(
        f"The fit has not converged after {_MAX_STEPS} steps of Newton's "
        f"method: the last was to gain {gain:.2g} nats an item."
    )


@dataclasses.dataclass(frozen=True)
class _Objective:
    linear: LinearMap
    start: np.ndarray
    penalty: Any

    def at(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient and diagonal of the Hessian."""
        value = total = 0.0
        gradient, diagonal = np.zeros_like(theta), np.zeros_like(theta)
        for features, targets, weight in self.linear.chunks():
            logits = self.linear.forward(features, theta)
            logits -= logits.max(axis=-1, keepdims=True)
            p = np.exp(logits)
            odds = p.sum(axis=-1, keepdims=True)
            p /= odds
            cross = np.log(odds[:, 0]) - (targets * logits).sum(axis=-1)
            value += weight @ cross
            total += weight.sum()
            w = weight[:, None]
            gradient += self.linear.adjoint(features, w * (p - targets))
            diagonal += self.linear.adjoint(features**2, w * p * (1.0 - p))
        away = theta - self.start
        return (
            float(value / total + (self.penalty * away**2).sum() / 2.0),
            gradient / total + self.penalty * away,
            diagonal / total + self.penalty,
        )

    def curvature(
        self, theta: np.ndarray
    ) -> Callable[[np.ndarray], np.ndarray]:
        """The Hessian, as a function that multiplies by it."""

        def product(vector: np.ndarray) -> np.ndarray:
            found, total = np.zeros_like(theta), 0.0
            for features, _, weight in self.linear.chunks():
                p = to_probabilities(self.linear.forward(features, theta), np)
                change = self.linear.forward(features, vector)
                change -= (p * change).sum(axis=-1, keepdims=True)
                change *= p * weight[:, None]
                found += self.linear.adjoint(features, change)
                total += weight.sum()
            return found / total + self.penalty * vector

        return product


def _solve(
    product: Callable[[np.ndarray], np.ndarray],
    gradient: np.ndarray,
    diagonal: np.ndarray,
) -> np.ndarray:
    """Newton's step, the more exact the nearer the minimum is."""
    step, residual = np.zeros_like(gradient), -gradient
    scaled = residual / diagonal
    direction, size = scaled, (residual * scaled).sum()
    enough = size * min(0.01, size)
    for _ in range(gradient.size + 10):
        if size <= enough:
            return step
        image = product(direction)
        length = size / (direction * image).sum()
        step = step + length * direction
        residual = residual - length * image
        scaled = residual / diagonal
        size, before = (residual * scaled).sum(), size
        direction = scaled + size / before * direction
    if gradient.size > _MOST_FORMED:
        return step
    # Rounding defeats conjugate directions where features nearly depend on
    # each other, as those of probabilities 0 and 1 do.
    units = np.eye(gradient.size).reshape(-1, *gradient.shape)
    hessian = np.array([product(unit).ravel() for unit in units])
    root = np.sqrt(diagonal.ravel())
    hessian = hessian / root / root[:, None]
    step = -np.linalg.solve(hessian, gradient.ravel() / root) / root
    return step.reshape(gradient.shape)
