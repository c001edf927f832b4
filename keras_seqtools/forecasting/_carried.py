"""Causal models that read a sequence step by step, and carry what they saw.

What a recurrent layer knows of the past is its state, and what a causal
convolution knows are its last few inputs; all else in such a model sees one
step at a time. One step more then costs the same after any history, and gives
what a run over all of that history would.
"""

from collections.abc import Callable
from collections.abc import Collection
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import graph_nodes
from keras_seqtools._keras_internals import graph_of
from keras_seqtools.forecasting._stages import is_of_keras
from keras_seqtools.forecasting._stages import stage_of
from keras_seqtools.heads import DistributionHead
from keras_seqtools.layers import Highway
from keras_seqtools.uncertainty._stochastic_layers import has_own_call

# What treats every step alike, whatever the others are.
_POINTWISE = (
    DistributionHead,
    Highway,
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.AlphaDropout,
    keras.layers.Average,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.LeakyReLU,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.SpatialDropout1D,
    keras.layers.Subtract,
)
# And what does where its axis is the last one.
_POINTWISE_BY_AXIS = (
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.Softmax,
)
_POINTWISE_OPERATIONS = (
    "Absolute",
    "Add",
    "Divide",
    "Exp",
    "Log",
    "Multiply",
    "Negative",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Sqrt",
    "Square",
    "Subtract",
    "Tanh",
    "TrueDivide",
)


class Carried:
    """A model that `can_carry`, run on from where it stands.

    Args:
        model: The model.
        random: Those of its layers that are random.
    """

    def __init__(self, model: keras.Model, random: Collection[Any]) -> None:
        self.graph = graph_of(model)
        self.random = random
        self.stages: dict[int, Any] = {}

    def begin(self, sequences: Any) -> tuple[Any, list[Any]]:
        """What the model emits for whole sequences, and the state after."""
        states: list[Any] = []

        def run(stage: Any, inputs: Any) -> Any:
            outputs, state = stage.begin(inputs)
            states.append(state)
            return outputs

        return self._walk(self.graph, sequences, run), states

    def advance(self, step: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """What it emits for the step that follows, `(batch, 1, features)`."""
        before, after = iter(states), []

        def run(stage: Any, inputs: Any) -> Any:
            outputs, state = stage.advance(inputs, next(before))
            after.append(state)
            return outputs

        return self._walk(self.graph, step, run), after

    def _walk(
        self, graph: Any, inputs: Any, run: Callable[[Any, Any], Any]
    ) -> Any:
        values = {id(graph.inputs[0]): tf.cast(inputs, graph.inputs[0].dtype)}
        for node in graph_nodes(graph):
            args, kwargs = node.arguments.fill_in(values)
            operation, inner = node.operation, graph_of(node.operation)
            if inner is not None:
                (entering,) = keras.tree.flatten(args)
                output = self._walk(inner, entering, run)
            elif (stage := self._stage(operation)) is not None:
                output = run(stage, args[0])
            elif isinstance(operation, keras.layers.Layer):
                output = operation(*args, **{**kwargs, "training": False})
            else:
                output = operation(*args, **kwargs)
            values[id(node.outputs[0])] = output
        return values[id(graph.outputs[0])]

    def _stage(self, operation: Any) -> Any:
        """What runs a layer that sees the past, at every step the same."""
        if id(operation) not in self.stages:
            stage = stage_of(operation)
            made = None if stage is None else stage(operation, self.random)
            self.stages[id(operation)] = made
        return self.stages[id(operation)]


def can_carry(model: keras.Model) -> bool:
    """Whether a model is a graph of causal layers that `Carried` knows.

    Its one input must be `(batch, None, features)`.
    """
    graph = graph_of(model)
    if graph is None or len(graph.inputs) != 1:
        return False
    shape = graph.inputs[0].shape
    return len(shape) == 3 and shape[1] is None and _is_known(graph)


def _is_known(graph: Any) -> bool:
    nodes = graph_nodes(graph)
    return len(graph.outputs) == 1 and all(map(_is_known_node, nodes))


def _is_known_node(node: Any) -> bool:
    operation, args = node.operation, node.arguments.args
    named = keras.tree.flatten(node.arguments.kwargs)
    if any(map(keras.backend.is_keras_tensor, named)):
        return False  # a mask, or a state to start from
    tensors = filter(keras.backend.is_keras_tensor, keras.tree.flatten(args))
    has_time = {tensor.shape[1] is None for tensor in tensors}
    if len(has_time) != 1:
        return False  # beside a sequence its last step reaches back in time
    if not isinstance(operation, keras.layers.Layer):
        return _is_known_operation(operation, args)
    inner = graph_of(operation)
    if inner is not None:
        return len(args) == 1 and len(inner.inputs) == 1 and _is_known(inner)
    if len(args) != 1 or has_own_call(operation):
        return False
    if stage_of(operation) is not None:
        return has_time == {True}
    if not is_of_keras(getattr(operation, "activation", None)):
        return False  # it may look along time
    if isinstance(operation, _POINTWISE_BY_AXIS):
        rank = len(keras.tree.flatten(args)[0].shape)
        return keras.tree.flatten(operation.axis) in ([-1], [rank - 1])
    return isinstance(operation, _POINTWISE)


def _is_known_operation(operation: Any, args: Any) -> bool:
    """Of single steps, or the choice of some features or of the last step."""
    name = type(operation).__name__
    if name != "GetItem":
        return name in _POINTWISE_OPERATIONS
    tensor, key = args
    if not isinstance(key, tuple) or len(tensor.shape) != 3:
        return False
    whole = slice(None)
    of_features = len(key) == 2 and key[0] is Ellipsis
    return of_features or key[:2] in ((whole, whole), (whole, -1))
