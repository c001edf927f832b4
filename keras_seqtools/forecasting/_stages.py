"""Layers that see the past, run one step on from where they stand.

`begin` runs a layer over whole sequences, and `advance` over the one step
that follows; both return what the layer emits and what it carries on.
"""

from collections.abc import Collection
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import reset_dropout_masks
from keras_seqtools._keras_internals import takes_training
from keras_seqtools._keras_internals import with_attributes
from keras_seqtools.layers import CausalConvStack


class Recurrent:
    """A recurrent layer: it carries the state of its cell.

    Args:
        layer: A layer that reads forwards and emits no states.
        random: The random layers of the model.
    """

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
        layers, cell = flatten_layers(self.layer), self.layer.cell
        options = {"training": self.is_random} if takes_training(cell) else {}
        # A cell keeps its masks until it is told that the sequence is over.
        reset_dropout_masks(layers)
        output, new = cell(tf.squeeze(inputs, axis=1), state, **options)
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


class CausalConv:
    """A causal convolution: it carries the inputs it is going to see again."""

    def __init__(self, layer: keras.layers.Conv1D) -> None:
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

    def __init__(self, layer: CausalConvStack) -> None:
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
