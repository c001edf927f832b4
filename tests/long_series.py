"""Series that say where each of their values stands, and stamps with gaps."""

import numpy as np


def coded(lengths):
    """Series whose values say which series and which step they are."""
    return [1000 * number + np.arange(n) for number, n in enumerate(lengths)]


def random_stamps(length, rng):
    """Time stamps five units apart, and the steps that follow a gap."""
    is_gap = rng.random(length - 1) < 0.1
    steps = np.where(is_gap, rng.choice([1, 10, 400], length - 1), 5)
    return np.cumsum([rng.integers(99), *steps]), 1 + np.flatnonzero(is_gap)
