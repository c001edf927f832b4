"""A layer that learns how much of its input to let pass unchanged."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_seqtools")
class Highway(keras.layers.Layer):
    """A dense layer with a gate between its output and its input.

    `y = H * T + x * (1 - T)`, with `H = activation(x @ W_h + b_h)` and the
    transform gate `T = sigmoid(x @ W_t + b_t)`. Where the gate is shut, the
    input and its gradient pass unchanged, which lets deep stacks train.

    The bias of the gate starts at -2, so that the layer at first carries most
    of its input. A mask of the input passes through unchanged.

    Args:
        activation: Activation of `H`; `None` for a linear one. Defaults to
            `"relu"`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        `(batch, ..., features)`, of any rank from 2. Every step of a sequence
        is transformed by itself.

    Output shape:
        Same as the input.

    Example:

    >>> model = keras.Sequential([keras.Input((8,))])
    >>> for _ in range(10):
    ...     model.add(kst.layers.Highway())
    >>> model.output_shape
    (None, 8)

    Reference:

    - [Srivastava et al., 2015](https://arxiv.org/abs/1505.00387)
    """

    def __init__(self, activation: Any = "relu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.supports_masking = True
        self.input_spec = keras.InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:
        features = input_shape[-1]
        self.input_spec = keras.InputSpec(min_ndim=2, axes={-1: features})
        self.transform = keras.layers.Dense(
            features,
            activation=self.activation,
            dtype=self.dtype_policy,
            name="transform",
        )
        self.gate = keras.layers.Dense(
            features,
            activation="sigmoid",
            # The paper advises a negative start, such as -1 or -3.
            bias_initializer=keras.initializers.Constant(-2.0),
            dtype=self.dtype_policy,
            name="gate",
        )
        self.transform.build(input_shape)
        self.gate.build(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        gate = self.gate(inputs)
        return self.transform(inputs) * gate + inputs * (1.0 - gate)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
        }
