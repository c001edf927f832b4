"""How many rows, and how many passes, a model is given at a time."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._validation import check_positive_int
from keras_seqtools.uncertainty._graph_split import SplitModel
from keras_seqtools.uncertainty._stochastic_layers import draws_by_row
from keras_seqtools.uncertainty._stochastic_layers import has_own_call

# Numbers that the largest tensor of the noisy part should hold: what stays in
# the cache of a processor core (measured; twice or half makes little odds).
_NOISY_NUMBERS = 2**18
# And that of the part before it, which is computed once: 64 MiB.
_NUMBERS = 2**24
_MOST_ROWS = 256
_MOST_PASSES = 16
_ROWS_WITHOUT_GRAPH = 64


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a model is run.

    Attributes:
        batch_size: Rows at a time.
        fold: Passes at a time, side by side in the batch.
        split: Whether what no noise reaches is computed once.
        pad: Whether every batch must have just `batch_size` rows.
        jit_compile: Whether XLA compiles it.
    """

    batch_size: int
    fold: int
    split: bool
    pad: bool
    jit_compile: bool = False


def make_plan(
    models: Sequence[keras.Model],
    randoms: Sequence[Any],
    num_samples: int,
    batch_size: int | None,
    jit_compile: bool = False,
) -> Plan:
    """The plan that fits all members of an ensemble."""
    if batch_size is not None:
        check_positive_int("batch_size", batch_size)
    fixed = {size for model in models for size in _fixed_sizes(model)}
    layers = [layer for model in models for layer in flatten_layers(model)]
    if fixed or any(getattr(layer, "stateful", False) for layer in layers):
        batch_size = min(fixed, default=batch_size or _ROWS_WITHOUT_GRAPH)
        return Plan(
            batch_size, fold=1, split=False, pad=True, jit_compile=jit_compile
        )
    sizes = [
        SplitModel(model, random).row_sizes()
        for model, random in zip(models, randoms, strict=True)
    ]
    if None in sizes:  # nothing is known of what is inside
        rows = limit = _ROWS_WITHOUT_GRAPH
        folds = True
    else:
        noisy, largest, is_known = zip(*sizes, strict=True)
        limit = _NUMBERS // max(largest)
        rows = min(_NOISY_NUMBERS // max(noisy), limit)
        folds = all(is_known)
    if batch_size is None:
        batch_size = max(1, min(_MOST_ROWS, max(rows, 32), limit))
    most = min(_MOST_PASSES, rows // batch_size)
    if not folds or any(
        not _may_fold(layer) for random in randoms for layer in random
    ):
        most = 1
    fold = max(d for d in range(1, max(most, 1) + 1) if num_samples % d == 0)
    return Plan(
        batch_size, fold, split=True, pad=jit_compile, jit_compile=jit_compile
    )


def _may_fold(layer: Any) -> bool:
    return draws_by_row(layer) and not has_own_call(layer)


def _fixed_sizes(model: keras.Model) -> set[int]:
    """Batch sizes that the model, or the masks of its dropout, insist on."""
    sizes = {tensor.shape[0] for tensor in getattr(model, "inputs", None) or ()}
    for layer in flatten_layers(model):
        shape = getattr(layer, "noise_shape", None)
        if shape and shape[0] != 1:
            sizes.add(shape[0])
    return sizes - {None}
