"""The CRPS of continuous distributions in closed form, item by item."""

from typing import Any

import numpy as np

from keras_seqtools.metrics import _crps_continuous as forms
from keras_seqtools.metrics._crps_items import score_items


def crps_normal(y_true: Any, loc: Any, scale: Any) -> np.ndarray:
    """CRPS of normal distributions.

    0.234 of the scale at the mean; far from it the distance, less 0.564 of
    the scale.

    Args:
        y_true: Array of the values that came, of any shape.
        loc: Array of the shape of `y_true`, or a number, the means.
        scale: Array of the shape of `y_true`, or a number, the standard
            deviations.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_normal([0.0, 3.0], 0.0, 1.0).round(3).tolist()
    [0.234, 2.437]

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    """
    return score_items(forms.normal, y_true, loc=loc, scale=scale)


def crps_laplace(y_true: Any, loc: Any, scale: Any) -> np.ndarray:
    """CRPS of Laplace distributions.

    Args:
        y_true: Array of the values that came, of any shape.
        loc: Array of the shape of `y_true`, or a number, the medians.
        scale: Array of the shape of `y_true`, or a number, the mean absolute
            deviations from them.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_laplace([0.0], 0.0, 1.0).tolist()
    [0.25]

    Reference:

    - [Jordan, Krueger & Lerch, 2019](https://doi.org/10.18637/jss.v090.i12)
    """
    return score_items(forms.laplace, y_true, loc=loc, scale=scale)


def crps_logistic(y_true: Any, loc: Any, scale: Any) -> np.ndarray:
    """CRPS of logistic distributions.

    Args:
        y_true: Array of the values that came, of any shape.
        loc: Array of the shape of `y_true`, or a number, the means.
        scale: Array of the shape of `y_true`, or a number, the scales.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_logistic([0.0], 0.0, 1.0).round(4).tolist()
    [0.3863]

    Reference:

    - [Jordan, Krueger & Lerch, 2019](https://doi.org/10.18637/jss.v090.i12)
    """
    return score_items(forms.logistic, y_true, loc=loc, scale=scale)


def crps_student_t(y_true: Any, df: Any, loc: Any, scale: Any) -> np.ndarray:
    """CRPS of Student t distributions.

    Args:
        y_true: Array of the values that came, of any shape.
        df: Array of the shape of `y_true`, or a number, the degrees of freedom,
            above 1.
        loc: Array of the shape of `y_true`, or a number, the locations.
        scale: Array of the shape of `y_true`, or a number, the scales: not the
            standard deviations, which are larger.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_student_t([0.0], 3.0, 0.0, 1.0).round(4).tolist()
    [0.2757]

    Reference:

    - [Jordan, Krueger & Lerch, 2019](https://doi.org/10.18637/jss.v090.i12)
    """
    return score_items(forms.student_t, y_true, df=df, loc=loc, scale=scale)


def crps_lognormal(y_true: Any, loc: Any, scale: Any) -> np.ndarray:
    """CRPS of log-normal distributions.

    Args:
        y_true: Array of the values that came, above 0, of any shape.
        loc: Array of the shape of `y_true`, or a number, the means of `log(y)`.
        scale: Array of the shape of `y_true`, or a number, the standard
            deviations of `log(y)`.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN, and so is one whose `y_true` is not above
        0.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_lognormal([1.0], 0.0, 1.0).round(4).tolist()
    [0.2674]

    Reference:

    - [Jordan, Krueger & Lerch, 2019](https://doi.org/10.18637/jss.v090.i12)
    """
    return score_items(
        forms.lognormal, y_true, support="positive", loc=loc, scale=scale
    )


def crps_gamma(y_true: Any, concentration: Any, rate: Any) -> np.ndarray:
    """CRPS of gamma distributions.

    Args:
        y_true: Array of the values that came, above 0, of any shape.
        concentration: Array of the shape of `y_true`, or a number, the shapes.
        rate: Array of the shape of `y_true`, or a number, the inverse scales:
            the mean is `concentration / rate`.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN, and so is one whose `y_true` is not above
        0.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_gamma([2.0], 4.0, 2.0).round(4).tolist()
    [0.2346]

    Reference:

    - [Jordan, Krueger & Lerch, 2019](https://doi.org/10.18637/jss.v090.i12)
    """
    return score_items(
        forms.gamma,
        y_true,
        support="positive",
        concentration=concentration,
        rate=rate,
    )


def crps_normal_mixture(
    y_true: Any, logits: Any, loc: Any, scale: Any
) -> np.ndarray:
    """CRPS of mixtures of normal distributions.

    It is that of the mixture: the mean of the scores of its components would
    be larger.

    Args:
        y_true: Array of the values that came, of any shape.
        logits: Array of the shape `(*y_true.shape, components)` or
            `(components,)`. Their softmax are the weights: the logarithms of
            weights do as well.
        loc: Array of such a shape, the means of the components.
        scale: Array of such a shape, their standard deviations.

    Returns:
        Array of the shape of `y_true`, float64, in the units of `y_true`. An
        item that holds a NaN is NaN.

    Raises:
        ValueError: If a shape does not fit or a parameter is out of range.

    Example:

    >>> kst.metrics.crps_normal_mixture(
    ...     [0.0], [0.0, 0.0], [-1.0, 1.0], [1.0, 1.0]
    ... ).round(4).tolist()
    [0.3594]

    Reference:

    - [Grimit et al., 2006](https://doi.org/10.1256/qj.05.235)
    """
    return score_items(
        forms.normal_mixture,
        y_true,
        num_axes=1,
        logits=logits,
        loc=loc,
        scale=scale,
    )
