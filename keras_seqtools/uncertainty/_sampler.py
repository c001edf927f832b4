"""Runs a model many times over a stream of batches, and changes nothing of it.

Every pass happens in a `keras.StatelessScope`: what the model would write
(seed states, statistics, recurrent states) is thrown away with the scope. The
loop over batches is `Model.predict` of an inner model, so data, progress bar
and callbacks are what they are there.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import get_mask
from keras_seqtools._keras_internals import seed_generators
from keras_seqtools._validation import check_positive_int
from keras_seqtools.uncertainty._stochastic_layers import sampling

_fold_in = tf.random.experimental.stateless_fold_in


class _Batches(keras.Model):
    def __init__(self, step: Callable[..., Any]) -> None:
        super().__init__()
        self.step = step
        self.batch_index = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False
        )

    def predict_step(self, data: Any) -> Any:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        index = tf.identity(self.batch_index.value)
        self.batch_index.assign(index + 1)
        return self.step(x, y, weight, index)


def run_pass(model: keras.Model, x: Any, seed: Any) -> Any:
    """One pass of the model; `seed` None is the deterministic one."""
    states = []
    if seed is not None:
        generators = {
            id(generator): generator
            for layer in flatten_layers(model)
            for generator in seed_generators(layer)
        }
        for site, generator in enumerate(generators.values()):
            state = generator.state
            derived = tf.cast(_fold_in(seed, site), state.dtype)
            states.append((state, derived))
    with (
        sampling(model, is_on=seed is not None),
        keras.StatelessScope(state_mapping=states),
    ):
        return model(x, training=False)


def over_batches(
    model: keras.Model,
    step: Callable[..., Any],
    data: Any,
    batch_size: int | None,
    **options: Any,
) -> Any:
    """`step(x, y, weight, batch_index)` of all batches, concatenated."""
    if batch_size is not None:
        check_positive_int("batch_size", batch_size)
    batches = _Batches(step)
    # XLA would take seconds to compile for each new shape of a batch.
    batches.compile(
        jit_compile=False, run_eagerly=getattr(model, "run_eagerly", False)
    )
    return batches.predict(data, batch_size=batch_size or 256, **options)


def sample_batches(
    model: keras.Model,
    accumulator: Any,
    num_samples: int,
    seed: int,
    data: Any,
    with_targets: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """What the accumulator makes of `num_samples` passes over each batch.

    A mask of the output is added as `"mask"`. With targets, the accumulator
    sees those of the batch when it starts.
    """
    key = tf.constant([seed % 2**31, seed // 2**31], tf.int32)

    def step(x: Any, y: Any, weight: Any, batch_index: Any) -> dict[str, Any]:
        if with_targets and (y is None or weight is not None):
            raise ValueError(
                "Expected batches of inputs and targets, without weights. "
                f"Received: {'no targets' if y is None else 'sample weights'}"
            )
        batch_key = _fold_in(key, batch_index)
        point = run_pass(model, x, None)
        mask = get_mask(point)
        point = _single(point)
        targets = (y,) if with_targets else ()

        def one_more(index: Any, state: Any) -> tuple[Any, Any]:
            pass_key = _fold_in(batch_key, index)
            sample = _single(run_pass(model, x, pass_key))
            updated = accumulator.update(state, sample, index, pass_key)
            return index + 1, keras.tree.map_structure(_same, state, updated)

        _, state = tf.while_loop(
            lambda index, state: index < num_samples,
            one_more,
            (tf.constant(0), accumulator.start(point, *targets)),
            parallel_iterations=1,
        )
        masks = {} if mask is None else {"mask": mask}
        return accumulator.finish(state) | masks

    return over_batches(model, step, data, **options)


def _same(old: Any, new: Any) -> Any:
    """The new value, with the shape that TensorFlow may have lost."""
    is_tensor = isinstance(new, tf.Tensor)
    return tf.ensure_shape(new, old.shape) if is_tensor else new


def _single(output: Any) -> Any:
    """The one tensor that the model emits, in float32."""
    tensors = keras.tree.flatten(output)
    if len(tensors) != 1:
        raise ValueError(
            "Expected a model with one output. Received: one with "
            f"{len(tensors)} outputs"
        )
    return tf.cast(tensors[0], tf.float32)
