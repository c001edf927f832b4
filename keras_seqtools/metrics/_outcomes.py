"""What was predicted and whether it came, of what a mode looks at.

Hits and probabilities `(items, columns)`: the one column of `"binary"`, the
class that was on top for `"top_label"`, every class for `"classwise"`.
"""

import math
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._keras_internals import get_mask
from keras_seqtools.metrics._classes import ROUNDING
from keras_seqtools.metrics._classes import SLACK
from keras_seqtools.metrics._classes import align_labels
from keras_seqtools.metrics._classes import aligned_arrays
from keras_seqtools.metrics._classes import check_mode
from keras_seqtools.metrics._classes import checked_labels
from keras_seqtools.metrics._classes import checked_one_hot
from keras_seqtools.metrics._classes import checked_probabilities
from keras_seqtools.metrics._classes import mode_for
from keras_seqtools.metrics._weights import mask_and_weight
from keras_seqtools.metrics._weights import streaming_weight

# Numbers at a time: few enough for the cache, enough to amortise Python.
_CHUNK = 2**17

# Every class, be it one: a mode that no user has a name for.
EVERY_CLASS: Any = object()

# Hits, probabilities and the weights of the items.
Outcomes = tuple[np.ndarray, np.ndarray, np.ndarray]


def counted_chunks(
    y_true: np.ndarray, y_prob: np.ndarray, mask: Any, sample_weight: Any
) -> Iterator[Outcomes]:
    """Labels, predictions and weights of the items that count.

    The arrays are aligned. There is one chunk at least, if only of nothing.
    """
    *items, classes = y_prob.shape
    mask, weight = mask_and_weight(mask, sample_weight, tuple(items))
    step = max(1, _CHUNK // max(1, math.prod(items[1:]) * classes))
    for start in range(0, max(1, len(y_prob)), step):
        rows = slice(start, start + step)
        counts = mask[rows] & (weight[rows] != 0.0)
        chunk = y_true[rows], y_prob[rows], weight[rows]
        if counts.all():  # views, where picking would copy
            labels, p, w = (
                a.reshape(counts.size, *a.shape[counts.ndim :]) for a in chunk
            )
        else:
            labels, p, w = (a[counts] for a in chunk)
        yield labels, p, w


def outcomes(
    y_true: Any,
    y_prob: Any,
    mode: Any,
    from_logits: bool,
    mask: Any,
    sample_weight: Any,
) -> tuple[int, Iterator[Outcomes]]:
    """For arrays: the number of columns, and their outcomes in chunks."""
    y_true, y_prob = aligned_arrays(y_true, y_prob)
    classes = y_prob.shape[-1]
    if mode is not EVERY_CLASS:
        mode = mode_for(check_mode(mode), classes)

    def chunks() -> Iterator[Outcomes]:
        for labels, p, weight in counted_chunks(
            y_true, y_prob, mask, sample_weight
        ):
            p = checked_probabilities(p, from_logits)
            if mode == "top_label":
                top = p.argmax(axis=-1)[:, None]
                hits = checked_labels(labels, classes)[:, None] == top
                yield hits, np.take_along_axis(p, top, axis=-1), weight
            else:
                yield checked_one_hot(labels, classes), p, weight

    return 1 if mode == "top_label" else classes, chunks()


def gather(chunks: Iterable[Outcomes]) -> Outcomes:
    """All chunks at once, for what needs all the data."""
    hits, p, weight = zip(*chunks, strict=True)
    return np.concatenate(hits), np.concatenate(p), np.concatenate(weight)


def streaming_outcomes(
    y_true: Any,
    y_pred: Any,
    mode: Any,
    from_logits: bool,
    sample_weight: Any,
) -> Outcomes:
    """For tensors: hits, probabilities `(..., columns)`, weights `(...)`.

    The weights are float64: 0 where nothing counts, and NaN where something
    counts that must not.
    """
    mask = get_mask(y_pred)
    labels, p = align_labels(
        ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    )
    classes = p.shape[-1]
    if mode is not EVERY_CLASS:
        mode = mode_for(mode, classes)
    p = ops.cast(p, keras.backend.result_type(p.dtype, "float32"))
    if from_logits:
        p = ops.sigmoid(p) if classes == 1 else ops.softmax(p)
    found, valid = _streaming_labels(labels, p)
    if classes > 1:
        valid &= ops.abs(ops.sum(p, axis=-1) - 1.0) <= ROUNDING
    valid &= ops.all(ops.clip(p, -SLACK, 1 + SLACK) == p, axis=-1)
    if mask is None and sample_weight is None:
        weight = ops.cast(ops.where(valid, 1.0, math.nan), "float64")
    else:
        weight = streaming_weight(valid, mask, sample_weight)
        counts = weight != 0.0
        weight = ops.where(counts & ~valid, math.nan, weight)
        # Not by multiplication: 0 * NaN is NaN.
        p = ops.where(counts[..., None], p, 0.0)
    if mode == "top_label":
        p, places = ops.top_k(p, 1)  # faster than a maximum and its place
    else:
        places = ops.arange(classes) if classes > 1 else 1
    return found[..., None] == ops.cast(places, found.dtype), p, weight


def _streaming_labels(labels: Any, p: Any) -> tuple[Any, Any]:
    """The labels as integers, one an item, and which of them are classes."""
    classes = p.shape[-1]
    if classes > 1 and len(labels.shape) == len(p.shape):
        labels = ops.cast(labels, "float32")
        valid = ops.all((labels == 0.0) | (labels == 1.0), axis=-1)
        valid &= ops.count_nonzero(labels, axis=-1) == 1
        return ops.argmax(labels, axis=-1), valid
    if classes == 1:
        labels = labels[..., 0]
    found = ops.cast(labels, "int64")
    valid = ops.clip(found, 0, max(classes, 2) - 1) == found
    if keras.backend.is_float_dtype(labels.dtype):
        valid &= ops.cast(found, labels.dtype) == labels
    return found, valid
