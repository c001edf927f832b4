"""The CRPS of vectors."""

from typing import Any

import numpy as np

from keras_seqtools.metrics._numbers import numbers

# Numbers held at a time: a few megabytes.
_CHUNK = 2**17


def energy_score(y_true: Any, samples: Any, *, fair: bool = True) -> np.ndarray:
    """Energy score of samples of vectors, item by item.

    `E|X - y| - E|X - X'| / 2` with Euclidean distances, for independent draws
    `X`, `X'` of the forecast: of vectors of one number it is `crps_samples`.
    It rewards what the scores of each number alone do not see, right
    dependence between them, if faintly. Numbers of different units should be
    scaled first: the largest decide.

    The default is the fair estimator, which averages `|X - X'|` over pairs of
    different samples: its expectation does not depend on the number of
    samples. `fair=False` scores the samples as if they were the whole
    forecast.

    Nothing is broadcast. Time grows with the square of the number of samples,
    memory does not.

    Args:
        y_true: Array of vectors that came, of shape `(..., size)`.
        samples: Array of shape `(num_samples, ..., size)`.
        fair: Boolean, whether the estimator is unbiased. It needs two samples
            or more. Defaults to `True`.

    Returns:
        Array of the shape of `y_true` without its last axis, float64. An item
        with a NaN or an infinity is NaN.

    Raises:
        ValueError: If the shapes do not fit, or the samples are too few.

    Example:

    >>> samples = [[0.0, 0.0], [6.0, 8.0]]
    >>> float(kst.metrics.energy_score([3.0, 4.0], samples))
    0.0
    >>> float(kst.metrics.energy_score([3.0, 4.0], samples, fair=False))
    2.5

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    """
    y_true = numbers("y_true", y_true, "float64")
    samples = numbers("samples", samples, "float64")
    if (
        y_true.ndim == 0
        or not y_true.shape[-1]
        or samples.shape[1:] != y_true.shape
    ):
        raise ValueError(
            "`samples` must have the shape of `y_true`, vectors on the last "
            "axis, behind an axis of samples. Expected the shape "
            f"(num_samples, *{y_true.shape}). "
            f"Received: samples of shape {samples.shape}"
        )
    num_samples, size = len(samples), y_true.shape[-1]
    if num_samples < 1 + fair:
        raise ValueError(
            f"`energy_score(fair={fair})` needs at least {1 + fair} samples. "
            f"Received: {num_samples}"
        )
    items = y_true[..., 0].shape
    y = y_true.reshape(-1, size)
    x = samples.reshape(num_samples, -1, size)
    scores = np.empty(len(y))
    step = max(1, _CHUNK // (num_samples * size))
    for start in range(0, len(y), step):
        rows = slice(start, start + step)
        with np.errstate(invalid="ignore"):  # an infinite sample gives NaN
            error = x[:, rows] - y[rows]
            pairs = sum(
                np.linalg.norm(error[lag:] - error[:-lag], axis=-1).sum(axis=0)
                for lag in range(1, num_samples)
            )
            scores[rows] = np.linalg.norm(error, axis=-1).mean(
                axis=0
            ) - pairs / (num_samples * (num_samples - fair))
    return scores.reshape(items)
