"""The continuous ranked probability score of forecasts given as samples."""

from typing import Any

import numpy as np

# Numbers sorted at a time: they and their copies stay in a few megabytes.
_CHUNK = 2**17


def crps_samples(y_true: Any, samples: Any, *, fair: bool = True) -> np.ndarray:
    """Continuous ranked probability score of samples, item by item.

    `E|X - y| - E|X - X'| / 2` for independent draws `X`, `X'` of the
    forecast: 0 is perfect, and a single sample scores its absolute error.

    The default is the fair estimator, which averages `|X - X'|` over pairs of
    different samples: its expectation does not depend on the number of
    samples, so that 20 passes can be compared with 100. `fair=False` scores
    the samples as if they were the whole forecast, and favours those who have
    many.

    Nothing is broadcast, and no matrix of pairs is formed.

    Args:
        y_true: Array of the values that came, of any shape.
        samples: Array of shape `(num_samples, *y_true.shape)`.
        fair: Boolean, whether the estimator is unbiased. It needs two samples
            or more. Defaults to `True`.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item with a NaN or an infinity in its samples or its `y_true` is NaN.

    Raises:
        ValueError: If the shapes do not fit, or the samples are too few.

    Example:

    >>> kst.metrics.crps_samples([1.0, 1.0], [[0.0, 1.0], [2.0, 2.0]]).tolist()
    [0.0, 0.0]
    >>> kst.metrics.crps_samples(
    ...     [1.0, 1.0], [[0.0, 1.0], [2.0, 2.0]], fair=False
    ... ).tolist()
    [0.5, 0.25]

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    - [Ferro, 2014](https://doi.org/10.1002/qj.2270)
    """
    y_true, samples = np.asarray(y_true), np.asarray(samples)
    if samples.ndim != y_true.ndim + 1 or samples.shape[1:] != y_true.shape:
        raise ValueError(
            "`samples` must have the shape of `y_true` behind an axis of "
            f"samples. Expected the shape (num_samples, *{y_true.shape}). "
            f"Received: samples of shape {samples.shape}"
        )
    size = len(samples)
    if size < 1 + fair:
        raise ValueError(
            f"`crps_samples(fair={fair})` needs at least {1 + fair} samples. "
            f"Received: {size}"
        )
    # Sum of |X - X'| over the pairs, from the order of the samples.
    weights = np.arange(1.0 - size, size, 2.0) / (size * (size - fair))
    flat, y = samples.reshape(size, -1), y_true.reshape(-1)
    scores = np.empty(y.size)
    step = max(1, _CHUNK // size)
    for start in range(0, y.size, step):
        items = slice(start, start + step)
        # The error first: far from zero the two sums would cancel.
        error = np.subtract(flat[:, items].T, y[items, None], dtype="float64")
        error.sort()
        with np.errstate(invalid="ignore"):  # an infinite sample gives NaN
            scores[items] = np.abs(error).mean(axis=1) - error @ weights
    return scores.reshape(y_true.shape)
