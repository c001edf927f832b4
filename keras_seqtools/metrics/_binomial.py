"""What counts of independent events say of their probability."""

from typing import Any

import numpy as np
import tensorflow as tf


def binomial_cdf(count: Any, size: Any, p: Any) -> np.ndarray:
    """P(X <= count) for `size` independent events of probability `p`."""
    count, size, p = np.broadcast_arrays(
        *(np.asarray(value, "float64") for value in (count, size, p))
    )
    inside = (count >= 0.0) & (count < size)
    a = np.where(inside, count + 1.0, 1.0)
    b = np.where(inside, size - count, 1.0)
    beyond = tf.math.betainc(a, b, p).numpy()
    return np.where(inside, 1.0 - beyond, count >= 0.0)


def clopper_pearson(
    count: Any, size: Any, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the exact interval for a probability, from `count` of `size`.

    It covers at least `level`, whatever the probability (Clopper & Pearson,
    1934). Shorter ones, such as Wilson's, cover less for rare events.
    """
    count, size = np.broadcast_arrays(count, size)
    tail = (1.0 - level) / 2.0
    # By bisection: at the lower end `count` or more come with probability
    # `tail`, at the upper end `count` or less.
    counts = np.stack([count - 1, count])
    cdf = np.reshape([1.0 - tail, tail], (2,) + (1,) * count.ndim)
    low, high = np.zeros(counts.shape), np.ones(counts.shape)
    for _ in range(60):
        middle = (low + high) / 2.0
        is_beyond = binomial_cdf(counts, size, middle) < cdf
        low = np.where(is_beyond, low, middle)
        high = np.where(is_beyond, middle, high)
    return low[0], high[1]
