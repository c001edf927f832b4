"""Private Keras names, all of them, each with a test of what it relies on."""

import contextlib
import threading
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src import backend
from keras.src.backend.common.global_state import get_global_attribute
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.export.export_utils import get_input_signature
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell
from keras.src.models.functional import Functional
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR


def get_mask(tensor: Any) -> Any:
    """The mask that Keras keeps with a layer's output, or None."""
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor: Any, mask: Any) -> Any:
    """The tensor itself, as masked as if a layer had emitted it."""
    if mask is not None:
        tensor._keras_mask = mask
    return tensor


def flatten_layers(model: Any) -> list[Any]:
    """The model and every layer in it, at any depth, each once."""
    return list(dict.fromkeys(model._flatten_layers()))


def stateful_layers(model: Any) -> list[Any]:
    """Recurrent layers of the model that keep their states between batches."""
    return [
        layer
        for layer in flatten_layers(model)
        if isinstance(layer, keras.layers.RNN) and layer.stateful
    ]


def with_attributes(layer: Any, **attributes: Any) -> Any:
    """A layer that shares all with another, weights too, but attributes."""
    twin = object.__new__(type(layer))
    # Not by `setattr`, which would tell what they share of the twin.
    twin.__dict__.update(layer.__dict__, **attributes)
    # What has replaced the method for a while calls it for the other.
    twin.__dict__.pop("call", None)
    return twin


def seed_generators(layer: Any) -> list[Any]:
    """The seed generators that the layer itself owns."""
    return list(layer._seed_generators)


def takes_training(layer: Any) -> bool:
    """Whether the `call` of the layer has an argument `training`."""
    return bool(layer._call_has_training_arg)


def call_context(layer: Any) -> Any:
    """What nested layer calls share, `training` among it, while one runs."""
    return layer._get_call_context()


def is_dropout_cell(layer: Any) -> bool:
    """Whether it is a recurrent cell that keeps dropout masks."""
    return isinstance(layer, DropoutRNNCell)


def reset_dropout_masks(layers: Iterable[Any]) -> None:
    """Recurrent cells forget masks that an interrupted call left behind."""
    for layer in layers:
        if is_dropout_cell(layer):
            layer.reset_dropout_mask()
            layer.reset_recurrent_dropout_mask()


def is_preprocessing(layer: Any) -> bool:
    """Whether it is one of Keras' own preprocessing or augmentation layers."""
    return type(layer).__module__.startswith("keras.src.layers.preprocessing")


def operations_backwards(model: Any, place: int = 0) -> Iterator[Any]:
    """Operations from one output of a model back along first inputs.

    Goes into nested models. Nothing for a model that has no graph.
    """
    tensors = (getattr(model, "outputs", None) or [])[place:]
    while tensors:
        operation, node_index, tensor_index = tensors[0]._keras_history
        if getattr(operation, "outputs", None):
            yield from operations_backwards(operation, tensor_index)
        else:
            yield operation
        tensors = operation._inbound_nodes[node_index].input_tensors


def compilation(model: Any) -> Any:
    """What every `compile` of the model makes anew; None before the first."""
    return getattr(model, "_compile_config", None)


def graph_of(model: Any) -> Any:
    """The functional graph that a call of the model runs, or None.

    A model with a `call` of its own has none, even if it was built from one.
    """
    for cls in (keras.Sequential, Functional):
        if isinstance(model, cls):
            is_own = type(model).call is cls.call and "call" not in vars(model)
            graph = model._functional if cls is keras.Sequential else model
            return graph if is_own else None
    return None


def input_specs(model: Any) -> Any:
    """What the model takes, with shapes and dtypes, as `Model.export` says.

    Raises a `ValueError` if that is not known, for want of a first call.
    """
    return get_input_signature(model)[0]


def graph_inputs(graph: Any, inputs: Any) -> list[Any]:
    """What a graph makes of its inputs: tensors in the order it names them."""
    return graph._standardize_inputs(inputs)


def graph_nodes(graph: Any) -> list[Any]:
    """Calls of operations, each after those that it needs."""
    depths = sorted(graph._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in graph._nodes_by_depth[depth]]
    return [node for node in nodes if not node.is_input]


def pack_outputs(graph: Any, outputs: list[Any]) -> Any:
    """Outputs of a graph in the structure that the user gave them."""
    return keras.tree.pack_sequence_as(graph._outputs_struct, outputs)


def unnamed_seed_generators() -> list[Any]:
    """The generator behind draws that name no seed, once there were some."""
    generator = get_global_attribute(GLOBAL_SEED_GENERATOR)
    return [] if generator is None else [generator]


@contextlib.contextmanager
def drawing_from(noise: Any) -> Iterator[None]:
    """Inside, `keras.random` draws from `noise` what that has a word on.

    For the thread that enters it; only one at a time may. Seeds alone could
    not steer the noise: they say nothing of rows.
    """
    random, owner = backend.random, threading.get_ident()
    keras_dropout, keras_normal = random.dropout, random.normal
    keras_uniform, keras_draw_seed = random.uniform, random.draw_seed

    def is_ours(seed: Any) -> bool:
        return threading.get_ident() == owner and noise.knows(seed)

    def dropout(
        inputs: Any, rate: Any, noise_shape: Any = None, seed: Any = None
    ) -> Any:
        if is_ours(seed) and isinstance(rate, Real) and 0.0 < float(rate) < 1.0:
            shape = noise.mask_shape(inputs, noise_shape)
            if noise.draws_for(seed, shape):
                return noise.dropout(inputs, float(rate), shape, seed)
        return keras_dropout(inputs, rate, noise_shape, seed)

    def normal(
        shape: Any,
        mean: float = 0.0,
        stddev: float = 1.0,
        dtype: Any = None,
        seed: Any = None,
    ) -> Any:
        if is_ours(seed) and noise.draws_for(seed, shape):
            dtype = dtype or backend.floatx()
            return noise.normal(shape, mean, stddev, dtype, seed)
        return keras_normal(shape, mean, stddev, dtype, seed)

    def uniform(
        shape: Any,
        minval: float = 0.0,
        maxval: float = 1.0,
        dtype: Any = None,
        seed: Any = None,
    ) -> Any:
        if is_ours(seed) and noise.draws_for(seed, shape):
            dtype = dtype or backend.floatx()
            return noise.uniform(shape, minval, maxval, dtype, seed)
        return keras_uniform(shape, minval, maxval, dtype, seed)

    def draw_seed(seed: Any) -> Any:
        unnamed = unnamed_seed_generators() if seed is None else []
        for generator in (seed, *unnamed):
            if is_ours(generator):
                return noise.seed(generator)
        return keras_draw_seed(seed)

    random.dropout, random.normal = dropout, normal
    random.uniform, random.draw_seed = uniform, draw_seed
    try:
        yield
    finally:
        random.dropout, random.normal = keras_dropout, keras_normal
        random.uniform, random.draw_seed = keras_uniform, keras_draw_seed


def loop_step(outermost: Any) -> Any:
    """Which step it is of the loops between here and an outer graph; 0 of none.

    TensorFlow keeps a counter as the first input of every loop body.
    """
    step = tf.constant(0, tf.uint64)
    if tf.executing_eagerly():
        return step  # loops in Python count for themselves
    graph, counters = tf.compat.v1.get_default_graph(), []
    while graph is not None and graph is not outermost:
        if type(graph).__name__ == "WhileBodyFuncGraph":
            counters.append(tf.cast(graph.inputs[0], tf.uint64))
        graph = getattr(graph, "outer_graph", None)
    for counter in reversed(counters):
        step = step * 2**20 + counter
    return step


class Batches:
    """Batches of whatever Keras takes as data, as tensors.

    Iterating yields them; `number` is how many, or None if that is not known.

    Args:
        data: Inputs; targets and sample weights, if there are any.
        batch_size: Rows at a time, of arrays.
        steps: How many batches to read at most, or None.
    """

    def __init__(
        self, data: Sequence[Any], batch_size: int, steps: int | None = None
    ) -> None:
        self._data, self._batch_size = tuple(data), batch_size
        sizes = {_count_numbers(leaf) for leaf in keras.tree.flatten(data)}
        (size,) = sizes if len(sizes) == 1 else (None,)
        self._starts = None
        if size is not None and steps is None:
            self._starts = range(0, size, batch_size)
            self.number = len(self._starts)
            return
        names = ("x", "y", "sample_weight")
        self._epoch = TFEpochIterator(
            **dict(zip(names, data, strict=False)),
            batch_size=batch_size,
            steps_per_epoch=steps,
            shuffle=False,
            distribute_strategy=tf.distribute.get_strategy(),
        )
        self.number = self._epoch.num_batches

    def __iter__(self) -> Iterator[Any]:
        # A pipeline of TensorFlow takes longer to set up than many a call
        # of a small model, and arrays need none.
        for start in self._starts or ():
            rows = slice(start, start + self._batch_size)
            yield keras.tree.map_structure(
                lambda array, rows=rows: _to_tensor(array[rows]), self._data
            )
        if self._starts is None:
            with self._epoch.catch_stop_iteration():
                for _, _, iterator in self._epoch:
                    yield next(iterator)


def _count_numbers(data: Any) -> int | None:
    """The length of an array of numbers; None for anything else."""
    is_numbers = isinstance(data, np.ndarray) and data.dtype.kind in "biuf"
    return len(data) if is_numbers and data.ndim else None


def _to_tensor(array: np.ndarray) -> Any:
    is_float = array.dtype.kind == "f"
    return tf.constant(array, backend.floatx() if is_float else None)
