"""What `predict_uncertainty` returns: arrays, and what follows from them."""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.uncertainty import measures


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Uncertainty:
    _measures: ClassVar[tuple[str, ...]]

    deterministic: np.ndarray
    mcse: np.ndarray
    num_samples: int
    seed: int
    stochastic_layers: Mapping[str, Mapping[str, float]]
    mask: np.ndarray | None = None
    samples: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.deterministic)

    def __getitem__(self, rows: Any) -> Any:
        """The same result for some rows: a slice, a mask or indices."""
        rows = np.atleast_1d(np.arange(len(self))[rows])

        def pick(name: str, value: Any) -> Any:
            if name == "samples" and value is not None:
                return value[:, rows]
            if isinstance(value, np.ndarray):
                return value[rows]
            if name in _TABLES:
                return {key: array[rows] for key, array in value.items()}
            return value

        picked = {
            field.name: pick(field.name, getattr(self, field.name))
            for field in dataclasses.fields(self)
        }
        return type(self)(**picked)

    def scores(self) -> dict[str, np.ndarray]:
        """All measures that `score` knows, by name; higher is less sure."""
        return {name: self.score(name) for name in self._measures}

    def score(self, name: str) -> np.ndarray:
        """A measure by name, turned so that higher means less sure."""
        if name not in self._measures:
            raise invalid("name", f"one of {self._measures}", name)
        measure = getattr(self, name)
        return -measure if name in ("p_max", "vote_fraction") else measure

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(shape={self.deterministic.shape}, "
            f"num_samples={self.num_samples}, seed={self.seed}, "
            f"stochastic_layers={list(self.stochastic_layers)})"
        )


# Fields that hold arrays by number.
_TABLES = ("quantiles", "probs_below", "probs_above")


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ClassificationUncertainty(_Uncertainty):
    """How sure a classifier is, from the probabilities of its passes.

    Entropies are in nats. For class probabilities `(batch, ..., classes)` the
    measures have shape `(batch, ...)`. A sigmoid, alone or one a label, is a
    choice between two classes of its own: every measure then has the shape
    `(batch, ..., labels)` of the output.

    Attributes:
        probabilities: Mean over the passes, of the shape of the output.
        predicted_class: The class of largest mean probability; 0 or 1 for
            sigmoids.
        p_max: Mean probability of the predicted class. Low is unsure.
        total_std: `sqrt(sum_k var_t p_tk)`, over all classes.
        predictive_entropy: Entropy of the mean.
        expected_entropy: Mean entropy of the passes.
        mutual_information: Their difference: what the passes dispute.
        votes: Number of passes that vote for each class; for the label, if
            sigmoids.
        vote_fraction: Share of the votes that the majority has.
        variation_ratio: 1 less that.
        deterministic: Probabilities of the pass with all noise off.
        mcse: Monte Carlo standard error of `probabilities`.
        num_samples: Number of passes.
        seed: The seed, also where none was given.
        stochastic_layers: What was random: rates, by the path of the layer.
        mask: Mask of the output, `(batch, time)`, if the model has one.
        samples: Probabilities of every pass, `(num_samples, batch, ...)`, if
            asked for.
    """

    _measures = (
        "p_max",
        "total_std",
        "predictive_entropy",
        "expected_entropy",
        "mutual_information",
        "vote_fraction",
        "variation_ratio",
    )

    class_probabilities: np.ndarray
    mean_probabilities: np.ndarray
    class_variance: np.ndarray
    class_votes: np.ndarray
    expected_entropy: np.ndarray
    per_label: bool

    @property
    def probabilities(self) -> np.ndarray:
        return self._emitted(self.class_probabilities)

    @property
    def predicted_class(self) -> np.ndarray:
        return self.class_probabilities.argmax(-1)

    @property
    def p_max(self) -> np.ndarray:
        return self.class_probabilities.max(-1)

    @property
    def total_std(self) -> np.ndarray:
        return np.sqrt(self.class_variance.sum(-1))

    @property
    def predictive_entropy(self) -> np.ndarray:
        return measures.entropy(self.class_probabilities)

    @property
    def mutual_information(self) -> np.ndarray:
        # Of the passes as they were: a calibrator says nothing about those.
        entropy = measures.entropy(self.mean_probabilities)
        return np.maximum(entropy - self.expected_entropy, 0.0)

    @property
    def votes(self) -> np.ndarray:
        return self._emitted(self.class_votes)

    @property
    def vote_fraction(self) -> np.ndarray:
        return self.class_votes.max(-1) / self.num_samples

    @property
    def variation_ratio(self) -> np.ndarray:
        return 1.0 - self.vote_fraction

    def _emitted(self, classes: np.ndarray) -> np.ndarray:
        """Per class as the model emits it: for a sigmoid just that of 1."""
        return classes[..., 1] if self.per_label else classes


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RegressionUncertainty(_Uncertainty):
    """What a regression model expects, and how sure it is.

    All of it describes one thing, the predictive mixture: the average over
    the passes of the distribution that each predicts. Arrays have the shape
    `(batch, ..., units)` of the target, and its units.

    Attributes:
        mean: Mean of the mixture.
        variance: `epistemic_variance + aleatoric_variance`.
        epistemic_variance: Variance of the means of the passes. With Monte
            Carlo dropout it follows the rate of the dropout, not only what
            the model has seen: compare it between inputs, do not read it as
            an error bar.
        aleatoric_variance: Mean of the variances of the passes; 0 for a model
            without a head, which predicts no noise.
        std: Square root of `variance`; likewise `epistemic_std` and
            `aleatoric_std`.
        deterministic: Mean of the pass with all noise off.
        mcse: Monte Carlo standard error of `mean`.
        num_samples: Number of passes.
        seed: The seed, also where none was given.
        stochastic_layers: What was random: rates, by the path of the layer.
        mask: Mask of the output, `(batch, time)`, if the model has one.
        samples: What the model emitted in every pass,
            `(num_samples, batch, ...)`, if asked for.
        quantiles: Quantiles by level, as asked for; see `quantile`.
        probs_below: P(Y < threshold) by threshold; see `prob_below`.
        probs_above: P(Y > threshold) by threshold; see `prob_above`.
    """

    _measures = ("std", "epistemic_std", "aleatoric_std")

    mean: np.ndarray
    epistemic_variance: np.ndarray
    aleatoric_variance: np.ndarray
    quantiles: Mapping[float, np.ndarray]
    probs_below: Mapping[float, np.ndarray]
    probs_above: Mapping[float, np.ndarray]

    @property
    def variance(self) -> np.ndarray:
        return self.epistemic_variance + self.aleatoric_variance

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self.variance)

    @property
    def epistemic_std(self) -> np.ndarray:
        return np.sqrt(self.epistemic_variance)

    @property
    def aleatoric_std(self) -> np.ndarray:
        return np.sqrt(self.aleatoric_variance)

    def quantile(self, q: float) -> np.ndarray:
        """The smallest y with P(Y <= y) >= q, one of the quantiles asked."""
        return _look_up(self.quantiles, level_key(q), f"quantiles=({q},)")

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the central interval of one of the levels asked for."""
        lower, upper = (
            _look_up(self.quantiles, level_key(q), f"levels=({level},)")
            for q in ends_of(level)
        )
        return lower, upper

    def prob_below(self, threshold: float) -> np.ndarray:
        """P(Y < threshold), for one of the thresholds asked for."""
        return _look_up(
            self.probs_below, float(threshold), f"thresholds=({threshold},)"
        )

    def prob_above(self, threshold: float) -> np.ndarray:
        """P(Y > threshold), for one of the thresholds asked for."""
        return _look_up(
            self.probs_above, float(threshold), f"thresholds=({threshold},)"
        )


def ends_of(level: float) -> tuple[float, float]:
    """The quantiles at the ends of the central interval of a level."""
    (level,) = check_fractions("level", level)
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0


def level_key(q: float) -> float:
    """A quantile level, without the last digits that arithmetic leaves."""
    return round(float(q), 12)


def concatenate(results: Sequence[Any]) -> Any:
    """One result of the rows of several, in their order."""
    first = results[0]

    def join(name: str) -> Any:
        parts = [getattr(result, name) for result in results]
        if isinstance(parts[0], np.ndarray):
            return np.concatenate(parts, axis=1 if name == "samples" else 0)
        if name in _TABLES:
            return {
                key: np.concatenate([part[key] for part in parts])
                for key in parts[0]
            }
        return parts[0]

    names = [field.name for field in dataclasses.fields(first)]
    return type(first)(**{name: join(name) for name in names})


def _look_up(
    table: Mapping[float, np.ndarray], key: float, argument: str
) -> np.ndarray:
    if key not in table:
        raise ValueError(
            "This was not computed along with the passes. Ask for it with "
            f"`predict_uncertainty(..., {argument})`. Computed: {list(table)}"
        )
    return table[key]
