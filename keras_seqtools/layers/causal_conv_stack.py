"""Dilated causal convolutions, one on the other, and how far back they see."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import check_rate
from keras_seqtools._validation import invalid
from keras_seqtools._validation import same_shape


@keras.saving.register_keras_serializable(package="keras_seqtools")
class CausalConvStack(keras.layers.Layer):
    """A stack of dilated causal convolutions.

    Output `t` sees input `t` and the `receptive_field - 1` inputs before it,
    and nothing after it. Dilations that double let the receptive field grow
    exponentially with depth. `CausalSlice` after the stack keeps the steps
    that forecast.

    Each convolution is a block, `y = dropout(activation(conv(x)))`. With
    `residual=True` it is `y = x' + dropout(activation(conv(x)))`, where `x'`
    is `x`, or a 1x1 convolution of it where `x` has not `filters` features.

    Dropout drops whole features of a sequence, the same at every time step,
    as `keras.layers.SpatialDropout1D` does.

    A mask passes through unchanged. Masked steps count as zeros before every
    convolution, whatever they hold, so a sequence that is padded, on the left
    or on the right, gives what it gives alone. What the outputs hold at
    masked steps means nothing.

    Args:
        filters: Positive integer. Number of features of every convolution.
        kernel_size: Positive integer. Number of inputs that each output of a
            convolution sees.
        dilations: Sequence of positive integers, one for each convolution:
            the steps between the inputs that an output sees. Defaults to
            `(1, 2, 4, 8)`.
        activation: Activation of every convolution; `None` for a linear
            stack. Defaults to `"relu"`.
        dropout: Float in [0, 1). Fraction of the features to drop after each
            convolution. Defaults to `0.0`.
        residual: Whether each block adds its input to its output. Defaults
            to `False`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        `(batch, time, features)`.

    Output shape:
        `(batch, time, filters)`.

    Example:

    >>> stack = kst.layers.CausalConvStack(32, kernel_size=5)
    >>> stack.receptive_field
    61
    >>> stack(np.ones((2, 100, 3))).shape.as_list()
    [2, 100, 32]

    Reference:

    - [van den Oord et al., 2016](https://arxiv.org/abs/1609.03499)
    - [Bai et al., 2018](https://arxiv.org/abs/1803.01271)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        dilations: Sequence[int] = (1, 2, 4, 8),
        activation: Any = "relu",
        dropout: float = 0.0,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = check_positive_int("filters", filters)
        self.kernel_size = check_positive_int("kernel_size", kernel_size)
        if not isinstance(dilations, Sequence) or not dilations:
            raise invalid(
                "dilations", "a sequence of positive integers", dilations
            )
        self.dilations = tuple(
            check_positive_int("dilations", dilation) for dilation in dilations
        )
        self.activation = keras.activations.get(activation)
        self.dropout = check_rate("dropout", dropout)
        self.residual = residual
        self.blocks = [
            CausalConvBlock(
                self.filters,
                self.kernel_size,
                dilation,
                self.activation,
                self.dropout,
                self.residual,
                dtype=self.dtype_policy,
                name=f"block_{number}",
            )
            for number, dilation in enumerate(self.dilations)
        ]
        self.supports_masking = True
        self.input_spec = keras.InputSpec(ndim=3)

    @property
    def receptive_field(self) -> int:
        """How many time steps of the input each output sees."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)

    def build(self, input_shape: Any) -> None:
        self.input_spec = keras.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        for block in self.blocks:
            block.build(input_shape)
            input_shape = self.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        items = inputs.shape[:2]
        if mask is not None and not same_shape(mask.shape, items):
            raise invalid("mask", f"the shape {tuple(items)}", mask.shape)
        outputs = inputs
        for block in self.blocks:
            if mask is not None:
                outputs = ops.where(mask[..., None], outputs, 0)
            outputs = block(outputs)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilations": self.dilations,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "residual": self.residual,
        }


class CausalConvBlock(keras.layers.Layer):
    """One convolution of a stack, with what is around it.

    Attributes:
        conv: The causal `Conv1D`, its activation included.
        dropout: The `SpatialDropout1D` after it, also at rate 0.
        residual: Whether the input is added to the output.
        shortcut: The 1x1 `Conv1D` that the input passes before it is added,
            once the block is built; None where it is added as it is.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        dilation: int,
        activation: Any,
        dropout: float,
        residual: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv1D(
            filters,
            kernel_size,
            padding="causal",
            data_format="channels_last",
            dilation_rate=dilation,
            activation=activation,
            dtype=self.dtype_policy,
            name="conv",
        )
        self.dropout = keras.layers.SpatialDropout1D(
            dropout, dtype=self.dtype_policy, name="dropout"
        )
        self.residual = residual
        self.shortcut: Any = None

    def build(self, input_shape: Any) -> None:
        filters = self.conv.filters
        self.conv.build(input_shape)
        self.dropout.build((*input_shape[:-1], filters))
        if self.residual and input_shape[-1] != filters:
            self.shortcut = keras.layers.Conv1D(
                filters,
                1,
                data_format="channels_last",
                dtype=self.dtype_policy,
                name="shortcut",
            )
            self.shortcut.build(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.finish(inputs, self.conv(inputs))

    def finish(self, inputs: Any, convolved: Any) -> Any:
        """What follows the convolution, in whichever way that was computed."""
        outputs = self.dropout(convolved)
        if not self.residual:
            return outputs
        if self.shortcut is not None:
            inputs = self.shortcut(inputs)
        return inputs + outputs
