"""One step of a layer-normalised LSTM, with its dropout masks."""

from typing import Any

import keras
from keras import ops

from keras_seqtools.layers._layer_norm_rnn import LayerNormCell


@keras.saving.register_keras_serializable(package="keras_seqtools")
class LayerNormLSTMCell(LayerNormCell, keras.layers.LSTMCell):
    """One step of `LayerNormLSTM`: an LSTM whose summed inputs are normalised.

    With `N` the normalisation to mean 0 and variance 1 over all values of one
    sequence at one step (`4 * units` of the gates, `units` of the cell state),
    and the gates i, f, g and o in the order of `keras.layers.LSTMCell`:

    ```
    x = gamma[0] * N(inputs @ kernel + bias) + beta[0]
    y = gamma[1] * N(h @ recurrent_kernel) + beta[1]
    i = recurrent_activation(x_i + y_i)
    f = recurrent_activation(x_f + y_f)
    g = activation(x_g + y_g)
    o = recurrent_activation(x_o + y_o)
    c = f * c + i * g
    h = o * activation(cell_gamma * N(c) + cell_beta)
    ```

    The cell state `c` itself is carried on as it is. Of a single unit `N(c)`
    is 0: `units` should be more, or the output knows nothing of it.

    Statistics never cross the batch, are the same in training and inference
    and have at least the precision of float32. `epsilon` is 1e-5, as published
    implementations have it, not the 1e-3 of `keras.layers.LayerNormalization`.

    The bias comes before the norm. Without it a single feature would reach
    the gates as its sign only, because the norm divides by its size. At 0,
    where it starts, the equations are the published ones. To make the forget
    gate start open, `unit_forget_bias` has to act after the norm, on `beta`.

    Dropout multiplies `inputs` and the `h` before `recurrent_kernel`, by one
    mask each for all four gates, in training and, with `mc_dropout`,
    everywhere else too. The masks are drawn at the first step and kept, so
    that all steps of a sequence share them. `keras.layers.RNN` resets them
    after each call; a loop of your own calls `reset_dropout_mask()` and
    `reset_recurrent_dropout_mask()` before each sequence.

    Args:
        units: Positive integer, the size of the state and the output.
        activation: Activation of the candidate g and of the normalised cell
            state. Defaults to `"tanh"`.
        recurrent_activation: Activation of the gates i, f and o. Defaults to
            `"sigmoid"`.
        kernel_initializer: Initializer of `kernel`, `(features, 4 * units)`.
            Defaults to `"glorot_uniform"`.
        recurrent_initializer: Initializer of `recurrent_kernel`,
            `(units, 4 * units)`. Defaults to `"orthogonal"`.
        bias_initializer: Initializer of `bias`, `(4 * units,)`. Defaults to
            `"zeros"`.
        gamma_initializer: Initializer of the gains: `gamma`, `(2, 4 * units)`,
            first of the input, then of `h`, and `cell_gamma`, `(units,)`.
            Defaults to `"ones"`.
        beta_initializer: Initializer of the offsets after the norm, `beta` and
            `cell_beta`, shaped like the gains. Defaults to `"zeros"`.
        unit_forget_bias: Boolean, whether the forget gate's part of `beta[0]`
            starts at 1, whatever `beta_initializer` says. Defaults to `True`.
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
        recurrent_dropout: Float in [0, 1). Fraction of `h` to drop. Defaults
            to `0.0`.
        mc_dropout: Boolean, whether to drop outside training too, so that
            predictions are samples. Defaults to `False`.
        epsilon: Positive float, added to the variance. Defaults to `1e-5`.
        seed: Integer seed of the masks. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        inputs: Tensor of shape `(batch, features)`.
        states: List of two tensors of shape `(batch, units)`: `h`, the last
            output, and `c`, the cell state.
        training: Boolean, whether to drop. Defaults to `False`.

    Input shape:
        `(batch, features)`, beside the states.

    Output shape:
        A pair: the output `(batch, units)`, and a list of the new states.

    Example:

    >>> cell = kst.layers.LayerNormLSTMCell(4)
    >>> states = cell.get_initial_state(batch_size=2)
    >>> for step in np.zeros((5, 2, 3)):
    ...     output, states = cell(step, states)
    >>> tuple(output.shape)
    (2, 4)

    Reference:

    - [Ba et al., 2016](https://arxiv.org/abs/1607.06450)
    - [Hochreiter & Schmidhuber, 1997](https://doi.org/10.1162/neco.1997.9.8.1735)
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
        unit_forget_bias: bool = True,
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
            unit_forget_bias=unit_forget_bias,
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
            seed=seed,
            **kwargs,
        )

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.cell_gamma = self.add_weight(
            shape=(self.units,),
            name="cell_gamma",
            initializer=self.gamma_initializer,
        )
        self.cell_beta = self.add_weight(
            shape=(self.units,),
            name="cell_beta",
            initializer=self.beta_initializer,
        )

    def _initialize_beta(self, shape: Any, dtype: Any = None) -> Any:
        beta = super()._initialize_beta(shape, dtype)
        if not self.unit_forget_bias:
            return beta
        forget = ops.ones((1, self.units), dtype)
        return ops.slice_update(beta, (0, self.units), forget)

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        h, c = states
        x, y = self._sums(inputs, h, training)
        i, f, g, o = ops.split(x + y, 4, axis=-1)
        kept = self.recurrent_activation(f) * c
        c = kept + self.recurrent_activation(i) * self.activation(g)
        shown = self._normalize(c, self.cell_gamma, self.cell_beta)
        h = self.recurrent_activation(o) * self.activation(shown)
        return h, [h, c]
