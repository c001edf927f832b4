"""The continuous ranked probability score, of samples and of heads."""

from typing import Any

import numpy as np
from keras import ops

from keras_seqtools.heads import DistributionHead
from keras_seqtools.metrics._crps_closed_forms import closed_form
from keras_seqtools.metrics._crps_numeric import crps_of_cdf
from keras_seqtools.metrics._head_items import head_items
from keras_seqtools.metrics._numbers import numbers

# Numbers sorted at a time: they and their copies stay in a few megabytes.
_CHUNK = 2**17
# Rows at a time, of what a head predicts.
_ROWS = 2048


def crps(y_true: Any, y_pred: Any, head: DistributionHead) -> np.ndarray:
    """CRPS of what a head predicts, item by item and unit by unit.

    In closed form for the families that have one: normal, Student t, Laplace,
    log-normal, gamma, mixtures of normals, Poisson, negative binomial, and the
    zero-inflated ones. For any other that has a cdf `F` it is the integral of
    `(F(x) - 1{x >= y})**2`, right to about eight digits, or for integers the
    sum; that takes some hundred values of the cdf for every item.

    Of a head with a joint distribution of its units it scores each on its
    own; `energy_score` scores draws of them together.

    Args:
        y_true: Array of targets, of shape `(..., units)`; with one unit the
            last axis may be missing.
        y_pred: Array of the parameters that the head emits, such as
            `Model.predict` returns.
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. NaN
        for a NaN, and for a target outside of the support.

    Raises:
        ValueError: If the shapes do not fit, or the family has no cdf.

    Example:

    >>> head = kst.heads.NormalHead()
    >>> y_pred = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")  # loc, scale
    >>> kst.metrics.crps([[0.0], [3.0]], y_pred, head).round(3).tolist()
    [[0.234], [2.437]]

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    """
    y, y_pred = head_items(y_true, y_pred, head)
    form = closed_form(head)
    is_possible = np.asarray(head._is_possible(ops.convert_to_tensor(y)))
    inside = np.where(is_possible, y, head.possible_target)
    scores = np.empty(y.shape)
    for start in range(0, len(y), _ROWS):
        rows = slice(start, start + _ROWS)
        scores[rows] = (
            crps_of_cdf(inside[rows], y_pred[rows], head)
            if form is None
            else form(*map(ops.convert_to_tensor, (inside[rows], y_pred[rows])))
        )
    scores = np.where(is_possible, scores, np.nan)
    return scores.reshape(np.shape(y_true))


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
    y_true, samples = numbers("y_true", y_true), numbers("samples", samples)
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
        error = np.subtract(
            flat[:, items].T, y[items, None], dtype="float64", order="C"
        )
        error.sort()
        with np.errstate(invalid="ignore"):  # an infinite sample gives NaN
            spread = error @ weights
            np.abs(error, out=error)
            scores[items] = error.mean(axis=1) - spread
    return scores.reshape(y_true.shape)
