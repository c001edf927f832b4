"""The states of recurrent layers, set to zero where a series begins."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._keras_internals import stateful_layers
from keras_seqtools.forecasting.stateful_batches import StatefulBatches


class ResetStates(keras.callbacks.Callback):
    """Sets the states of stateful layers to zero where a series begins.

    That is at the first batch of every epoch, evaluation and prediction, and
    in later batches for the rows that begin a new series. When all is read the
    states are zero again, for whatever comes next. Layers of nested models are
    reached.

    Args:
        batches: The `keras_seqtools.forecasting.StatefulBatches` that `fit`,
            `evaluate` or `predict` reads.
        validation_batches: Those that are the `validation_data` of `fit`.
            Defaults to `None`: the validation has other data or none, and a
            reset at its first batch alone.

    Raises:
        ValueError: If the model has no stateful layer, if `fit` has a
            `steps_per_epoch` other than all batches, or if the
            `steps_per_execution` of `compile` runs batches in one go while
            series begin between them.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(100, 1))
    >>> batches = kst.forecasting.StatefulBatches(x, x > 0, 2, steps=10)
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((None, 1), batch_size=2),
    ...         keras.layers.GRU(4, return_sequences=True, stateful=True),
    ...         keras.layers.Dense(1, "sigmoid"),
    ...     ]
    ... )
    >>> model.compile("adam", "binary_crossentropy")
    >>> reset = kst.forecasting.ResetStates(batches)
    >>> history = model.fit(
    ...     batches, shuffle=False, callbacks=[reset], verbose=0
    ... )
    >>> loss = model.evaluate(batches, callbacks=[reset], verbose=0)
    """

    def __init__(
        self,
        batches: StatefulBatches,
        validation_batches: StatefulBatches | None = None,
    ) -> None:
        super().__init__()
        self.batches = batches
        self.validation_batches = validation_batches
        self._is_fitting = False

    def set_params(self, params: Any) -> None:
        # Every `fit`, `evaluate` and `predict` calls it once, a validation
        # within `fit` does not.
        super().set_params(params)
        self._is_fitting = False

    def on_train_begin(self, logs: Any = None) -> None:
        # With fewer, Keras reads on in the next epoch where it stopped.
        if self.params["steps"] != len(self.batches):
            raise ValueError(
                "`ResetStates` expects epochs that read all batches, without "
                f"`steps_per_epoch`. Expected: {len(self.batches)} steps. "
                f"Received: {self.params['steps']}"
            )
        self._is_fitting = True

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._begin(self.batches, batch)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        is_validation = self._is_fitting
        self._begin(
            self.validation_batches if is_validation else self.batches, batch
        )

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._begin(self.batches, batch)

    def on_train_end(self, logs: Any = None) -> None:
        self._reset(True)

    def on_test_end(self, logs: Any = None) -> None:
        self._reset(True)

    def on_predict_end(self, logs: Any = None) -> None:
        self._reset(True)

    def _begin(self, batches: StatefulBatches | None, batch: int) -> None:
        if batches is None:
            self._reset(batch == 0)
            return
        if self.model.steps_per_execution > 1 and batches.fresh[1:].any():
            raise ValueError(
                "`ResetStates` must reach the model between two batches, as "
                "series begin there. Expected: steps_per_execution=1. "
                f"Received: {self.model.steps_per_execution}"
            )
        self._reset(batches.fresh[batch])

    def _reset(self, rows: Any) -> None:
        """For the rows that are true, or with one boolean for all of them."""
        if not np.any(rows):
            return
        layers = stateful_layers(self.model)
        if not layers:
            names = [layer.name for layer in self.model.layers]
            raise ValueError(
                "`ResetStates` expects a model with a recurrent layer that has "
                f"`stateful=True`. Received: {names}"
            )
        # Before the first call of a model that is a subclass there are none.
        states = [layer.states for layer in layers if layer.states is not None]
        for state in keras.tree.flatten(states):
            is_reset = np.reshape(rows, (-1, *[1] * (len(state.shape) - 1)))
            state.assign(ops.where(is_reset, ops.zeros_like(state), state))
