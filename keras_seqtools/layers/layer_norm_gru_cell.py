"""One step of a layer-normalised GRU, with its dropout masks."""

from typing import Any

import keras
from keras import ops

from keras_seqtools.layers._layer_norm_rnn import LayerNormCell


@keras.saving.register_keras_serializable(package="keras_seqtools")
class LayerNormGRUCell(LayerNormCell, keras.layers.GRUCell):
    """One step of `LayerNormGRU`: a GRU whose summed inputs are normalised.

    With `N` the normalisation to mean 0 and variance 1 over all `3 * units`
    values of one sequence at one step, and the gates z, r and h in the order
    of `keras.layers.GRUCell`:

    ```
    x = gamma[0] * N(inputs @ kernel + bias) + beta[0]
    y = gamma[1] * N(state @ recurrent_kernel) + beta[1]
    z = recurrent_activation(x_z + y_z)
    r = recurrent_activation(x_r + y_r)
    state = z * state + (1 - z) * activation(x_h + r * y_h)
    ```

    Statistics never cross the batch, are the same in training and inference
    and have at least the precision of float32. `epsilon` is 1e-5, as published
    implementations have it, not the 1e-3 of `keras.layers.LayerNormalization`.

    The bias comes before the norm. Without it a single feature would reach
    the gates as its sign only, because the norm divides by its size.

    Dropout multiplies `inputs` and the `state` before `recurrent_kernel`, by
    one mask each for all three gates, in training and, with `mc_dropout`,
    everywhere else too. The masks are drawn at the first step and kept, so
    that all steps of a sequence share them. `keras.layers.RNN` resets them
    after each call; a loop of your own calls `reset_dropout_mask()` and
    `reset_recurrent_dropout_mask()` before each sequence.

    Args:
        units: Positive integer, the size of the state and the output.
        activation: Activation of the candidate state. Defaults to `"tanh"`.
        recurrent_activation: Activation of the gates z and r. Defaults to
            `"sigmoid"`.
        kernel_initializer: Initializer of `kernel`, `(features, 3 * units)`.
            Defaults to `"glorot_uniform"`.
        recurrent_initializer: Initializer of `recurrent_kernel`,
            `(units, 3 * units)`. Defaults to `"orthogonal"`.
        bias_initializer: Initializer of `bias`, `(3 * units,)`. Defaults to
            `"zeros"`.
        gamma_initializer: Initializer of the gains `gamma`, `(2, 3 * units)`:
            first of the input, then of the state. Defaults to `"ones"`.
        beta_initializer: Initializer of the offsets `beta` after the norm,
            shaped like `gamma`. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of `kernel`. Defaults to `None`.
        recurrent_regularizer: Regularizer of `recurrent_kernel`. Defaults to
            `None`.
        bias_regularizer: Regularizer of `bias`. Defaults to `None`.
        kernel_constraint: Constraint of `kernel`. Defaults to `None`.
        recurrent_constraint: Constraint of `recurrent_kernel`. Defaults to
            `None`.
        bias_constraint: Constraint of `bias`. Defaults to `None`.
        dropout: Float in [0, 1). Fraction of the input features to drop.
            Defaults to `0.0`.
        recurrent_dropout: Float in [0, 1). Fraction of the state to drop.
            Defaults to `0.0`.
        mc_dropout: Boolean, whether to drop outside training too, so that
            predictions are samples. Defaults to `False`.
        epsilon: Positive float, added to the variance. Defaults to `1e-5`.
        seed: Integer seed of the masks. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        inputs: Tensor of shape `(batch, features)`.
        states: Tensor of shape `(batch, units)`, or a list with just that.
        training: Boolean, whether to drop. Defaults to `False`.

    Input shape:
        `(batch, features)`, beside the state.

    Output shape:
        The new state, `(batch, units)`, twice: as the output, and in a list
        if `states` is one.

    Example:

    >>> cell = kst.layers.LayerNormGRUCell(4)
    >>> state = cell.get_initial_state(batch_size=2)
    >>> for step in np.zeros((5, 2, 3)):
    ...     output, state = cell(step, state)
    >>> tuple(output.shape)
    (2, 4)

    Reference:

    - [Ba et al., 2016](https://arxiv.org/abs/1607.06450)
    - [Cho et al., 2014](https://arxiv.org/abs/1406.1078)
    - [Gal & Ghahramani, 2016](https://arxiv.org/abs/1512.05287)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        mc_dropout: bool = False,
        epsilon: float = 1e-5,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            gamma_initializer=gamma_initializer,
            beta_initializer=beta_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            mc_dropout=mc_dropout,
            epsilon=epsilon,
            reset_after=True,
            seed=seed,
            **kwargs,
        )

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        nested = keras.tree.is_nested(states)
        state = states[0] if nested else states
        x, y = self._sums(inputs, state, training)
        x_z, x_r, x_h = ops.split(x, 3, axis=-1)
        y_z, y_r, y_h = ops.split(y, 3, axis=-1)
        z = self.recurrent_activation(x_z + y_z)
        r = self.recurrent_activation(x_r + y_r)
        state = z * state + (1 - z) * self.activation(x_h + r * y_h)
        return state, [state] if nested else state

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["reset_after"]
        return config
