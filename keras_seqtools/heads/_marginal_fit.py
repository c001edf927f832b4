"""The maximum-likelihood fit of a few numbers, by TFP's L-BFGS."""

from collections.abc import Callable
from typing import Any

import numpy as np


def minimize(loss: Callable[[Any], Any], starts: list[Any]) -> Any:
    """The place of the lowest `loss` found, or None if it is never finite.

    Args:
        loss: Function from a vector to a scalar, of differentiable operations.
        starts: Vectors to start from; one alone may end in a bad place.
    """
    # Neither is needed to train or to load a model.
    import tensorflow as tf
    import tensorflow_probability as tfp

    @tf.function  # one step of eager operations takes as long as ten of these
    def loss_and_gradient(place: Any) -> Any:
        return tfp.math.value_and_gradient(loss, place)

    fits = [
        tfp.optimizer.lbfgs_minimize(
            loss_and_gradient,
            initial_position=tf.constant(start, tf.float32),
            tolerance=1e-5,
            max_iterations=200,
        )
        for start in starts
    ]
    fits = [fit for fit in fits if np.isfinite(fit.objective_value)]
    if not fits:
        return None
    return min(fits, key=lambda fit: float(fit.objective_value)).position
