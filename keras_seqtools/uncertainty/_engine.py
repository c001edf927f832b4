"""Runs models over data: compiled, in batches, on one device or several."""

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Hashable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import Batches
from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools.uncertainty._batches import over_batches
from keras_seqtools.uncertainty._compiled import Compiled
from keras_seqtools.uncertainty._compiled import compiled_for
from keras_seqtools.uncertainty._plan import Plan
from keras_seqtools.uncertainty._plan import make_plan
from keras_seqtools.uncertainty._replicas import Replicated
from keras_seqtools.uncertainty._sampler import Sampler
from keras_seqtools.uncertainty._sampler import deterministic_pass
from keras_seqtools.uncertainty._stochastic_layers import rates_key

Randoms = Sequence[dict[Any, dict[str, float]]]


def sample_batches(
    models: Sequence[keras.Model],
    randoms: Randoms,
    accumulators: Sequence[Any],
    key: Hashable,
    data: Sequence[Any],
    *,
    num_samples: int,
    seed: int,
    batch_size: int | None = None,
    consistent_masks: bool = False,
    targets_of: Callable[[Any], list[Any]] | None = None,
    jit_compile: bool = False,
    **options: Any,
) -> Iterator[Any]:
    """What accumulators make of each batch; its targets and weights.

    Args:
        models: The members of an ensemble.
        randoms: The random layers of each, with their rates.
        accumulators: One for each output.
        key: What tells these accumulators from others.
        data: Inputs; targets and sample weights, if there are any.
        num_samples: Passes of each member.
        seed: Integer.
        batch_size: Rows at a time, or None.
        consistent_masks: Whether all rows share the noise of a pass.
        targets_of: Makes of the targets of a batch those of each output, for
            its accumulator. Defaults to `None`: they are given none.
        jit_compile: Whether to compile by XLA.
        **options: `steps`, `verbose` and `callbacks` of `Model.predict`.
    """
    plan = make_plan(models, randoms, num_samples, batch_size, jit_compile)

    places = [_places(*pair) for pair in zip(models, randoms, strict=True)]

    def make(members: Sequence[keras.Model]) -> Callable[..., Any]:
        found = [_at(*pair) for pair in zip(members, places, strict=True)]
        sampler = Sampler(members, found, plan, accumulators, consistent_masks)
        if jit_compile:  # XLA must know how many samples there will be
            return lambda x, row, seed, _, *targets: sampler(
                x, row, seed, num_samples, targets
            )
        return lambda x, row, seed, number, *targets: sampler(
            x, row, seed, number, targets
        )

    key = (key, consistent_masks, jit_compile and num_samples)
    constants = tf.constant(seed, tf.int64), tf.constant(num_samples)
    function = _prepare(models, randoms, plan, key, make)

    def of_batch(x: Any, first_row: Any, y: Any) -> Any:
        targets = targets_of(y) if targets_of else []
        return function(x, first_row, *constants, *targets)

    return _stream(models, of_batch, plan, data, **options)


def deterministic_batches(
    model: keras.Model,
    random: dict[Any, dict[str, float]],
    x: Any,
    batch_size: int | None,
    **options: Any,
) -> Iterator[Any]:
    """The output of the model with all noise off, batch by batch."""
    plan = make_plan([model], [random], 1, batch_size)

    places = _places(model, random)

    def make(members: Sequence[keras.Model]) -> Callable[..., Any]:
        (member,) = members
        return lambda x, _: deterministic_pass(member, _at(member, places), x)

    function = _prepare([model], [random], plan, "deterministic", make)
    return _stream(
        [model], lambda x, row, y: function(x, row), plan, (x,), **options
    )


def _prepare(
    models: Sequence[keras.Model],
    randoms: Randoms,
    plan: Plan,
    key: Hashable,
    make: Callable[[Sequence[keras.Model]], Callable[..., Any]],
) -> Callable[..., Any]:
    """The function that `make` makes, run as the first model is."""
    if getattr(models[0], "run_eagerly", False):
        return make(models)
    any_size = not plan.pad and all(map(length_may_vary, models))
    strategy = models[0].distribute_strategy
    wrap: Callable[..., Any]
    if strategy.num_replicas_in_sync > 1:
        wrap = functools.partial(
            Replicated, strategy=strategy, any_size=any_size
        )
    else:
        wrap = functools.partial(
            Compiled,
            any_rows=not plan.pad,
            any_size=any_size,
            jit_compile=plan.jit_compile,
        )
    if not plan.pad:  # any number of rows will do
        plan = dataclasses.replace(plan, batch_size=0)
    return compiled_for(models, (key, rates_key(randoms), plan), make, wrap)


def _places(model: keras.Model, random: Collection[Any]) -> list[int]:
    """Random layers by their places, which do not keep them alive."""
    layers = flatten_layers(model)
    return [place for place, layer in enumerate(layers) if layer in random]


def _at(model: keras.Model, places: Sequence[int]) -> list[Any]:
    layers = flatten_layers(model)
    return [layers[place] for place in places]


def length_may_vary(model: keras.Model) -> bool:
    """Whether the length of sequences may be unknown when it is traced.

    Keras (3.15) takes the number of rows for that of steps otherwise, in
    `TimeDistributed`.
    """
    return not any(
        isinstance(layer, keras.layers.TimeDistributed)
        for layer in flatten_layers(model)
    )


def _stream(
    models: Sequence[keras.Model],
    of_batch: Callable[..., Any],
    plan: Plan,
    data: Sequence[Any],
    steps: int | None = None,
    verbose: Any = "auto",
    callbacks: Any = None,
) -> Iterator[Any]:
    replicas = models[0].distribute_strategy.num_replicas_in_sync
    return over_batches(
        models[0],
        of_batch,
        Batches(data, batch_size=plan.batch_size, steps=steps),
        multiple_of=plan.batch_size if plan.pad else replicas,
        verbose=verbose,
        callbacks=callbacks,
    )
