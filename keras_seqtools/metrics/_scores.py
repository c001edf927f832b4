"""Scores of classes in their two forms, probabilities and logits.

Written once for arrays and for tensors: `xp` is `numpy` or `keras.ops`.
"""

from typing import Any

import keras
import numpy as np


def widened(scores: np.ndarray) -> np.ndarray:
    """In their own precision, or float32."""
    return scores.astype(np.result_type(scores, np.float32), copy=False)


def to_logits(p: Any, xp: Any) -> Any:
    """Float64 logits of probabilities: of a sigmoid if there is one class.

    A probability of 0 counts as the smallest that its precision can hold.
    """
    least = float(np.finfo(keras.backend.standardize_dtype(p.dtype)).tiny)
    p = xp.array(p, dtype="float64")
    logits = xp.log(xp.maximum(p, least))
    if p.shape[-1] == 1:
        logits = logits - xp.log(xp.maximum(1.0 - p, least))
    return logits


def to_probabilities(logits: Any, xp: Any) -> Any:
    """Probabilities of logits, in their precision, without overflow."""
    if logits.shape[-1] == 1:
        return xp.exp(-xp.logaddexp(0.0, -logits))
    odds = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return odds / xp.sum(odds, axis=-1, keepdims=True)
