"""All that one asks of the predictions of a head, in one call."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools.heads import DistributionHead
from keras_seqtools.metrics._head_items import average
from keras_seqtools.metrics._head_items import below_and_at_most
from keras_seqtools.metrics._head_items import counted_items
from keras_seqtools.metrics._head_items import is_covered
from keras_seqtools.metrics._head_items import is_for_counts
from keras_seqtools.metrics._head_items import percent
from keras_seqtools.metrics.counts import count_calibration
from keras_seqtools.metrics.crps import crps
from keras_seqtools.metrics.pit import pit_distance


def score_distribution(
    y_true: Any,
    y_pred: Any,
    head: DistributionHead,
    *,
    levels: Sequence[float] = (0.5, 0.9),
    mask: Any = None,
    sample_weight: Any = None,
) -> dict[str, float]:
    """Scores of what a head predicts, by name.

    `y_pred` is one distribution an item, of one pass. Of the mixture over many
    passes `keras_seqtools.evaluate_uncertainty` gives the same scores: the
    scores of the passes, averaged, are not those of the mixture.

    Args:
        y_true: Array of targets, of shape `(..., units)`; with one unit the
            last axis may be missing.
        y_pred: Array of the parameters that the head emits, such as
            `Model.predict` returns.
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.
        levels: Numbers in (0, 1): central intervals whose coverage and width
            to report. Defaults to `(0.5, 0.9)`.
        mask: Boolean array, of the shape of the items, `y_pred` without its
            last axis, or its first axes: `(batch,)` speaks of rows, also
            where `batch == time`. What it leaves out may hold anything, NaN
            too. `Model.predict` drops the mask of an output. Defaults to
            `None`.
        sample_weight: Array of weights, aligned like `mask`. What weighs
            nothing may hold anything. Defaults to `None`.

    Returns:
        A dict of floats, weighted means over the items, and over the units
        if there are several: `"nll"` (nats, summed over units); `"crps"` and
        `"rmse"`, in units of the target; `"pit_distance"`, the largest
        distance between the distribution of the probability integral
        transforms, for counts the non-randomised ones, and the uniform one
        (0 to 1; of `n` items some `0.9 / sqrt(n)` when all is well, less for
        counts); and for
        each level the share of targets inside, such as `"coverage_90"` (for
        counts at least the level even when all is well), and the mean width,
        `"width_90"`.

        For counts also `"zero_frequency"`, how many were 0, and
        `"zero_probability"`, how many should have been; and `"dispersion"`,
        the mean of `(y - mean)**2 / variance`, 1 when all is well.

        NaN if nothing counts, and where a prediction that counts is NaN.

    Raises:
        ValueError: If a shape does not fit, a target that counts is outside
            of the support, or the family has no cdf.

    Example:

    >>> head = kst.heads.NormalHead()
    >>> y_pred = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")  # loc, scale
    >>> scores = kst.metrics.score_distribution([0.0, 3.0], y_pred, head)
    >>> {name: round(score, 2) for name, score in scores.items()}
    {'nll': 3.17, 'crps': 1.34, 'rmse': 2.12, 'pit_distance': 0.5, \
'coverage_50': 0.5, 'width_50': 1.35, 'coverage_90': 0.5, 'width_90': 3.29}

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    - [Czado et al., 2009](https://doi.org/10.1111/j.1541-0420.2009.01191.x)
    """
    levels = check_fractions("levels", levels)
    y, y_pred, weight = counted_items(y_true, y_pred, head, mask, sample_weight)
    below, at_most = map(np.asarray, below_and_at_most(y, y_pred, head))
    squared_error = np.square(y - head.mean(y_pred))
    scores = {
        "nll": average(-head.log_likelihood(y, y_pred), weight),
        "crps": average(crps(y, y_pred, head), weight),
        "rmse": math.sqrt(average(squared_error, weight)),
        "pit_distance": pit_distance(below, at_most, weight[:, None]),
    }
    for level in levels:
        covered = is_covered(below, at_most, level)
        lower, upper = head.interval(y_pred, level)
        scores[f"coverage_{percent(level)}"] = average(covered, weight)
        scores[f"width_{percent(level)}"] = average(upper - lower, weight)
    if is_for_counts(head):
        counts = count_calibration(
            y, y_pred, head, max_count=1, sample_weight=weight
        )
        scores["zero_frequency"] = float(counts["frequency"][0])
        scores["zero_probability"] = float(counts["probability"][0])
        scores["dispersion"] = counts["dispersion"]
    return scores
