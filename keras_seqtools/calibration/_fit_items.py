"""The items that a map is fitted to: their scores, labels and weights."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_seqtools.metrics._classes import aligned_arrays
from keras_seqtools.metrics._classes import checked_labels
from keras_seqtools.metrics._classes import checked_probabilities
from keras_seqtools.metrics._scores import to_logits
from keras_seqtools.metrics._scores import to_probabilities
from keras_seqtools.metrics._scores import widened
from keras_seqtools.metrics._weights import joint_mask
from keras_seqtools.metrics._weights import mask_and_weight

# Numbers worked on at a time: few enough for the cache.
_CHUNK = 2**16


@dataclasses.dataclass(frozen=True, eq=False)
class Items:
    """What counts of the data of a fit, in the order of the data.

    Attributes:
        scores: Array `(all items, classes)`, as the user gave them.
        places: Which of them count; the arrays below are about these.
        labels: The class of each; 0 or 1 if `classes` is 1.
        weight: The weight of each, positive.
        rows: The number of the row that each is from.
        from_logits: Whether the scores are logits.
    """

    scores: np.ndarray
    places: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    rows: np.ndarray
    from_logits: bool

    @property
    def num_classes(self) -> int:
        return self.scores.shape[-1]

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Scores in their own precision, float32 at least, some at a time."""
        for at in slices(len(self.places), self.num_classes):
            yield at, widened(self.scores[self.places[at]])

    def logit_chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Float64 logits of two classes or more; a sigmoid has 0, z."""
        for at, scores in self.chunks():
            logits = self.logits(scores)
            if self.num_classes == 1:
                logits = np.hstack([np.zeros_like(logits), logits])
            yield at, logits

    def logits(self, scores: np.ndarray) -> np.ndarray:
        if self.from_logits:
            return scores.astype("float64")
        return to_logits(scores, np)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        if self.from_logits:
            return to_probabilities(self.logits(scores), np)
        return scores


def read_items(
    y_true: Any, y_prob: Any, from_logits: bool, *masks: Any, sample_weight: Any
) -> Items:
    """The items that count, or an error that says what is wrong with them."""
    y_true, y_prob = aligned_arrays(y_true, y_prob)
    *shape, classes = y_prob.shape
    mask, weight = mask_and_weight(
        joint_mask(tuple(shape), *masks), sample_weight, tuple(shape)
    )
    scores = y_prob.reshape(-1, classes)
    hits = y_true.reshape(len(scores), *y_true.shape[len(shape) :])
    places = np.flatnonzero(mask & (weight != 0.0))
    if not places.size:
        raise ValueError(
            "There is nothing to fit to. Expected items that the mask keeps "
            f"and that weigh something. Received: y_prob of shape "
            f"{y_prob.shape}"
        )
    labels = np.empty(len(places), "int64")
    for at in slices(len(places), classes):
        chosen = places[at]
        _check_scores(widened(scores[chosen]), from_logits)
        labels[at] = checked_labels(hits[chosen], classes)
    steps = math.prod(shape[1:])
    weight = weight.ravel()[places]
    return Items(scores, places, labels, weight, places // steps, from_logits)


def slices(number: int, classes: int) -> Iterator[slice]:
    """Of so many items of so many classes, some at a time."""
    step = max(1, _CHUNK // classes)
    for start in range(0, number, step):
        yield slice(start, start + step)


def _check_scores(scores: np.ndarray, from_logits: bool) -> None:
    if not from_logits:
        checked_probabilities(scores, from_logits=False)
    elif not np.isfinite(scores).all():
        raise ValueError(
            "Logits that count must be finite. "
            f"Received: values from {scores.min()} to {scores.max()}"
        )
