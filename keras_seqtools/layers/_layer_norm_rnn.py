"""What the layer-normalised recurrent layers share, and what their cells do."""

from numbers import Real
from typing import Any
from typing import Self

import keras
from keras import ops

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import check_rate
from keras_seqtools._validation import invalid
from keras_seqtools._validation import same_shape
from keras_seqtools.layers._always_on import always_on


class LayerNormCell(keras.layers.Layer):
    """To be put before a cell of Keras: its norms and its dropout masks.

    The bias, gains and offsets are those of all gates, `kernel.shape[1]` of
    them; of gains and offsets one row is for the input and one for the state.
    """

    gamma_initializer: Any
    beta_initializer: Any
    epsilon: float

    def __init__(
        self,
        units: int,
        gamma_initializer: Any,
        beta_initializer: Any,
        dropout: float,
        recurrent_dropout: float,
        mc_dropout: bool,
        epsilon: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            check_positive_int("units", units),
            # Keras' bias is a pair in a GRU, and starts at 1 in part in an
            # LSTM, where the norm would undo it. `build` adds ours.
            use_bias=False,
            implementation=2,  # the other one draws a mask per gate
            **kwargs,
        )
        # Set here because the parent would clamp bad rates, and draw a mask
        # per gate once it knew of `recurrent_dropout`.
        self.dropout = check_rate("dropout", dropout)
        self.recurrent_dropout = check_rate(
            "recurrent_dropout", recurrent_dropout
        )
        self.mc_dropout = mc_dropout
        # At 0 the zero state that every sequence starts from would give NaN.
        if isinstance(epsilon, bool) or not (
            isinstance(epsilon, Real) and float(epsilon) > 0.0
        ):
            raise invalid("epsilon", "a positive number", epsilon)
        self.epsilon = epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_initializer = keras.initializers.get(beta_initializer)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        size = self.kernel.shape[1]
        self.bias = self.add_weight(
            shape=(size,),
            name="bias",
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )
        self.gamma = self.add_weight(
            shape=(2, size), name="gamma", initializer=self.gamma_initializer
        )
        self.beta = self.add_weight(
            shape=(2, size), name="beta", initializer=self._initialize_beta
        )

    def _initialize_beta(self, shape: Any, dtype: Any = None) -> Any:
        """Where gates start half open; an LSTM opens that of forgetting."""
        return self.beta_initializer(shape, dtype=dtype)

    def dropout_masks(
        self, inputs: Any, state: Any, training: bool
    ) -> tuple[Any, Any]:
        """Factors of the inputs and of the state; None where none is dropped.

        Drawn for these shapes at the first step of a sequence, and kept.
        """
        if not (training or (self.mc_dropout and always_on())):
            return None, None
        return (
            self.get_dropout_mask(inputs) if self.dropout else None,
            self.get_recurrent_dropout_mask(state)
            if self.recurrent_dropout
            else None,
        )

    def _sums(self, inputs: Any, state: Any, training: bool) -> tuple[Any, Any]:
        """What reaches the gates from the input and from the state."""
        input_mask, state_mask = self.dropout_masks(inputs, state, training)
        if input_mask is not None:
            inputs = inputs * input_mask
        if state_mask is not None:
            state = state * state_mask
        x = ops.matmul(inputs, self.kernel) + self.bias
        y = ops.matmul(state, self.recurrent_kernel)
        return (
            self._normalize(x, self.gamma[0], self.beta[0]),
            self._normalize(y, self.gamma[1], self.beta[1]),
        )

    def _normalize(self, values: Any, gamma: Any, beta: Any) -> Any:
        """Mean 0 and variance 1 over the last axis, then gain and offset.

        In float32 at least: in float16 the square of anything above 255 is
        infinite, and its norm silently 0. Not `ops.layer_normalization`,
        whose second derivatives are wrong on TensorFlow: it holds the mean
        fixed in that of the variance.
        """
        dtype = keras.backend.result_type(values.dtype, "float32")
        centred = ops.cast(values, dtype)
        centred = centred - ops.mean(centred, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        normal = centred * ops.rsqrt(variance + self.epsilon)
        scaled = normal * ops.cast(gamma, dtype) + ops.cast(beta, dtype)
        return ops.cast(scaled, values.dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["use_bias"]
        serialize = keras.initializers.serialize
        return {
            **config,
            "gamma_initializer": serialize(self.gamma_initializer),
            "beta_initializer": serialize(self.beta_initializer),
            "mc_dropout": self.mc_dropout,
            "epsilon": self.epsilon,
        }


class LayerNormRNN(keras.layers.RNN):
    """A layer of one `LayerNormCell`, with the arguments of both."""

    def __init__(self, cell: LayerNormCell, **kwargs: Any) -> None:
        super().__init__(cell, **kwargs)
        self.input_spec = keras.InputSpec(ndim=3)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        # A call that failed half-way leaves its masks in the cell.
        self.cell.reset_dropout_mask()
        self.cell.reset_recurrent_dropout_mask()
        return super().call(
            sequences, initial_state=initial_state, mask=mask, training=training
        )

    def inner_loop(
        self,
        sequences: Any,
        initial_state: Any,
        mask: Any,
        training: bool = False,
    ) -> Any:
        sequences, mask = self._hide_masked(sequences, mask)
        return super().inner_loop(sequences, initial_state, mask, training)

    def _hide_masked(self, sequences: Any, mask: Any) -> tuple[Any, Any]:
        """Zeros for masked steps: a NaN in one would reach the gradients."""
        if mask is None:
            return sequences, mask
        if len(mask.shape) == 3 and mask.shape[-1] == 1:
            mask = mask[..., 0]
        items = sequences.shape[:2]
        if not same_shape(mask.shape[1:], items[1:]):
            raise invalid("mask", f"the shape {items}", mask.shape)
        # The batch alone may be broadcast, as Keras does.
        mask = ops.cast(mask, "bool")
        mask = ops.broadcast_to(mask, ops.shape(sequences)[:2])
        return ops.where(mask[..., None], sequences, 0), mask

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        return {**self.cell.get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)
