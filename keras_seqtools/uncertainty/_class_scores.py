"""Scores of a classifier: what they need of the passes, and what they are."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_seqtools._validation import align_left
from keras_seqtools._validation import same_shape
from keras_seqtools.metrics import expected_calibration_error
from keras_seqtools.uncertainty._accumulators import ClassificationAccumulator
from keras_seqtools.uncertainty._accumulators import log_mean
from keras_seqtools.uncertainty._checks import check_probabilities
from keras_seqtools.uncertainty._outputs import Output


class ClassScores:
    """How a classifier is scored.

    Args:
        output: What the output means.
    """

    hidden = ("stated", "came")
    shaped_as = "deterministic"

    def __init__(self, output: Output) -> None:
        self.is_multilabel = output.family == "multilabel"
        self.accumulator = LogProbabilities(
            self.is_multilabel, output.from_logits
        )

    def check_shape(self, shape: Sequence[int], emitted: Sequence[Any]) -> None:
        """Raises a `ValueError` for targets that the output does not fit."""
        emitted = tuple(emitted)
        items = emitted[:-1]
        if self._is_per_label(emitted):
            expected = [emitted, items] if emitted[-1] == 1 else [emitted]
        else:
            expected = [items, (*items, 1), emitted]
        if not any(same_shape(shape, other) for other in expected):
            raise ValueError(
                "Expected classes, or rows of zeros and a one, as targets of "
                f"shape {' or '.join(map(str, expected))}. "
                f"Received: shape {tuple(shape)}"
            )

    def check_targets(self, y: Any, emitted: Any, counts: Any) -> None:
        """Raises a `ValueError` if a target that counts cannot be."""
        labels = self._labels(y, emitted)
        counts = align_left("sample_weight", counts, labels.shape)
        wrong = np.argwhere(np.isnan(labels) & counts)
        if not len(wrong):
            return
        first = tuple(wrong[0].tolist())
        highest = 1 if self._is_per_label(emitted) else emitted[-1] - 1
        raise ValueError(
            f"Expected classes from 0 to {highest}, or rows of zeros and a "
            f"one, as targets. Received: y[{', '.join(map(str, first))}] = "
            f"{y[first]}"
        )

    def rows(self, found: dict[str, Any], y: Any) -> dict[str, np.ndarray]:
        """Scores of each item, and of each label if there are several."""
        p = found["mean"].astype("float64")
        check_probabilities(p)
        emitted = found["deterministic"].shape
        labels = self._labels(y, emitted)
        hit = labels[..., None] == np.arange(p.shape[-1])
        nll = -np.max(found["log_p"], axis=-1, where=hit, initial=-np.inf)
        correct = labels == p.argmax(-1)
        brier = np.square(p - hit).sum(-1)
        stated, came = p.max(-1), correct
        if self._is_per_label(emitted):
            brier, stated, came = brier / 2.0, p[..., 1], labels == 1.0
        unknown = np.isnan(labels) | np.isnan(p).any(-1)
        rows = {
            "nll": nll,
            "correct": correct,
            "brier": brier,
            "stated": stated,
            "came": came,
        }
        if emitted[-1] == 1:
            unknown = unknown[..., 0]
            rows = {name: values[..., 0] for name, values in rows.items()}
        return {
            name: np.where(unknown, np.nan, values)
            for name, values in rows.items()
        }

    def summary(
        self,
        means: dict[str, float],
        rows: dict[str, np.ndarray],
        weight: np.ndarray,
    ) -> dict[str, float]:
        """Scores of all items together."""
        ece = math.nan
        if not math.isnan(means["stated"]):
            # Binned in the precision in which the probabilities came.
            stated = rows["stated"].astype("float32")[..., None]
            ece = expected_calibration_error(
                rows["came"], stated, sample_weight=weight
            )
        return {
            "nll": means["nll"],
            "accuracy": means["correct"],
            "brier": means["brier"],
            "ece": ece,
        }

    def _labels(self, y: Any, emitted: Sequence[Any]) -> np.ndarray:
        """Classes by number, NaN for a target that is none of them."""
        y = np.asarray(y, "float64")
        is_full = len(y.shape) == len(emitted)
        if self._is_per_label(emitted):
            labels = y if is_full else y[..., None]
            return np.where((labels == 0.0) | (labels == 1.0), labels, np.nan)
        if is_full and y.shape[-1] == emitted[-1]:
            is_one_hot = ((y == 0.0) | (y == 1.0)).all(-1) & (y.sum(-1) == 1.0)
            return np.where(is_one_hot, y.argmax(-1), np.nan)
        labels = y[..., 0] if is_full else y
        is_class = np.isin(labels, np.arange(emitted[-1]))
        return np.where(is_class, labels, np.nan)

    def _is_per_label(self, emitted: Sequence[Any]) -> bool:
        return self.is_multilabel or emitted[-1] == 1


class LogProbabilities(ClassificationAccumulator):
    """Also the logarithm of the mean, with the digits that logits have."""

    def start(  # type: ignore[override]
        self, point: Any, chunks: Any, target: Any
    ) -> dict[str, Any]:
        state = super().start(point, chunks)
        return {**state, "log_sum": state["mean"] - np.inf}

    def update(
        self, state: dict[str, Any], samples: Any, before: Any, seed: Any
    ) -> dict[str, Any]:
        log_p = tf.reduce_logsumexp(self._logs(samples), axis=0)
        return {
            **super().update(state, samples, before, seed),
            "log_sum": ops.logaddexp(state["log_sum"], log_p),
        }

    def finish(
        self, states: list[dict[str, Any]], num_samples: Any
    ) -> dict[str, Any]:
        log_p = log_mean(states, "log_sum", num_samples)
        return {**super().finish(states, num_samples), "log_p": log_p}

    def _logs(self, output: Any) -> Any:
        if not self.from_logits:
            return tf.math.log(self._classes(output))
        if self._is_per_label(output):
            return tf.math.log_sigmoid(tf.stack([-output, output], axis=-1))
        return tf.nn.log_softmax(output)
