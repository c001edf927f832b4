"""The log loss of probabilities of classes."""

import math
from typing import Any

import numpy as np

from keras_seqtools.metrics._classes import aligned_arrays
from keras_seqtools.metrics._classes import checked_labels
from keras_seqtools.metrics._classes import checked_probabilities
from keras_seqtools.metrics._outcomes import counted_chunks


def log_loss(
    y_true: Any,
    y_prob: Any,
    *,
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """The mean of `-log(probability of what came)`, in nats.

    Nothing is clipped: one event that was called impossible makes it
    infinite. The probabilities are not divided by their sum either. Logits
    need neither, and keep what rounding takes from probabilities near 1.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        from_logits: Boolean, whether `y_prob` holds logits: of a sigmoid for
            a last axis of 1, of a softmax otherwise. Defaults to `False`.
        mask: Boolean array, as in `calibration_error`. Defaults to `None`.
        sample_weight: Array, as in `calibration_error`. Defaults to `None`.

    Returns:
        Float, 0 at best. NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> round(kst.metrics.log_loss([1, 0], [0.5, 0.5]), 6)
    0.693147
    >>> kst.metrics.log_loss([1, 0], [0.0, 0.0])
    inf

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    """
    y_true, y_prob = aligned_arrays(y_true, y_prob)
    loss, total = 0.0, 0.0
    for labels, values, weight in counted_chunks(
        y_true, y_prob, mask, sample_weight
    ):
        found = checked_labels(labels, values.shape[-1])[:, None]
        p = checked_probabilities(values, from_logits)
        loss += weight @ _losses(
            found, values if from_logits else p, from_logits
        )
        total += weight.sum()
    return float(loss / total) if total else math.nan


def _losses(
    found: np.ndarray, values: np.ndarray, from_logits: bool
) -> np.ndarray:
    """Item by item, of labels `(items, 1)`."""
    values = values.astype("float64")
    if from_logits and values.shape[-1] == 1:
        return np.logaddexp(0.0, (1 - 2 * found) * values)[:, 0]
    if from_logits:
        values -= values.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(values).sum(axis=-1))
        return log_sum - np.take_along_axis(values, found, axis=-1)[:, 0]
    if values.shape[-1] == 1:
        values = np.concatenate([1.0 - values, values], axis=-1)
    came = np.take_along_axis(values, found, axis=-1)[:, 0]
    with np.errstate(divide="ignore"):  # of what came, yet was impossible
        return -np.log(np.clip(came, 0.0, 1.0))
