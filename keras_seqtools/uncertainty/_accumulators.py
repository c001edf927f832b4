"""What is kept of the passes of one batch, instead of the passes themselves.

An accumulator speaks of one output of a model. It works inside a compiled
function, one batch at a time, by three methods:

- `start(point, chunks)`: the state before the first sample. `point` is the
  output of the deterministic pass; `chunks`, how many updates will follow.
- `update(state, samples, before, seed)`: the state with some samples more,
  `(fold, batch, ...)`, after `before` others.
- `finish(states, num_samples)`: arrays by name, the batch on their first axis,
  from the states of all members of an ensemble, each of `num_samples`.

All sums are float32, by Welford's method (in chunks, Chan et al., 1979): no
large squares to cancel.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import ops

from keras_seqtools.heads import DistributionHead
from keras_seqtools.heads import NormalHead


def running_mean(mean: Any, samples: Any, before: Any) -> Any:
    """The mean of `before` samples, with some more on the first axis."""
    # Not of the static shape: TFP forgets there was one pass only.
    more = tf.shape(samples)[0]
    share = tf.cast(more, tf.float32) / tf.cast(before + more, tf.float32)
    return mean + (tf.reduce_mean(samples, axis=0) - mean) * share


def welford(
    mean: Any, squares: Any, samples: Any, before: Any
) -> tuple[Any, Any]:
    """Mean and sum of squared deviations, with some samples more."""
    new_mean = running_mean(mean, samples, before)
    if samples.shape[0] == 1:
        sample = samples[0]
        return new_mean, squares + (sample - mean) * (sample - new_mean)
    center = tf.reduce_mean(samples, axis=0)
    within = tf.reduce_sum(tf.square(samples - center), axis=0)
    between = (center - mean) * (center - new_mean)
    more = tf.cast(tf.shape(samples)[0], tf.float32)
    return new_mean, squares + within + between * more


def pool(
    means: list[Any], squares: list[Any], num_samples: Any
) -> dict[str, Any]:
    """Mean, variance and `mcse` of the members of an ensemble together.

    Members weigh the same, and are what they are: only their passes are a
    matter of chance, which `mcse` measures.
    """
    count = tf.cast(num_samples, tf.float32)
    within = tf.add_n(squares) / (len(squares) * count)
    return {
        "mean": tf.add_n(means) / len(means),
        "variance": within + tf.math.reduce_variance(tf.stack(means), axis=0),
        "mcse": tf.sqrt(within / (len(means) * count)),
    }


def average(states: list[dict[str, Any]], name: str) -> Any:
    """The mean of a number over the members of an ensemble."""
    return tf.add_n([state[name] for state in states]) / len(states)


def log_mean(states: list[dict[str, Any]], name: str, num_samples: Any) -> Any:
    """Logarithm of a mean over all passes, from those of the members' sums."""
    sums = tf.stack([state[name] for state in states])
    count = len(states) * tf.cast(num_samples, tf.float32)
    return tf.reduce_logsumexp(sums, axis=0) - tf.math.log(count)


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
        ranks = tf.constant(q, tf.float64) * tf.cast(
            tf.shape(y_pred)[0], tf.float64
        )
        # Rounded first: in floating point 0.07 * 100 is above 7.
        ranks = tf.math.ceil(tf.round(ranks * 1e9) / 1e9)
        places = tf.cast(ranks, tf.int32) - 1
        quantiles = tf.gather(tf.sort(y_pred, axis=0), places)
        return quantiles + tf.reduce_sum(y_pred - y_pred, axis=0)


def add_noise(y_pred: Any, noise_std: Any) -> tuple[NormalHead, Any]:
    """Points with normal noise, as a `NormalHead` would have emitted them."""
    scale = tf.zeros_like(y_pred) + tf.constant(noise_std, tf.float32)
    return NormalHead(y_pred.shape[-1]), tf.concat([y_pred, scale], axis=-1)


class RegressionAccumulator:
    """Moments, quantiles and tail probabilities of the predictive mixture."""

    def __init__(
        self,
        family: DistributionHead | PointMass,
        quantiles: Sequence[float] = (),
        thresholds: Sequence[float] = (),
        keep: bool = False,
        noise_std: Any = None,
    ) -> None:
        self.family = family
        self.quantiles = quantiles
        self.thresholds = thresholds
        self.keep = keep
        self.noise_std = noise_std

    def start(self, point: Any, chunks: Any) -> dict[str, Any]:
        family, y_pred = self._read(point)
        mean = family.mean(y_pred)
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
            state["samples"] = sample_array(point, chunks)
        return state

    def update(
        self, state: dict[str, Any], samples: Any, before: Any, seed: Any
    ) -> dict[str, Any]:
        state = dict(state)
        family, y_pred = self._read(samples)
        state["mean"], state["squares"] = welford(
            state["mean"], state["squares"], family.mean(y_pred), before
        )
        averages = {"aleatoric_variance": family.variance(y_pred)}
        if self.thresholds:
            for name, tail in (
                ("below", family.prob_below),
                ("above", family.prob_above),
            ):
                tails = [tail(y_pred, t) for t in self.thresholds]
                averages[name] = tf.stack(tails, axis=2)
        for name, values in averages.items():
            state[name] = running_mean(state[name], values, before)
        if "samples" in state:
            chunk = before // samples.shape[0]
            state["samples"] = state["samples"].write(chunk, samples)
        return state

    def finish(
        self, states: list[dict[str, Any]], num_samples: Any
    ) -> dict[str, Any]:
        found = pool(
            [state["mean"] for state in states],
            [state["squares"] for state in states],
            num_samples,
        )
        found["epistemic_variance"] = found.pop("variance")
        names = ["deterministic", "aleatoric_variance"]
        if self.thresholds:
            names += ["below", "above"]
        found |= {name: average(states, name) for name in names}
        if "samples" in states[0]:
            samples = concat_samples(states)
            if self.quantiles:
                family, y_pred = self._read(samples)
                quantiles = family.mixture_quantile(y_pred, self.quantiles)
                found["quantiles"] = ops.moveaxis(quantiles, 0, 1)
            if self.keep:
                found["samples"] = ops.moveaxis(samples, 0, 1)
        return found

    def _read(self, output: Any) -> tuple[Any, Any]:
        if self.noise_std is None:
            return self.family, output
        return add_noise(output, self.noise_std)


class ClassificationAccumulator:
    """Mean, spread, entropy and votes of class probabilities.

    A sigmoid is a distribution over two classes: for labels that each have
    their own, the classes stand on an axis of their own, `(..., labels, 2)`.
    """

    def __init__(
        self,
        per_label: bool = False,
        from_logits: bool = False,
        keep: bool = False,
    ) -> None:
        self.per_label = per_label
        self.from_logits = from_logits
        self.keep = keep

    def start(self, point: Any, chunks: Any) -> dict[str, Any]:
        point = self._probabilities(point)
        zeros = tf.zeros_like(self._classes(point))
        state = {
            "deterministic": point,
            "mean": zeros,
            "squares": zeros,
            "votes": zeros,
            "expected_entropy": zeros[..., 0],
        }
        if self.keep:
            state["samples"] = sample_array(point, chunks)
        return state

    def update(
        self, state: dict[str, Any], samples: Any, before: Any, seed: Any
    ) -> dict[str, Any]:
        state, samples = dict(state), self._probabilities(samples)
        p = self._classes(samples)
        state["mean"], state["squares"] = welford(
            state["mean"], state["squares"], p, before
        )
        entropy = -tf.reduce_sum(tf.math.xlogy(p, p), axis=-1)
        state["expected_entropy"] = running_mean(
            state["expected_entropy"], entropy, before
        )
        # 0 of a probability, NaN of a NaN: no vote may come out of it.
        votes = tf.one_hot(tf.argmax(p, -1), p.shape[-1]) + (p - p)
        state["votes"] += tf.reduce_sum(votes, axis=0)
        if self.keep:
            chunk = before // samples.shape[0]
            state["samples"] = state["samples"].write(chunk, samples)
        return state

    def finish(
        self, states: list[dict[str, Any]], num_samples: Any
    ) -> dict[str, Any]:
        found = pool(
            [state["mean"] for state in states],
            [state["squares"] for state in states],
            num_samples,
        )
        found["votes"] = tf.add_n([state["votes"] for state in states])
        for name in ("deterministic", "expected_entropy"):
            found[name] = average(states, name)
        if self.keep:
            found["samples"] = ops.moveaxis(concat_samples(states), 0, 1)
        return found

    def _probabilities(self, output: Any) -> Any:
        """What a model emits, or would without logits."""
        if not self.from_logits:
            return output
        is_sigmoid = self._is_per_label(output)
        return tf.sigmoid(output) if is_sigmoid else tf.nn.softmax(output)

    def _classes(self, p: Any) -> Any:
        return tf.stack([1.0 - p, p], -1) if self._is_per_label(p) else p

    def _is_per_label(self, output: Any) -> bool:
        # A single unit is one sigmoid, not one class.
        return self.per_label or output.shape[-1] == 1


def sample_array(point: Any, chunks: Any) -> Any:
    """Where chunks of samples like `point` can be kept."""
    shape = (None, *point.shape)
    return tf.TensorArray(tf.float32, chunks, element_shape=shape)


def concat_samples(states: list[dict[str, Any]]) -> Any:
    """All samples that were kept, on the first axis."""
    return tf.concat([state["samples"].concat() for state in states], axis=0)
