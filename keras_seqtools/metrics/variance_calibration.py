"""Whether stated standard deviations are as large as the errors."""

from typing import Any

import numpy as np

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._items import counting


def expected_normalized_calibration_error(
    y_true: Any,
    mean: Any,
    stddev: Any,
    *,
    num_bins: int = 10,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """How far stated standard deviations are from the errors that followed.

    The items are binned by their standard deviation, in bins of equal width
    from the smallest to the largest; the result is the mean over the bins
    that hold any of `|RMSE - RMV| / RMV`, with the root mean squared error
    and the root mean variance of the bin: 0.3 says that the errors are some
    30 % larger or smaller than stated. It is biased upwards where bins hold
    few items.

    Nothing is broadcast.

    Args:
        y_true: Array of the values that came, of any shape.
        mean: Array of the same shape, the predicted means.
        stddev: Array of the same shape, the predicted standard deviations.
        num_bins: Positive integer, the number of bins. Defaults to `10`.
        mask: Boolean array, of the shape of `y_true` or its first axes:
            `(batch,)` speaks of rows, also where `batch == time`. What it
            leaves out may hold anything, NaN too. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. What weighs
            nothing may hold anything. Defaults to `None`.

    Returns:
        Float. NaN if nothing counts.

    Raises:
        ValueError: If a shape does not fit, or what counts holds a NaN or a
            standard deviation that is not above 0.

    Example:

    >>> kst.metrics.expected_normalized_calibration_error(
    ...     [1.5, -1.5], [0.0, 0.0], [1.0, 1.0]
    ... )
    0.5

    Reference:

    - [Levi et al., 2022](https://doi.org/10.3390/s22155540)
    """
    num_bins = check_positive_int("num_bins", num_bins)
    y, mean, stddev, weight = counting(
        mask, sample_weight, y_true=y_true, mean=mean, stddev=stddev
    )
    if not (stddev > 0.0).all():
        raise invalid("stddev", "numbers above 0", stddev)
    if not weight.size:
        return np.nan
    bins = num_bins * (stddev - stddev.min()) / max(np.ptp(stddev), 1e-300)
    bins = np.minimum(bins.astype("int64"), num_bins - 1)
    variance, error = (
        np.bincount(bins, weight * np.square(values), num_bins)
        for values in (stddev, y - mean)
    )
    filled = variance > 0.0
    ratio = np.sqrt(error[filled] / variance[filled])
    return float(np.abs(ratio - 1.0).mean())
