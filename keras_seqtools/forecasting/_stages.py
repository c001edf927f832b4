"""Layers that see the past, run one step on from where they stand.

`begin` runs a layer over whole sequences, and `advance` over the one step
that follows; both return what the layer emits and what it carries on.
`can_run` says whether a layer of the kind is causal and gives the same then.
"""

from collections.abc import Collection
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import is_dropout_cell
from keras_seqtools._keras_internals import reset_dropout_masks
from keras_seqtools._keras_internals import seed_generators
from keras_seqtools._keras_internals import takes_training
from keras_seqtools._keras_internals import with_attributes
from keras_seqtools.layers import CausalConvStack
from keras_seqtools.layers import LayerNormGRU
from keras_seqtools.layers import _layer_norm_gru_core as core


class Recurrent:
    """A recurrent layer: it carries the state of its cell.

    Args:
        layer: The layer.
        random: The random layers of the model.
    """

    kind: Any = keras.layers.RNN

    @staticmethod
    def can_run(layer: Any) -> bool:
        # Only cells that Keras knows of keep their noise for a sequence.
        has_other_noise = any(
            seed_generators(part) and not is_dropout_cell(part)
            for part in flatten_layers(layer)
        )
        return is_of_keras(type(layer).inner_loop) and not (
            layer.go_backwards or layer.return_state or has_other_noise
        )

    def __init__(self, layer: Any, random: Collection[Any]) -> None:
        self.layer = layer
        self.is_random = not set(random).isdisjoint(flatten_layers(layer))

    def begin(self, inputs: Any) -> tuple[Any, Any]:
        layer = with_attributes(
            self.layer, return_state=True, return_sequences=True, stateful=False
        )
        outputs, *states = layer(inputs, training=self.is_random)
        emits_all = self.layer.return_sequences
        return outputs if emits_all else outputs[:, -1], states

    def advance(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        layers = flatten_layers(self.layer)
        # A cell keeps its masks until it is told that the sequence is over.
        reset_dropout_masks(layers)
        output, new = self._step(tf.squeeze(inputs, axis=1), state)
        reset_dropout_masks(layers)
        new = new if keras.tree.is_nested(new) else [new]
        new = [
            tf.cast(after, before.dtype)
            for before, after in zip(
                keras.tree.flatten(state), keras.tree.flatten(new), strict=True
            )
        ]
        output = tf.cast(output, self.layer.compute_dtype)
        if self.layer.return_sequences:
            output = tf.expand_dims(output, axis=1)
        return output, keras.tree.pack_sequence_as(state, new)

    def _step(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        cell = self.layer.cell
        options = {"training": self.is_random} if takes_training(cell) else {}
        return cell(inputs, state, **options)


class CentredGRU(Recurrent):
    """A `LayerNormGRU`: its kernels are centred once, not at every step."""

    kind = LayerNormGRU

    @staticmethod
    def can_run(layer: Any) -> bool:
        return Recurrent.can_run(layer) and core.applies_to(layer.cell)

    def begin(self, inputs: Any) -> tuple[Any, Any]:
        # Before the loop of the steps, which all use them.
        self.weights = core.centred(self.layer.cell)
        return super().begin(inputs)

    def _step(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        cell, dtype = self.layer.cell, self.weights.kernel.dtype
        input_mask, state_mask = cell.dropout_masks(
            inputs, *state, self.is_random
        )
        if input_mask is not None:
            inputs = inputs * input_mask
        if state_mask is not None:
            state_mask = tf.cast(state_mask, dtype)
        after = core.step(
            tf.cast(inputs, dtype),
            tf.cast(*state, dtype),
            self.weights,
            cell.epsilon,
            state_mask,
        )
        return after, after


class CausalConv:
    """A causal convolution: it carries the inputs it is going to see again."""

    kind = keras.layers.Conv1D

    @staticmethod
    def can_run(layer: keras.layers.Conv1D) -> bool:
        sees_only_itself = layer.kernel_size == (1,)
        return (
            (layer.padding == "causal" or sees_only_itself)
            and layer.strides == (1,)
            and layer.groups == 1
            and layer.data_format == "channels_last"
            and is_of_keras(layer.activation)
        )

    def __init__(
        self, layer: keras.layers.Conv1D, random: Collection[Any] = ()
    ) -> None:
        self.layer = layer
        (self.dilation,) = layer.dilation_rate
        self.carried = (layer.kernel_size[0] - 1) * self.dilation

    def begin(self, inputs: Any) -> tuple[Any, Any]:
        inputs = tf.cast(inputs, self.layer.compute_dtype)
        padded = tf.pad(inputs, [[0, 0], [self.carried, 0], [0, 0]])
        end = tf.shape(padded)[1]
        return self.layer(inputs), padded[:, end - self.carried :]

    def advance(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        layer, dtype = self.layer, self.layer.compute_dtype
        seen = tf.concat([state, tf.cast(inputs, dtype)], axis=1)
        # One product, where the layer would also compute what is past.
        taken = seen[:, :: self.dilation]
        output = tf.tensordot(taken, tf.cast(layer.kernel, dtype), axes=2)
        if layer.use_bias:
            output += tf.cast(layer.bias, dtype)
        return tf.expand_dims(layer.activation(output), axis=1), seen[:, 1:]


class ConvStack:
    """A `CausalConvStack`: it carries what its convolutions do."""

    kind = CausalConvStack

    @staticmethod
    def can_run(layer: CausalConvStack) -> bool:
        return is_of_keras(layer.activation)

    def __init__(self, layer: CausalConvStack, random: Collection[Any]) -> None:
        self.blocks = layer.blocks
        self.dtype = layer.compute_dtype

    def begin(self, inputs: Any) -> tuple[Any, Any]:
        states, inputs = [], tf.cast(inputs, self.dtype)
        for block in self.blocks:
            outputs, state = CausalConv(block.conv).begin(inputs)
            inputs = block.finish(inputs, outputs)
            states.append(state)
        return inputs, states

    def advance(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        states, inputs = [], tf.cast(inputs, self.dtype)
        for block, before in zip(self.blocks, state, strict=True):
            outputs, after = CausalConv(block.conv).advance(inputs, before)
            inputs = block.finish(inputs, outputs)
            states.append(after)
        return inputs, states


def stage_of(layer: Any) -> Any:
    """The class that runs a layer which sees the past; None if none can.

    The first that can: those for some layers come before those for more.
    """
    for stage in (CentredGRU, Recurrent, ConvStack, CausalConv):
        if isinstance(layer, stage.kind) and stage.can_run(layer):
            return stage
    return None


def is_of_keras(function: Any) -> bool:
    """Whether it is none, or one of Keras' own or ours.

    None of their activations looks along time.
    """
    module = getattr(function, "__module__", "").split(".")[0]
    return function is None or module in ("keras", "keras_seqtools")
