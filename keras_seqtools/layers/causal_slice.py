"""The last steps of a sequence, where a causal stack speaks of the future."""

from typing import Any

import keras

from keras_seqtools._validation import check_positive_int


@keras.saving.register_keras_serializable(package="keras_seqtools")
class CausalSlice(keras.layers.Layer):
    """Keeps the last `length` time steps of a sequence.

    In a causal stack, output `t` has seen nothing after input `t`. Trained on
    targets shifted by `length`, the last `length` outputs are therefore honest
    forecasts of the `length` values that follow the input.

    A mask is sliced with the steps it belongs to. Training and inference do
    not differ.

    Args:
        length: Positive integer. Number of time steps to keep.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        `(batch, time, ...)`, with `time >= length`. Sequences that are known
        to be shorter raise a `ValueError`.

    Output shape:
        `(batch, length, ...)`.

    Example:

    >>> series = keras.ops.reshape(keras.ops.arange(4.0), (1, 4, 1))
    >>> kst.layers.CausalSlice(2)(series)[0, :, 0].numpy().tolist()
    [2.0, 3.0]
    """

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = check_positive_int("length", length)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if len(input_shape) < 2:
            raise ValueError(
                "`CausalSlice` expects inputs of shape `(batch, time, ...)`. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        time = input_shape[1]
        if time is not None and time < self.length:
            raise ValueError(
                f"`CausalSlice(length={self.length})` needs at least "
                f"{self.length} time steps. Received: {time}"
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs[:, -self.length :]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None if mask is None else mask[:, -self.length :]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], self.length, *input_shape[2:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length}
