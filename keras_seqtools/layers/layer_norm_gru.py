"""A GRU whose summed inputs are normalised at every step."""

from typing import Any

import keras
from keras import ops

from keras_seqtools._validation import invalid
from keras_seqtools.layers import _layer_norm_gru_core as core
from keras_seqtools.layers._layer_norm_rnn import LayerNormRNN
from keras_seqtools.layers.layer_norm_gru_cell import LayerNormGRUCell


@keras.saving.register_keras_serializable(package="keras_seqtools")
class LayerNormGRU(LayerNormRNN):
    """GRU with layer normalisation and variational dropout.

    Normalises what reaches the gates from the input and, separately, from the
    state, over the units of one sequence at one step, so that neither the
    batch nor the length of a sequence matters and training and inference do
    not differ. `LayerNormGRUCell` has the equations, and the reason for a bias
    before the norm: with it a narrow input keeps its size. `epsilon` is 1e-5,
    not the 1e-3 of `keras.layers.LayerNormalization`.

    Dropout is variational: each call draws one mask of the input features and
    one of the state per sequence, and uses them at every time step. It is
    active in training, and with `mc_dropout=True` in evaluate, predict and
    plain calls too, where `keras_seqtools.predict_deterministic` switches it
    off. For `predict_uncertainty` the rates alone are enough.

    A mask of the input works as in `keras.layers.GRU`: a masked step keeps
    the state and repeats the last output, which is 0 before the first step
    that counts, even with an `initial_state`. What a masked step holds, NaN
    included, reaches neither outputs nor gradients.

    On TensorFlow all steps run in a core of their own, with a gradient written
    out: faster than a loop over the cell, and in a compiled function, such as
    the steps of `fit`, training keeps the states alone in memory, four times
    that from 129 units on, where it saves time. It computes in float32, or
    float64 if that is the layer's dtype. With `unroll`, other activations or
    the cell of a subclass, and on other backends, the layer loops over its
    cell. The numbers agree to rounding. Second derivatives under XLA are for
    `unroll` alone.

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
        activity_regularizer: Regularizer of the output. Defaults to `None`.
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
        return_sequences: Boolean, whether to return the output of every step
            instead of the last. Defaults to `False`.
        return_state: Boolean, whether to return the final state as well.
            Defaults to `False`.
        go_backwards: Boolean, whether to read the sequence from its end, and
            return the outputs in that order. Defaults to `False`.
        stateful: Boolean, whether row `i` of a batch starts from the state in
            which row `i` of the batch before ended. Needs a fixed batch size;
            `reset_state()` starts anew. Defaults to `False`.
        unroll: Boolean, whether to write the steps out instead of looping.
            Needs a known number of steps. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.RNN` and `keras.layers.Layer`,
            such as `zero_output_for_mask` and `name`.

    Call arguments:
        sequences: Tensor of shape `(batch, time, features)`.
        initial_state: Tensor of shape `(batch, units)`, or a list with just
            that. Defaults to `None`: zeros, or where the last call of a
            stateful layer ended.
        mask: Boolean tensor of shape `(batch, time)`, false for the steps to
            skip. Defaults to `None`.
        training: Boolean, whether to drop. Defaults to `False`.

    Input shape:
        `(batch, time, features)`. `time` may be unknown.

    Output shape:
        `(batch, units)`, or `(batch, time, units)` with `return_sequences`.
        With `return_state` a pair: this, and the state `(batch, units)`.

    Example:

    >>> x = np.ones((2, 5, 3))
    >>> layer = kst.layers.LayerNormGRU(4, return_sequences=True)
    >>> tuple(layer(x).shape)
    (2, 5, 4)

    A layer whose predictions are samples:

    >>> layer = kst.layers.LayerNormGRU(
    ...     64, recurrent_dropout=0.5, mc_dropout=True
    ... )
    >>> bool((layer(x) == layer(x)).numpy().all())
    False

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
        cell = LayerNormGRUCell(
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
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="layer_norm_gru_cell",
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

    def inner_loop(
        self,
        sequences: Any,
        initial_state: Any,
        mask: Any,
        training: bool = False,
    ) -> Any:
        if self.unroll or not core.applies_to(self.cell):
            return super().inner_loop(sequences, initial_state, mask, training)
        sequences, mask = self._hide_masked(sequences, mask)
        cell, (state,) = self.cell, initial_state
        batch = ops.shape(sequences)[0]
        state = ops.broadcast_to(state, (batch, state.shape[-1]))
        input_mask, state_mask = cell.dropout_masks(
            sequences[:, 0], state, training
        )
        if input_mask is not None:
            sequences = sequences * input_mask[:, None]
        weights = core.centred(cell)
        dtype = weights.kernel.dtype

        def by_step(tensor: Any, dtype: str) -> Any:
            tensor = ops.cast(ops.swapaxes(tensor, 0, 1), dtype)
            return ops.flip(tensor, 0) if self.go_backwards else tensor

        x = by_step(sequences, dtype)
        if mask is not None:
            mask = by_step(mask, "bool")[..., None]
        states = core.run(
            x,
            ops.cast(state, dtype),
            weights,
            cell.epsilon,
            mask,
            None if state_mask is None else ops.cast(state_mask, dtype),
            bool(training),
        )
        outputs = states
        if mask is not None:
            shown = mask
            if not self.zero_output_for_mask:
                shown = ops.cumsum(ops.cast(mask, "int32"), 0) > 0
            outputs = ops.where(shown, states, 0)
        return outputs[-1], ops.swapaxes(outputs, 0, 1), [states[-1]]

    @classmethod
    def from_gru(cls, gru: keras.layers.GRU, **kwargs: Any) -> "LayerNormGRU":
        """A layer that starts where a trained `keras.layers.GRU` ended.

        A start for further training, not an equivalence: the normalisation
        changes what reaches the gates, and so the output. Kernels are taken
        over, the bias of the input goes before its norm, that of the state
        after it, and gains start as ever, at 1. The arguments are those of the
        GRU. It is not changed itself.

        Args:
            gru: A `keras.layers.GRU` with weights and with `reset_after=True`,
                which is the default of Keras.
            **kwargs: Arguments of `LayerNormGRU` to be other than the GRU's,
                all but `units`; `stateful=True` only if the GRU is so.

        Returns:
            A built `LayerNormGRU`.

        Example:

        >>> gru = keras.layers.GRU(4)
        >>> gru.build((None, None, 3))
        >>> layer = kst.layers.LayerNormGRU.from_gru(gru, epsilon=1e-4)
        >>> tuple(layer(np.ones((2, 5, 3))).shape)
        (2, 4)
        """
        if not isinstance(gru, keras.layers.GRU) or not gru.built:
            raise invalid("gru", "a `keras.layers.GRU` that has weights", gru)
        if not gru.reset_after:
            raise invalid(
                "gru", "`reset_after=True`, as its equations have it", gru
            )
        if "units" in kwargs:
            raise invalid("units", "nothing: the GRU says it", kwargs["units"])
        if kwargs.get("stateful") and not gru.stateful:
            raise invalid(
                "stateful", "`False`: the GRU has no fixed batch size", True
            )
        config = gru.get_config()
        for name in ("name", "use_bias", "reset_after"):
            del config[name]
        layer = cls(**config | kwargs)
        features = gru.cell.kernel.shape[0]
        batch = gru.states[0].shape[0] if gru.stateful else None
        layer.build((batch, None, features))
        layer.cell.kernel.assign(gru.cell.kernel)
        layer.cell.recurrent_kernel.assign(gru.cell.recurrent_kernel)
        of_input, of_state = (
            ops.unstack(gru.cell.bias)
            if gru.use_bias
            else ops.zeros((2, 3 * gru.units))
        )
        layer.cell.bias.assign(of_input)
        layer.cell.beta.assign(ops.stack([ops.zeros_like(of_state), of_state]))
        return layer
