"""Maps that are linear in their parameters: vector, matrix, Platt, beta."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import Any

import keras
import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.calibration._fit_items import Items
from keras_seqtools.calibration._likelihood import Chunk
from keras_seqtools.calibration._likelihood import LinearMap
from keras_seqtools.calibration._likelihood import maximise_likelihood
from keras_seqtools.calibration._recalibrator import Recalibrator


@keras.saving.register_keras_serializable(package="keras_seqtools")
class VectorScaling(Recalibrator):
    """Scales and shifts the logit of each class: `softmax(scale * z + shift)`.

    It corrects what temperature scaling cannot: some classes too sure, or
    predicted too often. It has two parameters a class, and can change which
    class is on top.

    A logit moved alike in all classes changes nothing, so that of all
    shifts that fit, those that add up to 0 are found. Where the data leave a
    parameter free (a class that never came, classes that a larger scale
    always separates better) a penalty of `1e-8` keeps it finite.

    Args:
        l2: Float of at least 0. Adds `l2` times the mean of `(scale - 1)**2`,
            and that of `shift**2`, to the mean negative log-likelihood: for
            few data. Defaults to `0.0`.

    Attributes:
        scale_: Array `(classes,)`.
        shift_: Array `(classes,)`.
        report: A `RecalibrationReport`.

    Example:

    >>> logits = np.log([[0.7, 0.3], [0.7, 0.3], [0.7, 0.3], [0.2, 0.8]])
    >>> scaling = kst.calibration.VectorScaling()
    >>> scaling = scaling.fit([0, 0, 1, 1], logits, from_logits=True)
    >>> scaling.transform(logits).round(2).tolist()[0]
    [0.67, 0.33]

    Reference:

    - [Guo et al., 2017](https://arxiv.org/abs/1706.04599)
    """

    _found = ("scale_", "shift_")
    _binary = False

    scale_: np.ndarray
    shift_: np.ndarray

    def __init__(self, l2: float = 0.0) -> None:
        self.l2 = _check_penalty("l2", l2)

    def _fit(self, items: Items) -> None:
        def forward(logits: np.ndarray, theta: np.ndarray) -> np.ndarray:
            return logits * theta[0] + theta[1]

        def adjoint(logits: np.ndarray, change: np.ndarray) -> np.ndarray:
            return np.stack([(logits * change).sum(0), change.sum(0)])

        classes = items.num_classes
        (self.scale_, self.shift_), _ = maximise_likelihood(
            LinearMap(partial(_class_chunks, items), forward, adjoint),
            np.stack([np.ones(classes), np.zeros(classes)]),
            2.0 * self.l2 / classes,
        )

    def _map(self, scores: Any, xp: Any) -> Any:
        return scores * self.scale_ + self.shift_

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable(package="keras_seqtools")
class MatrixScaling(Recalibrator):
    """Maps logits by a matrix: `softmax(z @ kernel + bias)`.

    Fitted to probabilities, whose logarithms are taken, this is Dirichlet
    calibration. It learns which classes are mistaken for which, and has
    `classes**2` parameters to learn it with: for many data and few classes.

    The penalty is ODIR, on what is off the diagonal and on the bias. Where
    the data leave the diagonal free, one of `1e-8` keeps it finite.

    Args:
        odir: Float of at least 0. Adds `odir` times the mean square off the
            diagonal, and that of the bias, to the mean negative
            log-likelihood. Defaults to `0.01`.

    Attributes:
        kernel_: Array `(classes, classes)`, from logits given to mapped ones.
        bias_: Array `(classes,)`.
        report: A `RecalibrationReport`.

    Example:

    >>> y_prob = np.array([[0.7, 0.3], [0.7, 0.3], [0.7, 0.3], [0.2, 0.8]])
    >>> scaling = kst.calibration.MatrixScaling().fit([0, 0, 1, 1], y_prob)
    >>> scaling.kernel_.shape, scaling.transform(y_prob).shape
    ((2, 2), (4, 2))

    Reference:

    - [Kull et al., 2019](https://arxiv.org/abs/1910.12656)
    """

    _found = ("kernel_", "bias_")
    _binary = False

    kernel_: np.ndarray
    bias_: np.ndarray

    def __init__(self, odir: float = 0.01) -> None:
        self.odir = _check_penalty("odir", odir)

    def _fit(self, items: Items) -> None:
        def forward(logits: np.ndarray, theta: np.ndarray) -> np.ndarray:
            return logits @ theta[:-1] + theta[-1]

        def adjoint(logits: np.ndarray, change: np.ndarray) -> np.ndarray:
            return np.vstack([logits.T @ change, change.sum(0)])

        classes = items.num_classes
        off_diagonal = (1.0 - np.eye(classes)) / (classes * (classes - 1))
        bias = np.full((1, classes), 1.0 / classes)
        theta, _ = maximise_likelihood(
            LinearMap(partial(_class_chunks, items), forward, adjoint),
            np.vstack([np.eye(classes), np.zeros((1, classes))]),
            2.0 * self.odir * np.vstack([off_diagonal, bias]),
        )
        self.kernel_, self.bias_ = theta[:-1], theta[-1]

    def _map(self, scores: Any, xp: Any) -> Any:
        return xp.matmul(scores, self.kernel_) + self.bias_

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "odir": self.odir}


@keras.saving.register_keras_serializable(package="keras_seqtools")
class PlattScaling(Recalibrator):
    """A logistic curve of the logit: `sigmoid(slope * z + intercept)`.

    For one probability, that of class 1. A slope below 1 says that the
    predictions were too extreme, an intercept that is not 0 that they were too
    low or too high as a whole.

    Args:
        smoothing: Boolean, whether labels are drawn inwards as Platt does it,
            to `(n1 + 1) / (n1 + 2)` and `1 / (n0 + 2)` for `n1` positive and
            `n0` negative items: the map stays finite where the scores
            separate the classes. Weights count items there: those that add
            up to 1 are one item, and draw the map to the middle. Without it
            this is the logistic recalibration of Cox. Defaults to `True`.

    Attributes:
        slope_: Float.
        intercept_: Float.
        report: A `RecalibrationReport`.

    Example:

    >>> scaling = kst.calibration.PlattScaling(smoothing=False)
    >>> scaling = scaling.fit([1, 1, 0, 0, 0, 1], [0.9] * 3 + [0.1] * 3)
    >>> scaling.transform([0.9, 0.1]).round(3).tolist()
    [0.667, 0.333]

    Reference:

    - Platt, 1999, Probabilistic outputs for support vector machines
    - [Cox, 1958](https://doi.org/10.1093/biomet/45.3-4.562)
    """

    _found = ("slope_", "intercept_")
    _binary = True

    slope_: float
    intercept_: float

    def __init__(self, smoothing: bool = True) -> None:
        self.smoothing = smoothing

    def _fit(self, items: Items) -> None:
        targets = items.labels
        if self.smoothing:
            positive = items.weight @ items.labels
            negative = items.weight.sum() - positive
            targets = np.where(
                items.labels == 1,
                (positive + 1.0) / (positive + 2.0),
                1.0 / (negative + 2.0),
            )
        theta, _ = _fit_logistic(items, targets, _logit_and_one, [1.0, 0.0])
        self.slope_, self.intercept_ = theta.tolist()

    def _map(self, scores: Any, xp: Any) -> Any:
        return self.slope_ * scores + self.intercept_

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "smoothing": self.smoothing}


@keras.saving.register_keras_serializable(package="keras_seqtools")
class BetaCalibration(Recalibrator):
    """A beta curve of the probability: `logit = a log p - b log(1 - p) + c`.

    For one probability, that of class 1. The ends of the curve have slopes of
    their own, which a logistic curve cannot give, and the identity is among
    its shapes. It never falls: `a` and `b` are at least 0.

    Attributes:
        a_: Float, at least 0.
        b_: Float, at least 0.
        c_: Float.
        report: A `RecalibrationReport`.

    Example:

    >>> scaling = kst.calibration.BetaCalibration()
    >>> scaling = scaling.fit([1, 1, 0, 0, 0, 1], [0.9] * 3 + [0.1] * 3)
    >>> scaling.transform([0.9, 0.1]).round(3).tolist()
    [0.667, 0.333]

    Reference:

    - [Kull et al., 2017](https://proceedings.mlr.press/v54/kull17a.html)
    """

    _found = ("a_", "b_", "c_")
    _binary = True

    a_: float
    b_: float
    c_: float

    def _fit(self, items: Items) -> None:
        best = np.inf
        # Where the best curve falls, the best that does not has a 0.
        for kept in ([0, 1, 2], [1, 2], [0, 2], [2]):
            found, value = _fit_logistic(
                items,
                items.labels,
                partial(_beta_features, kept),
                [(1.0, 1.0, 0.0)[place] for place in kept],
            )
            if value < best and (found[:-1] >= 0.0).all():
                best, theta = value, np.zeros(3)
                theta[kept] = found
            if len(kept) == 3 and best < np.inf:
                break
        self.a_, self.b_, self.c_ = theta.tolist()

    def _map(self, scores: Any, xp: Any) -> Any:
        # Logarithms of p and 1 - p, without rounding either to 1.
        log_p, log_q = -xp.logaddexp(0.0, -scores), -xp.logaddexp(0.0, scores)
        return self.a_ * log_p - self.b_ * log_q + self.c_


def _class_chunks(items: Items) -> Iterator[Chunk]:
    classes = np.arange(items.num_classes)
    for at, logits in items.logit_chunks():
        targets = items.labels[at, None] == classes
        yield logits, targets.astype("float64"), items.weight[at]


def _fit_logistic(
    items: Items,
    targets: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    start: Sequence[float],
) -> tuple[np.ndarray, float]:
    """Logistic regression of targets in [0, 1] on features of the logit."""

    def chunks() -> Iterator[Chunk]:
        for at, scores in items.chunks():
            t = targets[at]
            columns = features(items.logits(scores))
            yield columns, np.stack([1.0 - t, t], axis=-1), items.weight[at]

    def forward(columns: np.ndarray, theta: np.ndarray) -> np.ndarray:
        logit = columns @ theta
        return np.stack([np.zeros_like(logit), logit], axis=-1)

    def adjoint(columns: np.ndarray, change: np.ndarray) -> np.ndarray:
        return columns.T @ change[:, 1]

    return maximise_likelihood(
        LinearMap(chunks, forward, adjoint), np.asarray(start, "float64")
    )


def _logit_and_one(z: np.ndarray) -> np.ndarray:
    return np.hstack([z, np.ones_like(z)])


def _beta_features(kept: Sequence[int], z: np.ndarray) -> np.ndarray:
    features = -np.logaddexp(0.0, -z), np.logaddexp(0.0, z), np.ones_like(z)
    return np.hstack([features[place] for place in kept])


def _check_penalty(name: str, value: Any) -> float:
    # Written so that a NaN, which compares false, is refused.
    if not (isinstance(value, Real) and 0.0 <= float(value) < np.inf):
        raise invalid(name, "a number of at least 0", value)
    return float(value)
