"""Scores of a regression: what they need of the passes, and what they are."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_seqtools._validation import align_left
from keras_seqtools._validation import same_shape
from keras_seqtools.heads import NormalHead
from keras_seqtools.metrics import crps_samples
from keras_seqtools.metrics._head_items import is_covered
from keras_seqtools.metrics._head_items import percent
from keras_seqtools.metrics.pit import pit_distance
from keras_seqtools.uncertainty._accumulators import add_noise
from keras_seqtools.uncertainty._accumulators import average
from keras_seqtools.uncertainty._accumulators import concat_samples
from keras_seqtools.uncertainty._accumulators import log_mean
from keras_seqtools.uncertainty._accumulators import running_mean
from keras_seqtools.uncertainty._accumulators import sample_array
from keras_seqtools.uncertainty._outputs import Output


class RegressionScores:
    """How a regression is scored.

    Args:
        output: What the output means.
        levels: Central intervals whose coverage to score.
        draws: Draws from each pass, for the CRPS.
    """

    hidden = ("at_most", "below")
    shaped_as = "mean"  # what has the shape of the output, or of its targets

    def __init__(
        self, output: Output, levels: Sequence[float], draws: int
    ) -> None:
        self.is_point = output.noise_std is not None
        # For points this is a head of one unit, whatever their number.
        self.family = NormalHead() if self.is_point else output.family
        self.levels = levels
        self.accumulator = AtTargets(output, draws)

    def check_shape(self, shape: Sequence[int], emitted: Sequence[Any]) -> None:
        """Raises a `ValueError` for targets that the output does not fit."""
        units = emitted[-1] if self.is_point else self.family.units
        expected = (*emitted[:-1], units)
        is_without_units = units == 1 and same_shape(shape, expected[:-1])
        if not is_without_units and not same_shape(shape, expected):
            raise ValueError(
                f"Expected targets of shape {expected}. "
                f"Received: shape {tuple(shape)}"
            )

    def check_targets(self, y: Any, emitted: Any, counts: Any) -> None:
        """Raises a `ValueError` if a target that counts cannot be."""
        counts = align_left("sample_weight", counts, y.shape)
        if not counts.all():
            y = np.where(counts, y, self.family.possible_target)
        self.family.validate(y)

    def rows(self, found: dict[str, Any], y: Any) -> dict[str, np.ndarray]:
        """Scores of each item, and of each unit if there are several."""
        y = np.asarray(y, "float64").reshape(found["mean"].shape)
        at_most, below = found["at_most"], found["below"]
        rows = {
            "crps": found["crps"],
            "squared_error": np.square(y - found["mean"]),
            "pit": (at_most + below) / 2.0,
            "at_most": at_most,
            "below": below,
        }
        for level in self.levels:
            inside = is_covered(below, at_most, level)
            rows[f"covered_{percent(level)}"] = np.asarray(inside)
        if y.shape[-1] == 1:
            rows = {name: values[..., 0] for name, values in rows.items()}
        return {"nll": found["nll"], **rows}

    def summary(
        self,
        means: dict[str, float],
        rows: dict[str, np.ndarray],
        weight: np.ndarray,
    ) -> dict[str, float]:
        """Scores of all items together."""
        covered = {
            f"coverage_{percent(level)}": means[f"covered_{percent(level)}"]
            for level in self.levels
        }
        return {
            "nll": means["nll"],
            "crps": means["crps"],
            "rmse": math.sqrt(means["squared_error"]),
            "pit_distance": pit_distance(
                rows["below"], rows["at_most"], weight
            ),
            **covered,
        }


class AtTargets:
    """The predictive mixture where the targets are; see `_accumulators`."""

    def __init__(self, output: Output, draws: int) -> None:
        self.output = output
        self.draws = draws

    def start(self, point: Any, chunks: Any, target: Any) -> dict[str, Any]:
        family, y_pred = self._read(point)
        zeros = tf.zeros_like(family.mean(y_pred))
        return {
            "y": _fit(target, zeros),
            "mean": zeros,
            "at_most": zeros,
            "below": zeros,
            "log_sum": zeros[..., 0] - np.inf,
            "samples": sample_array(zeros, chunks),
        }

    def update(
        self, state: dict[str, Any], samples: Any, before: Any, seed: Any
    ) -> dict[str, Any]:
        family, y_pred = self._read(samples)
        fold = samples.shape[0]
        y = tf.repeat(state["y"][None], fold, axis=0)
        at_most = family.cdf(y, y_pred)
        values = {
            "mean": family.mean(y_pred),
            "at_most": at_most,
            "below": family.cdf(y - 1.0, y_pred)
            if family.discrete
            else at_most,
        }
        for name, value in values.items():
            values[name] = running_mean(state[name], value, before)
        log_prob = family.log_likelihood(y, y_pred)
        values["log_sum"] = ops.logaddexp(
            state["log_sum"], tf.reduce_logsumexp(log_prob, axis=0)
        )
        draws = _draw(family, y_pred, self.draws, seed)
        draws = tf.reshape(draws, tf.concat([[-1], tf.shape(y)[1:]], axis=0))
        values["samples"] = state["samples"].write(before // fold, draws)
        return state | values

    def finish(
        self, states: list[dict[str, Any]], num_samples: Any
    ) -> dict[str, Any]:
        y, draws = states[0]["y"], concat_samples(states)
        crps = tf.numpy_function(crps_samples, (y, draws), tf.float64)
        found = {
            name: average(states, name) for name in ("mean", "at_most", "below")
        }
        return {
            **found,
            "nll": -log_mean(states, "log_sum", num_samples),
            "crps": tf.ensure_shape(crps, y.shape),
        }

    def _read(self, y_pred: Any) -> tuple[Any, Any]:
        if self.output.noise_std is None:
            return self.output.family, y_pred
        return add_noise(y_pred, self.output.noise_std)


def _fit(y: Any, like: Any) -> Any:
    """Targets in the shape they should have; NaN for what `rows` refuses.

    In a compiled function TensorFlow's own error would be all that they get.
    """
    shape = tf.shape(like)
    y = tf.cond(
        tf.equal(tf.size(y), tf.size(like)),
        lambda: tf.reshape(y, shape),
        lambda: tf.fill(shape, np.nan),
    )
    return tf.ensure_shape(y, like.shape)


def _draw(family: Any, y_pred: Any, n: int, seed: Any) -> Any:
    """Draws, NaN where the CRPS does not exist.

    From a NaN or an overflow, the sampler of counts would not come back.
    """
    moments = family.mean(y_pred)
    if family.discrete:
        moments = tf.concat([moments, family.variance(y_pred)], axis=-1)
    exists = tf.reduce_all(tf.math.is_finite(moments), -1, keepdims=True)
    y_pred = tf.where(exists, y_pred, family.possible_prediction)
    return tf.where(exists, family.sample(y_pred, n, seed), np.nan)
