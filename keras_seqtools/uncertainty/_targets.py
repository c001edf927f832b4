"""Targets and weights of what a model emits, output by output."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqtools._keras_internals import get_mask
from keras_seqtools.uncertainty._class_scores import ClassScores
from keras_seqtools.uncertainty._regression_scores import RegressionScores


class Targets:
    """Tells targets and weights apart by output, and checks them.

    Args:
        model: The model, or the first of an ensemble.
        scores: How each output is scored.
    """

    def __init__(
        self,
        model: keras.Model,
        scores: Sequence[ClassScores | RegressionScores],
    ) -> None:
        self.model = model
        self.scores = scores
        # What is known of the outputs beforehand: nothing without a graph.
        outputs = getattr(model, "outputs", None) or [None] * len(scores)
        self.shapes = [
            y if y is None else (None, *y.shape[1:]) for y in outputs
        ]
        self.masks = [get_mask(y) for y in outputs]

    def check_arrays(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """Inputs, targets and weights, checked as far as can be before a run.

        A mask may hide targets, which then must wait until it is known.
        """
        if y is None:
            if sample_weight is not None:
                raise ValueError("`sample_weight` is given, but no `y`.")
            return (x,)
        ys = tuple(map(np.asarray, self.by_output("y", y)))
        weights = self.by_output("sample_weight", sample_weight)
        self._check_shapes(ys)
        for score, shape, mask, y, weight in zip(
            self.scores, self.shapes, self.masks, ys, weights, strict=True
        ):
            if shape is not None and mask is None:
                counts = np.asarray(1.0 if weight is None else weight) != 0.0
                score.check_targets(y, shape, counts)
        if sample_weight is None:
            return x, ys
        return x, ys, tuple(map(np.asarray, weights))

    def of_batch(self, y: Any) -> list[Any]:
        """The targets of each output, for its accumulator."""
        if y is None:
            raise ValueError(
                "There are no targets. Pass `y`, or data of (inputs, targets)."
            )
        ys = self.by_output("y", y)
        self._check_shapes(ys)
        return [tf.cast(y, tf.float32) for y in ys]

    def by_output(self, name: str, values: Any) -> list[Any]:
        """Targets or weights in the order of the outputs."""
        number = len(self.scores)
        if values is None:
            return [None] * number
        if isinstance(values, dict):
            values = self._in_order(name, values)
        leaves = keras.tree.flatten(values)
        if name == "sample_weight" and len(leaves) == 1:
            leaves = leaves * number
        if len(leaves) != number:
            raise ValueError(
                f"`{name}` must have one array for each output. "
                f"Expected {number}. Received: {len(leaves)}"
            )
        return leaves

    def _in_order(self, name: str, values: dict[str, Any]) -> list[Any]:
        outputs = getattr(self.model, "output", None)
        if isinstance(outputs, dict):
            names = sorted(outputs)  # in which Keras flattens them
        else:
            names = getattr(self.model, "output_names", sorted(values))
        if sorted(values) != sorted(names):
            raise ValueError(
                f"`{name}` must have the names of the outputs. "
                f"Expected {names}. Received: {sorted(values)}"
            )
        return [values[key] for key in names]

    def _check_shapes(self, ys: Sequence[Any]) -> None:
        for score, shape, y in zip(self.scores, self.shapes, ys, strict=True):
            if shape is not None:
                score.check_shape(y.shape, shape)
