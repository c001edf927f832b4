"""Whether a head for counts predicts as many of each as there are."""

from typing import Any

import numpy as np

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.heads import DistributionHead
from keras_seqtools.metrics._head_items import average
from keras_seqtools.metrics._head_items import counted_items
from keras_seqtools.metrics._head_items import is_for_counts


def count_calibration(
    y_true: Any,
    y_pred: Any,
    head: DistributionHead,
    *,
    max_count: int = 20,
    mask: Any = None,
    sample_weight: Any = None,
) -> dict[str, Any]:
    """Observed and expected frequencies of counts, and their dispersion.

    The first frequencies are those of zero: more zeros than expected ask for
    a zero-inflated head. A dispersion far above 1 says that the counts vary
    more than the head believes, as those of a `PoissonHead` often do.

    Args:
        y_true: Array of counts, of shape `(..., units)`; with one unit the
            last axis may be missing.
        y_pred: Array of the parameters that the head emits.
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`,
            one for counts.
        max_count: Positive integer, the largest count to look at. Defaults to
            `20`.
        mask: Boolean array, of the shape of the items or its first axes:
            `(batch,)` speaks of rows, also where `batch == time`. What it
            leaves out may hold anything, NaN too. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. What weighs
            nothing may hold anything. Defaults to `None`.

    Returns:
        A dict: `"frequency"` and `"probability"`, arrays of shape
        `(max_count + 1,)`, the share of the counts that were 0, 1, 2, ... and
        the mean probability that the head gave to them; and `"dispersion"`,
        the mean of `(y - mean)**2 / variance`, 1 if the head is calibrated.
        NaN if nothing counts.

    Raises:
        ValueError: If the head is not for counts, a shape does not fit, or
            what counts holds a target that is no count.

    Example:

    >>> head = kst.heads.PoissonHead()
    >>> y_pred = np.zeros((4, 1), "float32")  # the logarithm of a rate of 1
    >>> found = kst.metrics.count_calibration(
    ...     [0, 0, 1, 3], y_pred, head, max_count=1
    ... )
    >>> found["frequency"].tolist(), found["probability"].round(3).tolist()
    ([0.5, 0.25], [0.368, 0.368])
    >>> round(found["dispersion"], 3)
    1.5

    Reference:

    - [Czado et al., 2009](https://doi.org/10.1111/j.1541-0420.2009.01191.x)
    """
    max_count = check_positive_int("max_count", max_count)
    y, y_pred, weight = counted_items(y_true, y_pred, head, mask, sample_weight)
    if not is_for_counts(head):
        raise invalid("head", "a head of counts, the integers from 0", head)
    counts = np.arange(max_count + 1.0)
    probability = [
        average(np.exp(head.log_prob(np.full_like(y, k), y_pred)), weight)
        for k in counts
    ]
    squared_error = np.square(y - head.mean(y_pred))
    return {
        "frequency": np.array([average(y == k, weight) for k in counts]),
        "probability": np.array(probability),
        "dispersion": average(squared_error / head.variance(y_pred), weight),
    }
