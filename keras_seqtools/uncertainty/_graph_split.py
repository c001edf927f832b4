"""What no noise reaches is computed once, and the rest once per pass.

The graph of a functional or sequential model is walked twice, node by node,
with real tensors: the user's layers are called, but nothing is added to them.
The first walk keeps the output of every operation that no noise reaches. The
second takes these instead of computing them, and may see them repeated for
several passes at once. A model without a graph counts as one operation.
"""

import math
from collections.abc import Callable
from collections.abc import Collection
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import get_mask
from keras_seqtools._keras_internals import graph_inputs
from keras_seqtools._keras_internals import graph_nodes
from keras_seqtools._keras_internals import graph_of
from keras_seqtools._keras_internals import pack_outputs
from keras_seqtools._keras_internals import set_mask

_UNKNOWN_SIZE = 64  # taken for the length of an axis that varies
_STEP_SIZE = 256  # and for what a recurrent layer holds of a row (measured)
# In place of the output of an operation that noise reaches.
_NOISY = object()


class SplitModel:
    """A model whose calls can share what they have in common.

    Args:
        model: A built model.
        random: Its random layers.
        split: Whether to look into the graph of the model.
    """

    def __init__(
        self, model: keras.Model, random: Collection[Any], split: bool = True
    ) -> None:
        self.model = model
        self.random = set(random)
        self.graph = graph_of(model) if split else None

    def precompute(self, x: Any, fold: int) -> tuple[list[Any], list[Any]]:
        """What no noise reaches: once, and with its rows repeated `fold` times.

        Both in the order of the walk, with None where noise comes in.
        """
        if self.graph is None:
            flat = keras.tree.flatten(x)
            return [flat], [[_repeat(tensor, fold) for tensor in flat]]
        inputs = graph_inputs(self.graph, x)
        once: list[Any] = []
        folded: list[Any] = []

        def keep(outputs: list[Any], like: list[Any]) -> list[Any]:
            once.append(outputs)
            pairs = zip(outputs, like, strict=True)
            folded.append([_repeat_if_rows(*pair, fold) for pair in pairs])
            return outputs

        def step(
            operation: Any, like: list[Any], args: Any, kwargs: Any
        ) -> list[Any]:
            leaves = keras.tree.flatten((args, kwargs))
            is_reached = any(leaf is _NOISY for leaf in leaves)
            if is_reached or self._is_random(operation):
                once.append(None)
                folded.append(None)
                return [_NOISY] * len(like)
            return keep(_run(operation, args, kwargs), like)

        keep(inputs, self.graph.inputs)
        self._walk(self.graph, inputs, step)
        return once, folded

    def complete(self, x: Any, known: list[Any]) -> Any:
        """The output of the model, from what has been computed before."""
        remaining = iter(known)
        inputs = next(remaining)
        if self.graph is None:
            x = keras.tree.pack_sequence_as(x, inputs)
            return self.model(x, training=False)

        def step(
            operation: Any, like: list[Any], args: Any, kwargs: Any
        ) -> list[Any]:
            outputs = next(remaining)
            if outputs is None:
                return _run(operation, args, kwargs)
            return outputs

        return pack_outputs(self.graph, self._walk(self.graph, inputs, step))

    def row_sizes(self) -> tuple[int, int, bool] | None:
        """Numbers a row has in the largest tensor near noise, and in any.

        A recurrent layer works on one step at a time, so beside one the size
        of sequences says nothing. And whether all sizes but those of the
        first axes are known: then an unknown one is the number of rows.
        """
        if self.graph is None:
            return None
        noisy, is_recurrent = [1], [False]
        tensors = list(self.graph.inputs)

        def step(
            operation: Any, like: list[Any], args: Any, kwargs: Any
        ) -> list[Any]:
            tensors.extend(like)
            leaves = keras.tree.flatten((args, kwargs))
            is_reached = any(leaf is _NOISY for leaf in leaves)
            if not is_reached and not self._is_random(operation):
                return like
            near = filter(keras.backend.is_keras_tensor, [*leaves, *like])
            noisy.extend(map(_row_size, near))
            is_recurrent.append(_is_recurrent(operation))
            return [_NOISY] * len(like)

        self._walk(self.graph, self.graph.inputs, step)
        return (
            _STEP_SIZE if any(is_recurrent) else max(noisy),
            max(map(_row_size, tensors)),
            all(None not in tensor.shape[1:] for tensor in tensors),
        )

    def _walk(
        self, graph: Any, inputs: list[Any], step: Callable[..., list[Any]]
    ) -> list[Any]:
        values = dict(zip(map(id, graph.inputs), inputs, strict=True))
        for node in graph_nodes(graph):
            args, kwargs = node.arguments.fill_in(values)
            inner = graph_of(node.operation)
            if (
                inner is not None
                and self._is_random(inner)
                and _fits(node, inner)
            ):
                outputs = self._walk_inside(inner, step, *args, **kwargs)
            else:
                outputs = step(node.operation, node.outputs, args, kwargs)
            values.update(zip(map(id, node.outputs), outputs, strict=True))
        return [values[id(tensor)] for tensor in graph.outputs]

    def _walk_inside(
        self,
        graph: Any,
        step: Callable[..., list[Any]],
        inputs: Any,
        mask: Any = None,
        **kwargs: Any,
    ) -> list[Any]:
        flat = keras.tree.flatten(inputs)
        masks = [None] * len(flat) if mask is None else keras.tree.flatten(mask)
        converted = [
            step(_enter, [like], (tensor, like.dtype, own_mask), {})[0]
            for tensor, like, own_mask in zip(
                flat, graph.inputs, masks, strict=True
            )
        ]
        return self._walk(graph, converted, step)

    def _is_random(self, operation: Any) -> bool:
        return isinstance(operation, keras.layers.Layer) and any(
            layer in self.random for layer in flatten_layers(operation)
        )


def _is_recurrent(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer) and any(
        isinstance(layer, keras.layers.RNN)
        for layer in flatten_layers(operation)
    )


def _row_size(tensor: Any) -> int:
    return math.prod(size or _UNKNOWN_SIZE for size in tensor.shape[1:])


def _run(operation: Any, args: Any, kwargs: Any) -> list[Any]:
    if isinstance(operation, keras.layers.Layer):
        kwargs = {**kwargs, "training": False}
    return keras.tree.flatten(operation(*args, **kwargs))


def _fits(node: Any, graph: Any) -> bool:
    """Whether a graph takes the inputs of its node as they are."""
    if not node.arguments.args:
        return False
    inputs = node.arguments.args[0]
    if isinstance(inputs, dict) != isinstance(graph.input, dict):
        return False
    ranks = [len(tensor.shape) for tensor in keras.tree.flatten(inputs)]
    return ranks == [len(tensor.shape) for tensor in graph.inputs]


def _enter(tensor: Any, dtype: Any, mask: Any) -> Any:
    """An input of a nested graph, as the graph would convert it."""
    mask = get_mask(tensor) if mask is None else mask
    return set_mask(ops.convert_to_tensor(tensor, dtype=dtype), mask)


def _repeat_if_rows(tensor: Any, like: Any, fold: int) -> Any:
    has_rows = like.shape and like.shape[0] is None
    return _repeat(tensor, fold) if has_rows else tensor


def _repeat(tensor: Any, fold: int) -> Any:
    """The rows of a tensor, and of its mask, `fold` times one after another."""
    if tensor is None or fold == 1:
        return tensor
    repeated = tf.tile(tensor, [fold] + [1] * (len(tensor.shape) - 1))
    mask = get_mask(tensor)
    return repeated if mask is None else set_mask(repeated, _repeat(mask, fold))
