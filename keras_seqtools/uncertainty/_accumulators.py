"""What is kept of the passes of one batch, instead of the passes themselves.

An accumulator speaks of one output of a model. It works inside a compiled
function, one batch at a time, by three methods:

- `start(point)`: the state before the first sample. `point` is the output of
  the deterministic pass, whose shape the samples have.
- `update(state, sample, index, seed)`: the state with one sample more.
- `finish(state)`: arrays by name, the batch on their first axis.

All sums are float32, by Welford's method: no large squares to cancel.
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import ops

from keras_seqtools.heads import DistributionHead


def running_mean(mean: Any, sample: Any, index: Any) -> Any:
    """The mean with sample number `index`."""
    return mean + (sample - mean) / (tf.cast(index, tf.float32) + 1.0)


def welford(
    mean: Any, squares: Any, sample: Any, index: Any
) -> tuple[Any, Any]:
    """Mean and sum of squared deviations, with sample number `index`."""
    new_mean = running_mean(mean, sample, index)
    return new_mean, squares + (sample - mean) * (sample - new_mean)


class PointMass:
    """What a head would be whose distribution has no width: a plain output.

    What compares or sorts adds `y_pred - y_pred`, 0 but for a NaN.
    """

    def mean(self, y_pred: Any) -> Any:
        return y_pred

    def variance(self, y_pred: Any) -> Any:
        return tf.zeros_like(y_pred)

    def prob_below(self, y_pred: Any, threshold: float) -> Any:
        return tf.cast(y_pred < threshold, tf.float32) + (y_pred - y_pred)

    def prob_above(self, y_pred: Any, threshold: float) -> Any:
        return tf.cast(y_pred > threshold, tf.float32) + (y_pred - y_pred)

    def mixture_quantile(self, y_pred: Any, q: Sequence[float]) -> Any:
        """The smallest sample that a share of `q` of them does not exceed."""
        # Rounded first: in floating point 0.07 * 100 is above 7.
        ranks = [math.ceil(round(level * y_pred.shape[0], 9)) for level in q]
        quantiles = tf.gather(tf.sort(y_pred, axis=0), [r - 1 for r in ranks])
        return quantiles + tf.reduce_sum(y_pred - y_pred, axis=0)


class RegressionAccumulator:
    """Moments, quantiles and tail probabilities of the predictive mixture."""

    def __init__(
        self,
        family: DistributionHead | PointMass,
        num_samples: int,
        quantiles: Sequence[float] = (),
        thresholds: Sequence[float] = (),
        keep: bool = False,
    ) -> None:
        self.family = family
        self.num_samples = num_samples
        self.quantiles = quantiles
        self.thresholds = thresholds
        self.keep = keep

    def start(self, point: Any) -> dict[str, Any]:
        mean = self.family.mean(point)
        zeros = tf.zeros_like(mean)
        state = {
            "deterministic": mean,
            "mean": zeros,
            "squares": zeros,
            "aleatoric_variance": zeros,
        }
        if self.thresholds:
            tails = ops.repeat(zeros[:, None], len(self.thresholds), axis=1)
            state |= {"below": tails, "above": tails}
        if self.quantiles or self.keep:
            state["samples"] = tf.TensorArray(
                tf.float32, self.num_samples, element_shape=point.shape
            )
        return state

    def update(
        self, state: dict[str, Any], sample: Any, index: Any, seed: Any
    ) -> dict[str, Any]:
        state = dict(state)

        def average(name: str, value: Any) -> None:
            state[name] = running_mean(state[name], value, index)

        state["mean"], state["squares"] = welford(
            state["mean"], state["squares"], self.family.mean(sample), index
        )
        average("aleatoric_variance", self.family.variance(sample))
        if self.thresholds:
            for name, tail in (
                ("below", self.family.prob_below),
                ("above", self.family.prob_above),
            ):
                tails = [tail(sample, t) for t in self.thresholds]
                average(name, tf.stack(tails, axis=1))
        if "samples" in state:
            state["samples"] = state["samples"].write(index, sample)
        return state

    def finish(self, state: dict[str, Any]) -> dict[str, Any]:
        state = dict(state)
        state["epistemic_variance"] = state.pop("squares") / self.num_samples
        if "samples" in state:
            samples = _stack(state.pop("samples"), self.num_samples)
            if self.quantiles:
                quantiles = self.family.mixture_quantile(
                    samples, self.quantiles
                )
                state["quantiles"] = ops.moveaxis(quantiles, 0, 1)
            if self.keep:
                state["samples"] = ops.moveaxis(samples, 0, 1)
        return state


class ClassificationAccumulator:
    """Mean, spread, entropy and votes of class probabilities.

    A sigmoid is a distribution over two classes: for labels that each have
    their own, the classes stand on an axis of their own, `(..., labels, 2)`.
    """

    def __init__(
        self,
        num_samples: int,
        per_label: bool = False,
        from_logits: bool = False,
        keep: bool = False,
    ) -> None:
        self.num_samples = num_samples
        self.per_label = per_label
        self.from_logits = from_logits
        self.keep = keep

    def start(self, point: Any) -> dict[str, Any]:
        if point.shape[-1] == 1:  # one sigmoid, not one class
            self.per_label = True
        point = self._classes(point)
        zeros = tf.zeros_like(point)
        state = {
            "deterministic": point,
            "mean": zeros,
            "squares": zeros,
            "votes": zeros,
            "expected_entropy": zeros[..., 0],
        }
        if self.keep:
            state["samples"] = tf.TensorArray(
                tf.float32, self.num_samples, element_shape=point.shape
            )
        return state

    def update(
        self, state: dict[str, Any], sample: Any, index: Any, seed: Any
    ) -> dict[str, Any]:
        state, sample = dict(state), self._classes(sample)
        state["mean"], state["squares"] = welford(
            state["mean"], state["squares"], sample, index
        )
        entropy = -tf.reduce_sum(tf.math.xlogy(sample, sample), axis=-1)
        state["expected_entropy"] = running_mean(
            state["expected_entropy"], entropy, index
        )
        # 0 of a probability, NaN of a NaN: no vote may come out of it.
        state["votes"] += (
            sample
            - sample
            + tf.one_hot(tf.argmax(sample, -1), sample.shape[-1])
        )
        if self.keep:
            state["samples"] = state["samples"].write(index, sample)
        return state

    def finish(self, state: dict[str, Any]) -> dict[str, Any]:
        state = dict(state)
        state["variance"] = state.pop("squares") / self.num_samples
        if self.keep:
            state["samples"] = ops.moveaxis(
                _stack(state["samples"], self.num_samples), 0, 1
            )
        return state

    def _classes(self, output: Any) -> Any:
        if self.per_label:
            p = tf.sigmoid(output) if self.from_logits else output
            return tf.stack([1.0 - p, p], axis=-1)
        return tf.nn.softmax(output) if self.from_logits else output


def _stack(samples: Any, num_samples: int) -> Any:
    stacked = samples.stack()
    return tf.ensure_shape(stacked, (num_samples, *stacked.shape[1:]))
