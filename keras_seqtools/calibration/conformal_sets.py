"""Sets of classes that hold the true one with a stated probability."""

import abc
from typing import Any
from typing import Self

import numpy as np

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.calibration._conformal import Conformal
from keras_seqtools.calibration._inputs import class_probabilities
from keras_seqtools.metrics._classes import aligned_arrays
from keras_seqtools.metrics._classes import checked_labels
from keras_seqtools.metrics._classes import checked_probabilities
from keras_seqtools.metrics._weights import joint_mask


class _ConformalSets(Conformal, abc.ABC):
    """The classes whose score is at most the quantile of the true ones'."""

    seed: int | None = None

    def fit(self, y_true: Any, y_prob: Any, *, mask: Any = None) -> Self:
        """Takes the quantile of the scores of the true classes.

        Args:
            y_true: Array of labels: integers, of the shape of the items or
                with a last axis of 1, or one-hot, of the shape of `y_prob`.
            y_prob: Array of probabilities `(batch, ..., classes)`, or a result
                of `predict_uncertainty`. `(batch,)` and a last axis of 1 are
                sigmoids, of two classes.
            mask: Boolean array, of the shape of the items or its first axes.
                What it, or the mask of the result, leaves out may hold
                anything. Defaults to `None`.

        Returns:
            The object itself.

        Raises:
            ValueError: If a shape does not fit, or what counts holds a label
                that is none of the classes, or no probabilities.
        """
        y_prob, known = class_probabilities(y_prob)
        y_true, y_prob = aligned_arrays(y_true, y_prob)
        keeps, p = _counted(y_prob, mask, known)
        labels = checked_labels(y_true[keeps], p.shape[-1])[:, None]
        rng, self._rng = np.random.default_rng(self.seed).spawn(2)
        scores = np.take_along_axis(self._scores(p, rng), labels, axis=-1)
        self.quantile_ = self._quantile(scores[:, 0], keeps, self.level)
        self._classes = p.shape[-1]
        return self

    def predict_set(self, y_prob: Any, *, mask: Any = None) -> np.ndarray:
        """Which classes are in the set of each item.

        Args:
            y_prob: Array of probabilities `(batch, ..., classes)`, or a
                result.
            mask: Boolean array, of the shape of the items or its first axes.
                What it, or the mask of the result, leaves out may hold
                anything, and its sets are empty. Defaults to `None`.

        Returns:
            Boolean array of the shape of `y_prob`, with two classes for a
            sigmoid.
        """
        y_prob, known = class_probabilities(y_prob)
        self._check_fitted_to(y_prob.shape[:-1])
        if y_prob.shape[-1] != self._classes:
            raise invalid(
                "y_prob", f"{self._classes} classes, as in `fit`", y_prob.shape
            )
        keeps, p = _counted(y_prob, mask, known)
        quantile = np.broadcast_to(self.quantile_, keeps.shape)[keeps]
        sets = np.zeros(y_prob.shape, bool)
        sets[keeps] = self._scores(p, self._rng) <= quantile[:, None]
        return sets

    @abc.abstractmethod
    def _scores(self, p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Of each class of `(items, classes)`: low where it is likely."""


class LAC(_ConformalSets):
    """All classes above one probability: small sets, on average.

    Fitted to rows that the model was not trained on, the set of a new row
    holds its class with probability `level` at least, and at most
    `1 / (n + 1)` more if no two scores are equal: for any model, if the rows
    are exchangeable. That is an average over rows: the sets of hard rows, or
    rare classes, may hold it less often than those of others.

    The score of a class is `1 - p`; if the probabilities are right no sets are
    smaller on average. A set is empty where no class is likely
    enough: the model is then less sure than it ever was of a true class, and
    that is a finding, not a failure. With too few rows for the level,
    `n < level / (1 - level)`, sets hold all classes, and `fit` warns.

    Args:
        level: Float in (0, 1), the probability of holding the class. Defaults
            to `0.9`.
        group: `None` for one label a row; for `(batch, time, classes)`
            `"sequence"`, where all steps of a row are held at once, or
            `"horizon"`, where every step has a quantile of its own: the steps
            of one row are not exchangeable. Defaults to `None`.

    Attributes:
        quantile_: The quantile of the scores; one a step for `"horizon"`.

    Example:

    >>> y_prob = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.4, 0.5]]
    >>> conformal = kst.calibration.LAC(level=0.75).fit([0, 1, 1], y_prob)
    >>> conformal.predict_set([[0.45, 0.5, 0.05], [0.9, 0.05, 0.05]])
    array([[ True,  True, False],
           [ True, False, False]])

    Reference:

    - [Sadinle et al., 2019](https://arxiv.org/abs/1609.00451)
    """

    def __init__(self, level: float = 0.9, group: str | None = None) -> None:
        super().__init__(level, group)

    def _scores(self, p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 1.0 - p


class APS(_ConformalSets):
    """Classes from the likeliest down, more of them for harder rows.

    The score of a class is the probability of all that are as likely or
    likelier, its own included: a set takes classes in order until they add up
    to the quantile. Compared with `LAC` the sets are larger, and hold the
    class more evenly often over easy and hard rows. They cover as those of
    `LAC` do, with the same warning and the same `group`.

    A set is empty where the likeliest class alone exceeds the quantile, which
    meets the surest rows. To avoid it add the likeliest class to every set:
    the class is then held more often than `level`, never less.

    With a `seed` a random share of its own probability is taken off the score
    of a class, as in the paper: the sets are smaller, and which classes are
    in them then depends on the seed, on the order of the rows, and on the
    calls of `predict_set` since `fit`, each of which draws anew.

    Args:
        level: Float in (0, 1), the probability of holding the class. Defaults
            to `0.9`.
        seed: Integer of at least 0, or `None` for sets without randomness.
            Defaults to `None`.
        group: `None`, `"sequence"` or `"horizon"`, as in `LAC`. Defaults to
            `None`.

    Attributes:
        quantile_: The quantile of the scores; one a step for `"horizon"`.

    Example:

    >>> y_prob = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.4, 0.5]]
    >>> conformal = kst.calibration.APS(level=0.75).fit([0, 1, 1], y_prob)
    >>> conformal.predict_set([[0.45, 0.5, 0.05], [0.8, 0.15, 0.05]])
    array([[False,  True, False],
           [ True, False, False]])

    Reference:

    - [Romano et al., 2020](https://arxiv.org/abs/2006.02544)
    """

    penalty = 0.0
    regularize_from = 1

    def __init__(
        self,
        level: float = 0.9,
        seed: int | None = None,
        group: str | None = None,
    ) -> None:
        super().__init__(level, group)
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise invalid("seed", "an integer of at least 0, or `None`", seed)
        self.seed = seed

    def _scores(self, p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        order = np.argsort(-p, axis=-1, kind="stable")
        ranked = np.take_along_axis(p, order, axis=-1)
        # From the far end, so that the last score is 1 and not nearly.
        rest = np.cumsum(ranked[:, ::-1], axis=-1)[:, ::-1] - ranked
        values = 1.0 - rest
        if self.seed is not None:
            values -= rng.random((len(p), 1)) * ranked
        beyond = np.arange(1, p.shape[-1] + 1) - self.regularize_from
        values += self.penalty * np.maximum(beyond, 0)
        scores = np.empty_like(p)
        np.put_along_axis(scores, order, values, axis=-1)
        return scores


class RAPS(APS):
    """`APS` that charges for length, so that the longest sets get shorter.

    To the score of a class is added `penalty` for each rank that it lies
    beyond `regularize_from`. With many classes the tail of a softmax is noise,
    and some sets of `APS` are very long; here few are longer than the level
    takes. They cover as before. Choose both numbers on other rows than those
    of `fit`.

    Args:
        level: Float in (0, 1), the probability of holding the class. Defaults
            to `0.9`.
        penalty: Float, not negative, the charge for each rank. Defaults to
            `0.01`.
        regularize_from: Positive integer, the last rank that is free. Defaults
            to `5`.
        seed: Integer or `None`, as in `APS`. Defaults to `None`.
        group: `None`, `"sequence"` or `"horizon"`, as in `LAC`. Defaults to
            `None`.

    Attributes:
        quantile_: The quantile of the scores; one a step for `"horizon"`.

    Example:

    >>> y_prob = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.4, 0.5]]
    >>> conformal = kst.calibration.RAPS(0.75, penalty=1.0, regularize_from=1)
    >>> conformal = conformal.fit([0, 1, 2], y_prob)
    >>> conformal.predict_set([[0.45, 0.5, 0.05]])
    array([[False,  True, False]])

    Reference:

    - [Angelopoulos et al., 2021](https://arxiv.org/abs/2009.14193)
    """

    def __init__(
        self,
        level: float = 0.9,
        penalty: float = 0.01,
        regularize_from: int = 5,
        seed: int | None = None,
        group: str | None = None,
    ) -> None:
        super().__init__(level, seed, group)
        if not 0.0 <= penalty < np.inf:
            raise invalid("penalty", "a number of at least 0", penalty)
        self.penalty = float(penalty)
        self.regularize_from = check_positive_int(
            "regularize_from", regularize_from
        )


def _counted(y_prob: np.ndarray, *masks: Any) -> tuple[np.ndarray, np.ndarray]:
    """The joint mask, and the probabilities that it keeps, in float64."""
    keeps = joint_mask(y_prob.shape[:-1], *masks)
    p = checked_probabilities(y_prob[keeps], from_logits=False)
    return keeps, p.astype("float64")
