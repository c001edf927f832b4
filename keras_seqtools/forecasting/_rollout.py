"""Sample paths of a model that is fed its own draws, in one compiled loop."""

import contextlib
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import stateful_layers
from keras_seqtools._validation import same_shape
from keras_seqtools.forecasting._carried import Carried
from keras_seqtools.forecasting._carried import can_carry
from keras_seqtools.forecasting._draws import draws_of
from keras_seqtools.forecasting._path_noise import PathNoise
from keras_seqtools.heads import DistributionHead
from keras_seqtools.uncertainty._noise import philox_key
from keras_seqtools.uncertainty._sampler import deterministic
from keras_seqtools.uncertainty._sampler import generators
from keras_seqtools.uncertainty._sampler import noisy


class Window:
    """A model that is run anew over the last inputs, at every step."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def begin(self, sequences: Any) -> tuple[Any, Any]:
        with _from_zeros(self.model):
            output = self.model(sequences, training=False)
        (output,) = keras.tree.flatten(output)
        return output, sequences

    def advance(self, steps: Any, window: Any) -> tuple[Any, Any]:
        return self.begin(_slide(window, steps))


@contextlib.contextmanager
def _from_zeros(model: keras.Model) -> Iterator[None]:
    """Inside, stateful layers begin as others do, whatever they hold."""
    layers = stateful_layers(model)
    try:
        for layer in layers:
            object.__setattr__(layer, "stateful", False)
        yield
    finally:
        for layer in layers:
            object.__setattr__(layer, "stateful", True)


class Rollout:
    """Sample paths of series, from their past on.

    Args:
        model: A causal model with one input and one output.
        random: Its random layers.
        family: The head of the model; None if it emits points.
        block: Integer, how many steps one output forecasts.
        goes_on: Whether there are more steps than that.
        feedback: Makes inputs of draws; None where these are inputs already.
    """

    def __init__(
        self,
        model: keras.Model,
        random: Collection[Any],
        family: DistributionHead | None,
        block: int,
        goes_on: bool,
        feedback: Callable[[Any, Any], Any] | None,
    ) -> None:
        self.model = model
        self.random = random
        self.family = family
        self.block = block
        self.goes_on = goes_on
        self.feedback = feedback
        self.reader = (
            Carried(model, random) if can_carry(model) else Window(model)
        )

    def __call__(
        self,
        context: Any,
        covariates: Any,
        seed: Any,
        num_samples: Any,
        steps: Any,
    ) -> tuple[Any, Any]:
        """Draws, and the parameters of what they were drawn from.

        Args:
            context: Inputs up to now, `(series, time, features)`.
            covariates: The last of the features, from now on,
                `(series, steps, covariates)`; without steps if there are none.
            seed: Integer tensor.
            num_samples: Integer tensor, the number of paths of each series.
            steps: Integer tensor.

        Returns:
            Two tensors `(num_samples, series, steps, ...)`.
        """
        series = tf.shape(context)[0]
        width = context.shape[-1] - covariates.shape[-1]
        rows, blocks = series * num_samples, -(-steps // self.block)
        key = philox_key(seed, 0)

        def of_paths(tensor: Any) -> Any:
            return tf.tile(tensor, [num_samples] + [1] * (tensor.ndim - 1))

        def one_more(
            number: Any, now: Any, recent: list[Any], kept: Any
        ) -> tuple[Any, ...]:
            parameters, state = now
            drawn = draw(number, parameters)
            inputs = self._feed(drawn, recent, width)
            if covariates.shape[-1]:
                first = number * self.block
                known = covariates[:, first : first + self.block]
                inputs = tf.concat([inputs, known], axis=-1)
            recent = [_slide(window, inputs) for window in recent]
            after = self._read(self.reader.advance, key, rows, inputs, state)
            kept = kept.write(number, tf.concat([drawn, parameters], axis=-1))
            after = keras.tree.map_structure(_as_before, now, after)
            return number + 1, after, recent, kept

        covariates, past = of_paths(covariates), of_paths(context)
        if self.random:  # then every path has a past of its own
            now = self._read(self.reader.begin, key, rows, past)
        else:
            now = self._read(self.reader.begin, key, series, context)
            now = keras.tree.map_structure(of_paths, now)
        recent = [] if self.feedback is None else [past]
        draw = draws_of(self.family, seed, blocks, now[0])
        last, kept = blocks - 1, tf.TensorArray(tf.float32, blocks)
        if self.goes_on:
            _, now, _, kept = tf.while_loop(
                lambda number, *_: number < last,
                one_more,
                (tf.constant(0), now, recent, kept),
                parallel_iterations=1,
            )
        parameters, _ = now
        drawn = draw(last, parameters)
        kept = kept.write(last, tf.concat([drawn, parameters], axis=-1))
        found = self._by_path(kept.stack(), num_samples)[:, :, :steps]
        return found[..., : drawn.shape[-1]], found[..., drawn.shape[-1] :]

    def _read(
        self, read: Callable[..., Any], key: Any, rows: Any, *args: Any
    ) -> tuple[Any, Any]:
        """What inputs say of the steps to come, and the state after them."""
        with self._noise(key, rows):
            output, state = read(*args)
        output = tf.cast(output, tf.float32)
        if output.ndim == 2:
            return tf.expand_dims(output, axis=1), state
        return (output if self.block > 1 else output[:, -1:]), state

    def _noise(self, key: Any, rows: Any) -> Any:
        """In which the model runs: a path's noise, or nothing to draw."""
        if not self.random:
            return deterministic(self.model, self.random)
        noise = PathNoise(key, rows, *generators(self.model))
        return noisy(self.model, self.random, noise)

    def _feed(self, drawn: Any, recent: list[Any], width: int) -> Any:
        """The inputs that follow from what was drawn."""
        fed = drawn if self.feedback is None else self.feedback(drawn, *recent)
        fed = tf.convert_to_tensor(fed)
        expected = (None, self.block, width)
        if not same_shape(fed.shape, expected):
            source = "draws" if self.feedback is None else "`feedback`"
            raise ValueError(
                f"Expected next inputs of shape {expected}. Received: "
                f"{tuple(fed.shape)} from {source}. `feedback` makes inputs "
                "of draws."
            )
        return tf.cast(fed, tf.float32)

    def _by_path(self, stacked: Any, num_samples: Any) -> Any:
        """Blocks of steps one after another, and paths on an axis of theirs."""
        blocks, _, size, width = tf.unstack(tf.shape(stacked))
        stacked = tf.transpose(stacked, [1, 0, 2, 3])
        return tf.reshape(stacked, [num_samples, -1, blocks * size, width])


def _slide(window: Any, steps: Any) -> Any:
    """The window, that many steps further on."""
    return tf.concat([window, steps], axis=1)[:, -tf.shape(window)[1] :]


def _as_before(old: Any, new: Any) -> Any:
    """The new tensor, with the shape that TensorFlow may have lost."""
    new.set_shape(old.shape)
    return new
