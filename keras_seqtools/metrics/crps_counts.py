"""The CRPS of counts in closed form, item by item."""

from typing import Any

import numpy as np
from keras import ops

from keras_seqtools.metrics import _crps_counts as forms
from keras_seqtools.metrics._crps_items import score_items


def crps_poisson(y_true: Any, rate: Any) -> np.ndarray:
    """CRPS of Poisson distributions, the ranked probability score.

    Args:
        y_true: Array of the values that came, integers from 0, of any shape.
        rate: Array of the shape of `y_true`, or a number, the means.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN, and so is one whose `y_true` is not an
        integer from 0.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_poisson([0, 3], 3.0).round(4).tolist()
    [2.0439, 0.3881]

    Reference:

    - [Wei & Held, 2014](https://doi.org/10.1007/s11749-014-0380-8)
    """
    return score_items(_poisson, y_true, support="counts", rate=rate)


def crps_negative_binomial(
    y_true: Any, mean: Any, dispersion: Any
) -> np.ndarray:
    """CRPS of negative binomial distributions.

    The variance is `mean + dispersion * mean**2`, as in
    `keras_seqtools.heads.NegativeBinomialHead`; the `total_count`, or size,
    is `1 / dispersion`.

    Args:
        y_true: Array of the values that came, integers from 0, of any shape.
        mean: Array of the shape of `y_true`, or a number, the means.
        dispersion: Array of the shape of `y_true`, or a number, the surplus of
            variance over a Poisson distribution.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN, and so is one whose `y_true` is not an
        integer from 0.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_negative_binomial([0, 3], 3.0, 0.5).round(4).tolist()
    [1.5645, 0.6381]

    Reference:

    - [Wei & Held, 2014](https://doi.org/10.1007/s11749-014-0380-8)
    """
    return score_items(
        _negative_binomial,
        y_true,
        support="counts",
        mean=mean,
        dispersion=dispersion,
    )


def crps_zero_inflated_poisson(
    y_true: Any, zero_prob: Any, rate: Any
) -> np.ndarray:
    """CRPS of Poisson distributions with more zeros.

    Args:
        y_true: Array of the values that came, integers from 0, of any shape.
        zero_prob: Array of the shape of `y_true`, or a number, the
            probabilities of a zero that is certain from the start, in [0, 1].
        rate: Array of the shape of `y_true`, or a number, the means of the
            others.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN, and so is one whose `y_true` is not an
        integer from 0.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> scores = kst.metrics.crps_zero_inflated_poisson([0, 3], 0.5, 3.0)
    >>> scores.round(4).tolist()
    [0.511, 1.1831]

    Reference:

    - [Wei & Held, 2014](https://doi.org/10.1007/s11749-014-0380-8)
    """
    return score_items(
        _zero_inflated_poisson,
        y_true,
        support="counts",
        zero_prob=zero_prob,
        rate=rate,
    )


def crps_zero_inflated_negative_binomial(
    y_true: Any, zero_prob: Any, mean: Any, dispersion: Any
) -> np.ndarray:
    """CRPS of negative binomial distributions with more zeros.

    Args:
        y_true: Array of the values that came, integers from 0, of any shape.
        zero_prob: Array of the shape of `y_true`, or a number, the
            probabilities of a zero that is certain from the start, in [0, 1].
        mean: Array of the shape of `y_true`, or a number, the means of the
            others.
        dispersion: Array of the shape of `y_true`, or a number, their surplus
            of variance over a Poisson distribution.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN, and so is one whose `y_true` is not an
        integer from 0.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_zero_inflated_negative_binomial(
    ...     [0, 3], 0.5, 3.0, 0.5
    ... ).round(4).tolist()
    [0.3911, 1.4279]

    Reference:

    - [Wei & Held, 2014](https://doi.org/10.1007/s11749-014-0380-8)
    """
    return score_items(
        _zero_inflated_negative_binomial,
        y_true,
        support="counts",
        zero_prob=zero_prob,
        mean=mean,
        dispersion=dispersion,
    )


def _poisson(y: Any, rate: Any) -> Any:
    return forms.poisson(y, ops.log(rate))


def _negative_binomial(y: Any, mean: Any, dispersion: Any) -> Any:
    return forms.negative_binomial(y, ops.log(mean), dispersion)


def _zero_inflated_poisson(y: Any, zero_prob: Any, rate: Any) -> Any:
    return forms.zero_inflated_poisson(y, _logit(zero_prob), ops.log(rate))


def _zero_inflated_negative_binomial(
    y: Any, zero_prob: Any, mean: Any, dispersion: Any
) -> Any:
    return forms.zero_inflated_negative_binomial(
        y, _logit(zero_prob), ops.log(mean), dispersion
    )


def _logit(p: Any) -> Any:
    return ops.log(p) - ops.log1p(-p)
