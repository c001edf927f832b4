"""Many passes of models over one batch, and what accumulators make of them.

Every pass happens in a `keras.StatelessScope`: what a model would write (seed
states, statistics, recurrent states) is thrown away with the scope.
"""

import contextlib
import dataclasses
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import drawing_from
from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import get_mask
from keras_seqtools._keras_internals import seed_generators
from keras_seqtools._keras_internals import unnamed_seed_generators
from keras_seqtools.uncertainty._graph_split import SplitModel
from keras_seqtools.uncertainty._noise import NoiseWithoutRowsError
from keras_seqtools.uncertainty._noise import RowNoise
from keras_seqtools.uncertainty._noise import philox_key
from keras_seqtools.uncertainty._plan import Plan
from keras_seqtools.uncertainty._stochastic_layers import draws_by_row
from keras_seqtools.uncertainty._stochastic_layers import sampling

# Where accumulators draw: a place that no seed generator of a model has.
_ACCUMULATORS = object()


@dataclasses.dataclass(frozen=True)
class _Batch:
    """Data of a batch, and what is to be done with them."""

    x: Any
    first_row: Any
    key: Any
    num_samples: Any
    targets: Sequence[Any]


class Sampler:
    """The passes of an ensemble of models, one of them more often than not.

    Args:
        models: The members.
        randoms: The random layers of each.
        plan: How they are run.
        accumulators: One for each output.
        consistent_masks: Whether all rows share the noise of a pass.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        randoms: Sequence[Collection[Any]],
        plan: Plan,
        accumulators: Sequence[Any],
        consistent_masks: bool = False,
    ) -> None:
        self.models = models
        self.randoms = randoms
        self.plan = plan
        self.accumulators = accumulators
        self.consistent_masks = consistent_masks

    def __call__(
        self,
        x: Any,
        first_row: Any,
        seed: Any,
        num_samples: Any,
        targets: Sequence[Any] = (),
    ) -> list[dict[str, Any]]:
        """What each accumulator makes of a batch; its mask as `"mask"`.

        Args:
            x: Inputs of a batch.
            first_row: Integer tensor, the number of the first row of it.
            seed: Integer tensor.
            num_samples: Integer or tensor, passes of each member; a multiple
                of the fold of the plan.
            targets: If not empty, given to the accumulators when they start.
        """
        members = []
        masks: list[Any] = []
        for number, model in enumerate(self.models):
            batch = _Batch(
                x, first_row, philox_key(seed, number), num_samples, targets
            )
            random = self.randoms[number]
            try:
                states, found = self._passes(
                    model, random, batch, self.plan.fold
                )
            except NoiseWithoutRowsError:  # of weights, say
                states, found = self._passes(model, random, batch, fold=1)
            members.append(states)
            masks = masks or found  # those of the first member
        found = [
            accumulator.finish(list(states), num_samples)
            for accumulator, states in zip(
                self.accumulators, zip(*members, strict=True), strict=True
            )
        ]
        for fields, mask in zip(found, masks, strict=True):
            if mask is not None:
                fields["mask"] = mask
        return found

    def _passes(
        self,
        model: keras.Model,
        random: Collection[Any],
        batch: _Batch,
        fold: int,
    ) -> tuple[list[Any], list[Any]]:
        """States of the accumulators after all passes, and masks."""
        x = batch.x
        split = SplitModel(model, random, self.plan.split)
        with deterministic(model, random):
            once, folded = split.precompute(x, fold)
            points = keras.tree.flatten(split.complete(x, once))
        if len(points) != len(self.accumulators):
            raise ValueError(
                f"Expected a model with {len(self.accumulators)} outputs, one "
                f"for each `task`. Received: `{model.name}` with "
                f"{len(points)} outputs"
            )
        masks = [get_mask(point) for point in points]
        points = [tf.cast(point, tf.float32) for point in points]
        rows = _count_rows(x)
        sites, others = generators(model)

        def some_more(chunk: Any, states: list[Any]) -> tuple[Any, list[Any]]:
            before = chunk * fold
            noise = RowNoise(
                batch.key,
                before,
                fold,
                batch.first_row,
                rows,
                sites,
                [*others, _ACCUMULATORS],
                self.consistent_masks,
                self.plan.jit_compile,
            )
            with noisy(model, random, noise):
                outputs = keras.tree.flatten(split.complete(x, folded))
            seed = noise.seed(_ACCUMULATORS)
            updated = [
                accumulator.update(state, _unfold(output, fold), before, seed)
                for accumulator, state, output in zip(
                    self.accumulators, states, outputs, strict=True
                )
            ]
            return chunk + 1, keras.tree.map_structure(_same, states, updated)

        chunks = batch.num_samples // fold
        with_targets = [batch.targets] if batch.targets else []
        states = [
            accumulator.start(point, chunks, *target)
            for accumulator, point, *target in zip(
                self.accumulators, points, *with_targets, strict=True
            )
        ]
        _, states = tf.while_loop(
            lambda chunk, states: chunk < chunks,
            some_more,
            (tf.constant(0), states),
            parallel_iterations=1,
        )
        return states, masks


def deterministic_pass(
    model: keras.Model, random: Collection[Any], x: Any
) -> Any:
    """The output of a model with all noise off."""
    with deterministic(model, random):
        return model(x, training=False)


@contextlib.contextmanager
def deterministic(
    model: keras.Model, random: Collection[Any]
) -> Iterator[None]:
    """Inside, the model has no noise and changes no state."""
    with sampling(model, random, is_on=False), keras.StatelessScope():
        yield


@contextlib.contextmanager
def noisy(
    model: keras.Model, random: Collection[Any], noise: RowNoise
) -> Iterator[None]:
    """Inside, the model draws from `noise`, and changes no state.

    What draws in other ways, a layer of the user's say, finds in its seed
    generator a seed for this batch and pass.
    """
    sites, others = generators(model)
    states = [
        (generator.state, tf.cast(noise.seed(generator), generator.state.dtype))
        for generator in (*sites, *others)
    ]
    with (
        sampling(model, random, is_on=True),
        keras.StatelessScope(state_mapping=states),
        drawing_from(noise),
    ):
        yield


def generators(model: keras.Model) -> tuple[dict[Any, bool], list[Any]]:
    """Seed generators that draw row by row, whether rows share it; and others.

    By `noise_shape`, rows may share what otherwise each has of its own.
    """
    sites, others = {}, unnamed_seed_generators()
    for layer in flatten_layers(model):
        shape = getattr(layer, "noise_shape", None)
        for generator in seed_generators(layer):
            if draws_by_row(layer):
                sites[generator] = shape is not None and shape[0] == 1
            else:
                others.append(generator)
    return sites, others


def _count_rows(x: Any) -> Any:
    """As an integer if it is known, else as a tensor."""
    first = next(t for t in keras.tree.flatten(x) if t is not None)
    return first.shape[0] or tf.shape(first)[0]


def _unfold(output: Any, fold: int) -> Any:
    """Passes on an axis of their own, the first, in float32."""
    sizes = tf.concat([[fold, -1], tf.shape(output)[1:]], axis=0)
    passes = tf.reshape(tf.cast(output, tf.float32), sizes)
    rows = output.shape[0] and output.shape[0] // fold
    return tf.ensure_shape(passes, [fold, rows, *output.shape[1:]])


def _same(old: Any, new: Any) -> Any:
    """The new value, with the shape that TensorFlow may have lost."""
    is_tensor = isinstance(new, tf.Tensor)
    return tf.ensure_shape(new, old.shape) if is_tensor else new
