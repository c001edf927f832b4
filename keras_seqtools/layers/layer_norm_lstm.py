"""An LSTM whose summed inputs are normalised at every step."""

from typing import Any

import keras

from keras_seqtools.layers._layer_norm_rnn import LayerNormRNN
from keras_seqtools.layers.layer_norm_lstm_cell import LayerNormLSTMCell


@keras.saving.register_keras_serializable(package="keras_seqtools")
class LayerNormLSTM(LayerNormRNN):
    """LSTM with layer normalisation and variational dropout.

    Normalises what reaches the gates from the input and, separately, from the
    last output, and the cell state on its way to the output, over the units of
    one sequence at one step, so that neither the batch nor the length of a
    sequence matters and training and inference do not differ.
    `LayerNormLSTMCell` has the equations, and the reason for a bias before the
    norm: with it a narrow input keeps its size. `epsilon` is 1e-5, not the
    1e-3 of `keras.layers.LayerNormalization`.

    Dropout is variational: each call draws one mask of the input features and
    one of the last output per sequence, and uses them at every time step. It
    is active in training, and with `mc_dropout=True` in evaluate, predict and
    plain calls too, where `keras_seqtools.predict_deterministic` switches it
    off. For `predict_uncertainty` the rates alone are enough.

    A mask of the input works as in `keras.layers.LSTM`: a masked step keeps
    the states and repeats the last output, which is 0 before the first step
    that counts, even with an `initial_state`. What a masked step holds, NaN
    included, reaches neither outputs nor gradients.

    Args:
        units: Positive integer, the size of the state and the output. Of a
            single unit the normalised cell state is 0.
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
            first of the input, then of the last output, and `cell_gamma`,
            `(units,)`. Defaults to `"ones"`.
        beta_initializer: Initializer of the offsets after the norm, `beta` and
            `cell_beta`, shaped like the gains. Defaults to `"zeros"`.
        unit_forget_bias: Boolean, whether the forget gate's part of `beta[0]`
            starts at 1, whatever `beta_initializer` says. Defaults to `True`.
        kernel_regularizer: Regularizer of `kernel`. Defaults to `None`.
        recurrent_regularizer: Regularizer of `recurrent_kernel`. Defaults to
            `None`.
        bias_regularizer: Regularizer of `bias`. Defaults to `None`.
        activity_regularizer: Regularizer of the output. Defaults to `None`.
        kernel_constraint: Constraint of `kernel`. Defaults to `None`.
        recurrent_constraint: Constraint of `recurrent_kernel`. Defaults to
            `None`.
        bias_constraint: Constraint of `bias`. Defaults to `None`.
        dropout: Float in [0, 1). Fraction of the input features to drop.
            Defaults to `0.0`.
        recurrent_dropout: Float in [0, 1). Fraction of the last output to
            drop. Defaults to `0.0`.
        mc_dropout: Boolean, whether to drop outside training too, so that
            predictions are samples. Defaults to `False`.
        epsilon: Positive float, added to the variance. Defaults to `1e-5`.
        seed: Integer seed of the masks. Defaults to `None`.
        return_sequences: Boolean, whether to return the output of every step
            instead of the last. Defaults to `False`.
        return_state: Boolean, whether to return the final states as well.
            Defaults to `False`.
        go_backwards: Boolean, whether to read the sequence from its end, and
            return the outputs in that order. Defaults to `False`.
        stateful: Boolean, whether row `i` of a batch starts from the states in
            which row `i` of the batch before ended. Needs a fixed batch size;
            `reset_state()` starts anew. Defaults to `False`.
        unroll: Boolean, whether to write the steps out instead of looping.
            Needs a known number of steps. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.RNN` and `keras.layers.Layer`,
            such as `zero_output_for_mask` and `name`.

    Call arguments:
        sequences: Tensor of shape `(batch, time, features)`.
        initial_state: List of two tensors of shape `(batch, units)`: the last
            output, and the cell state. Defaults to `None`: zeros, or where the
            last call of a stateful layer ended.
        mask: Boolean tensor of shape `(batch, time)`, false for the steps to
            skip. Defaults to `None`.
        training: Boolean, whether to drop. Defaults to `False`.

    Input shape:
        `(batch, time, features)`. `time` may be unknown.

    Output shape:
        `(batch, units)`, or `(batch, time, units)` with `return_sequences`.
        With `return_state` three: this, the last output and the cell state,
        both `(batch, units)`.

    Example:

    >>> x = np.ones((2, 5, 3))
    >>> layer = kst.layers.LayerNormLSTM(4, return_sequences=True)
    >>> tuple(layer(x).shape)
    (2, 5, 4)

    A layer whose predictions are samples:

    >>> layer = kst.layers.LayerNormLSTM(
    ...     64, recurrent_dropout=0.5, mc_dropout=True
    ... )
    >>> bool((layer(x) == layer(x)).numpy().all())
    False

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        mc_dropout: bool = False,
        epsilon: float = 1e-5,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = LayerNormLSTMCell(
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
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="layer_norm_lstm_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
