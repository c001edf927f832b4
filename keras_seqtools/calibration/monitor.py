"""Calibration and proper scores while a model is being fitted."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seqtools._keras_internals import stateful_layers
from keras_seqtools._keras_internals import unnamed_seed_generators
from keras_seqtools._validation import check_positive_int
from keras_seqtools.heads import DistributionHead
from keras_seqtools.metrics import brier_score
from keras_seqtools.metrics import expected_calibration_error
from keras_seqtools.metrics import log_loss
from keras_seqtools.metrics import score_distribution
from keras_seqtools.metrics._weights import mask_and_weight

_CLASS_SCORES = {
    "ece": expected_calibration_error,
    "brier": brier_score,
    "nll": log_loss,
}


class CalibrationMonitor(keras.callbacks.Callback):
    """Scores probabilities on data of its own at the end of every epoch.

    Into the `logs` go, of a classifier, the expected calibration error
    (`"val_ece"`), the Brier score (`"val_brier"`) and the log loss
    (`"val_nll"`) of `model.predict`; of a model with a head what
    `keras_seqtools.metrics.score_distribution` returns, such as `"val_nll"`,
    `"val_crps"`, `"val_pit_distance"` and `"val_coverage_90"`. The history has
    them too.

    They are there for callbacks that come after it: in the list it must stand
    before `EarlyStopping`, `ModelCheckpoint`, `ReduceLROnPlateau` and
    `TensorBoard`. Give those a `mode`, such as `"min"`, and a proper score,
    `"val_nll"`, `"val_brier"` or `"val_crps"`: a model that always states the
    base rate has no calibration error.

    What can be summed over batches needs no callback: a `BrierScore` in
    `weighted_metrics` of `compile` follows masks and `validation_data`.

    Predictions are those of the plain model: an ordinary dropout is off, an
    `MCDropout` on. Training goes on as if nobody had looked: seeds and the
    states of recurrent layers are put back.

    A NaN among the predictions that count makes the scores NaN and does not
    interrupt the training. They are computed once before the first epoch, to
    find out then if the data do not fit.

    Args:
        x: Inputs, as for `Model.predict`, in an order that stays the same.
        y: Array of their labels, as in `expected_calibration_error`, or of
            the targets of the head.
        head: The `keras_seqtools.heads.DistributionHead` that emits the
            output. For a `CategoricalHead` there is `from_logits`. Defaults
            to `None`: a classifier.
        from_logits: Boolean, whether a classifier emits logits. Defaults to
            `False`.
        mask: Boolean array, as in `expected_calibration_error`: which steps
            of sequences count. A mask that the model makes is not known here.
            Defaults to `None`.
        sample_weight: Array, as in `expected_calibration_error`. Defaults to
            `None`.
        batch_size: Positive integer, as in `Model.predict`. Defaults to
            `None`.
        every: Positive integer: the scores are new after every so many
            epochs, and after the first. The epochs between repeat them, as
            other callbacks look for them in every epoch. Defaults to `1`.
        prefix: String, what the names in the logs begin with. Defaults to
            `"val_"`.

    Raises:
        ValueError: At the end of the first epoch that brings them, if the
            logs have one of the names already, of a metric of `compile` or
            another monitor: choose another prefix.

    Example:

    >>> x, y = np.random.default_rng(0).normal(size=(2, 99, 1))
    >>> model = keras.Sequential([keras.layers.Dense(1, "sigmoid")])
    >>> model.compile("sgd", "binary_crossentropy")
    >>> callbacks = [
    ...     kst.calibration.CalibrationMonitor(x, y > x),
    ...     keras.callbacks.EarlyStopping("val_nll", patience=2, mode="min"),
    ... ]
    >>> history = model.fit(x, y > x, epochs=2, callbacks=callbacks, verbose=0)
    >>> sorted(history.history)
    ['loss', 'val_brier', 'val_ece', 'val_nll']
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        head: DistributionHead | None = None,
        from_logits: bool = False,
        mask: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        every: int = 1,
        prefix: str = "val_",
    ) -> None:
        super().__init__()
        self.x = x
        self.y = np.asarray(y)
        self.head = head
        self.from_logits = from_logits
        self.mask = mask
        self.sample_weight = sample_weight
        self.batch_size = batch_size
        self.every = check_positive_int("every", every)
        self.prefix = prefix
        self._scores: dict[str, float] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        self._score()
        self._scores = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self._scores or (epoch + 1) % self.every == 0:
            self._scores = self._score()
        taken = sorted(self._scores.keys() & logs.keys())
        if taken:
            raise ValueError(
                "`CalibrationMonitor` would overwrite what the logs have of "
                f"others, a metric of `compile` or another monitor: {taken}. "
                "Expected a prefix of its own. "
                f"Received: prefix={self.prefix!r}"
            )
        logs.update(self._scores)

    def _score(self) -> dict[str, float]:
        with _unchanged(self.model):
            y_pred = self.model.predict(
                self.x, batch_size=self.batch_size, verbose=0
            )
        if not isinstance(y_pred, np.ndarray):
            raise ValueError(
                "`CalibrationMonitor` expects a model with one output. "
                f"Received: {len(y_pred)} outputs"
            )
        if self.head is None:
            scores = self._class_scores(y_pred)
        else:
            scores = score_distribution(
                self.y,
                y_pred,
                self.head,
                mask=self.mask,
                sample_weight=self.sample_weight,
            )
        return {self.prefix + name: value for name, value in scores.items()}

    def _class_scores(self, y_pred: np.ndarray) -> dict[str, float]:
        items = y_pred.shape[:-1] or y_pred.shape
        mask, weight = mask_and_weight(self.mask, self.sample_weight, items)
        if np.isnan(y_pred[mask & (weight != 0.0)]).any():
            return dict.fromkeys(_CLASS_SCORES, math.nan)
        return {
            name: score(
                self.y,
                y_pred,
                from_logits=self.from_logits,
                mask=mask,
                sample_weight=weight,
            )
            for name, score in _CLASS_SCORES.items()
        }


@contextlib.contextmanager
def _unchanged(model: keras.Model) -> Iterator[None]:
    """Afterwards nothing that a prediction may change has changed."""
    states = [layer.states for layer in stateful_layers(model)]
    variables = [
        *model.non_trainable_variables,
        *(generator.state for generator in unnamed_seed_generators()),
        *keras.tree.flatten(states),
    ]
    before = [ops.convert_to_numpy(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
