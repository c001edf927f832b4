"""What all maps from class probabilities to class probabilities share."""

import abc
from typing import Any
from typing import ClassVar
from typing import Self

import keras
import numpy as np

from keras_seqtools.calibration._fit_items import Items
from keras_seqtools.calibration._fit_items import read_items
from keras_seqtools.calibration._fit_items import slices
from keras_seqtools.calibration._layer import CalibrationLayer
from keras_seqtools.calibration.report import RecalibrationReport
from keras_seqtools.calibration.report import compare
from keras_seqtools.metrics._classes import SLACK
from keras_seqtools.metrics._numbers import numbers
from keras_seqtools.metrics._results import is_classification
from keras_seqtools.metrics._scores import to_logits
from keras_seqtools.metrics._scores import to_probabilities
from keras_seqtools.metrics._scores import widened


class Recalibrator(abc.ABC):
    """A map of class scores that is fitted to labels.

    A subclass names what it finds in `_found`, says with `_on_logits` whether
    it maps logits to logits or probabilities to probabilities, and with
    `_binary` how many classes it takes (None: any number).

    What is found is plain data, the whole state, and part of the
    configuration.
    """

    _found: ClassVar[tuple[str, ...]]
    _on_logits: ClassVar[bool] = True
    _binary: ClassVar[bool | None] = None

    report: RecalibrationReport
    from_logits: bool
    num_classes: int
    num_samples: int

    def fit(
        self,
        y_true: Any,
        y_prob: Any,
        *,
        from_logits: bool = False,
        mask: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Fits the map to what came of predictions, and writes `report`.

        Use data that the model was not trained on.

        Args:
            y_true: Array of labels: integers, of the shape of the items or
                with a last axis of 1, or one-hot, of the shape of `y_prob`.
            y_prob: Array of probabilities `(..., classes)`, such as
                `(batch, classes)` or `(batch, time, classes)`; one class is
                the probability of 1, and `(batch,)` is read as `(batch, 1)`.
                Or a result of `predict_uncertainty`, of which the mean over
                the passes is taken, before any calibrator, and the mask.
            from_logits: Boolean, whether `y_prob` holds logits: of a sigmoid
                for one class, of a softmax otherwise. Defaults to `False`.
            mask: Boolean array, of the shape of the items or its first axes:
                `(batch,)` speaks of rows, also where `batch == time`. What it,
                or the mask of the result, leaves out may hold anything, NaN
                too. Defaults to `None`.
            sample_weight: Array of weights, aligned like `mask`. What weighs
                nothing may hold anything. Defaults to `None`.

        Returns:
            The object itself.

        Raises:
            ValueError: If an argument or a shape does not fit, nothing counts,
                or what counts holds a label that is none of the classes or a
                score that is none.
            RuntimeError: If the fit does not converge.
        """
        scores, own_mask, num_samples = _unpack(y_prob, from_logits)
        items = read_items(
            y_true,
            scores,
            from_logits,
            mask,
            own_mask,
            sample_weight=sample_weight,
        )
        if self._binary not in (None, items.num_classes == 1):
            expected = (
                "the probability of class 1 alone, `(batch,)` or `(..., 1)`"
                if self._binary
                else "probabilities of two classes or more, `(..., classes)`"
            )
            raise ValueError(
                f"`{type(self).__name__}` maps {expected}. "
                f"Received: y_prob of shape {np.shape(scores)}"
            )
        self.from_logits = from_logits
        self.num_classes = items.num_classes
        self.num_samples = num_samples
        self._fit(items)
        self.report = compare(items, self._in_both_forms)
        return self

    def transform(self, y_prob: Any) -> np.ndarray:
        """Calibrated probabilities, in the shape of what is given.

        Args:
            y_prob: Array in the form that was fitted, logits if those were;
                or a result of `predict_uncertainty`.

        Returns:
            Array of probabilities, float64. What holds a NaN is NaN.

        Raises:
            ValueError: If nothing was fitted, the classes are not those of
                the fit, or probabilities are outside of [0, 1].
        """
        self._check_fitted()
        scores = numbers("y_prob", _unpack(y_prob, self.from_logits)[0])
        classes = 1 if scores.ndim == 1 else scores.shape[-1]
        if classes != self.num_classes:
            raise ValueError(
                f"This `{type(self).__name__}` was fitted to "
                f"{self.num_classes} classes. Received: y_prob of shape "
                f"{scores.shape}"
            )
        flat = scores.reshape(-1, classes)
        calibrated = np.empty(flat.shape)
        for at in slices(len(flat), classes):
            if not self.from_logits:
                _check_range(flat[at])
            with np.errstate(invalid="ignore"):  # of an infinity comes NaN
                calibrated[at] = self.recalibrate(widened(flat[at]), np)
        return calibrated.reshape(scores.shape)

    def as_layer(self) -> keras.layers.Layer:
        """The map as a layer that ends a deterministic model.

        It takes what was fitted, logits if those were, and emits
        probabilities, float32. It is saved with the model, and training does
        not change it.

        Returns:
            A `keras.layers.Layer`.

        Raises:
            ValueError: If nothing was fitted, or the fit was to the mean of
                several passes. Such a map comes after the mean:
                `predict_uncertainty(calibrator=...)`.
        """
        self._check_fitted()
        return CalibrationLayer(self)

    def recalibrate(self, scores: Any, xp: Any) -> Any:
        """Scores as fitted to probabilities, `xp` being NumPy or `keras.ops`.

        Everything else that maps, arrays or tensors, is this.
        """
        mapped = self._mapped(scores, xp)
        return to_probabilities(mapped, xp) if self._on_logits else mapped

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {}
        if hasattr(self, "num_classes"):
            state = (*self._found, "from_logits", "num_classes", "num_samples")
            config["state"] = {
                name: np.asarray(getattr(self, name)).tolist() for name in state
            }
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = dict(config)
        state = config.pop("state", {})
        self = cls(**config)
        for name, value in state.items():
            is_array = isinstance(value, list)
            setattr(self, name, np.asarray(value) if is_array else value)
        return self

    @abc.abstractmethod
    def _fit(self, items: Items) -> None:
        """Sets what is named in `_found`: floats and arrays."""

    @abc.abstractmethod
    def _map(self, scores: Any, xp: Any) -> Any:
        """The map itself, of float64 logits or of probabilities."""

    def _mapped(self, scores: Any, xp: Any) -> Any:
        if self.from_logits:
            scores = xp.array(scores, dtype="float64")
        if self._on_logits and not self.from_logits:
            scores = to_logits(scores, xp)
        elif self.from_logits and not self._on_logits:
            scores = to_probabilities(scores, xp)
        return self._map(scores, xp)

    def _in_both_forms(self, scores: np.ndarray) -> tuple[Any, Any]:
        """Calibrated logits and calibrated probabilities."""
        mapped = self._mapped(scores, np)
        if self._on_logits:
            return mapped, to_probabilities(mapped, np)
        return to_logits(mapped, np), mapped

    def _check_fitted(self) -> None:
        if not hasattr(self, "num_classes"):
            raise ValueError(
                f"This `{type(self).__name__}` is not fitted: call `fit`."
            )


def _unpack(y_prob: Any, from_logits: bool) -> tuple[Any, Any, int]:
    """Scores, mask and passes, of arrays or of a result of the package."""
    if not is_classification(y_prob):
        return y_prob, None, 1
    if from_logits:
        raise ValueError(
            "A result of `predict_uncertainty` holds probabilities, also of a "
            "model that emits logits. Expected from_logits=False in `fit`. "
            "Received: from_logits=True"
        )
    mean = y_prob.mean_probabilities
    if y_prob.per_label:
        mean = mean[..., 1]
    return mean, y_prob.mask, y_prob.num_samples


def _check_range(p: np.ndarray) -> None:
    """Nothing but probabilities; a NaN comes out as NaN, for all to see."""
    if (p < -SLACK).any() or (p > 1.0 + SLACK).any():
        raise ValueError(
            "Expected probabilities, as this map was fitted to. "
            f"Received: values from {p.min()} to {p.max()}"
        )
