"""One output of a model: what it means, and the result that comes of it."""

import dataclasses
import weakref
from collections.abc import Hashable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.heads import DistributionHead
from keras_seqtools.uncertainty._accumulators import ClassificationAccumulator
from keras_seqtools.uncertainty._accumulators import PointMass
from keras_seqtools.uncertainty._accumulators import RegressionAccumulator
from keras_seqtools.uncertainty._checks import check_noise_std
from keras_seqtools.uncertainty._checks import check_probabilities
from keras_seqtools.uncertainty._task import resolve_tasks
from keras_seqtools.uncertainty.results import ClassificationUncertainty
from keras_seqtools.uncertainty.results import RegressionUncertainty
from keras_seqtools.uncertainty.results import ends_of
from keras_seqtools.uncertainty.results import level_key


@dataclasses.dataclass(frozen=True)
class Output:
    """What an output means.

    Attributes:
        family: A head, a `PointMass`, `"classification"` or `"multilabel"`.
        from_logits: Whether a classifier emits logits.
        noise_std: Standard deviations of normal noise around points, or None.
    """

    family: Any
    from_logits: bool
    noise_std: tuple[float, ...] | None

    @property
    def is_classifier(self) -> bool:
        return isinstance(self.family, str)

    @property
    def key(self) -> Hashable:
        """What tells it from another output, without keeping its layer."""
        family = self.family
        if isinstance(family, DistributionHead):
            family = weakref.ref(family)
        elif isinstance(family, PointMass):
            family = "point"
        return family, self.from_logits, self.noise_std


@dataclasses.dataclass(frozen=True)
class Asked:
    """What to compute of every output beside its moments."""

    quantiles: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    keep: bool = False


def read_outputs(
    models: Sequence[keras.Model], task: Any, from_logits: bool, noise_std: Any
) -> list[Output]:
    """The outputs of a model, or those that all members agree on."""
    noise_std = check_noise_std(noise_std)
    members = [
        [
            Output(family, logits, noise_std if _is_point(family) else None)
            for family, logits in resolve_tasks(model, task, from_logits)
        ]
        for model in models
    ]
    for other in members[1:]:
        if _kinds(other) != _kinds(members[0]):
            raise ValueError(
                "Expected members of an ensemble with outputs of one kind. "
                f"Received: {_kinds(members[0])} and {_kinds(other)}"
            )
    outputs = members[0]
    if noise_std and not any(output.noise_std for output in outputs):
        raise ValueError(
            "`noise_std` is the noise around the points of a regression "
            f"without a head. Received: noise_std={noise_std} for a model "
            f"with outputs {_kinds(outputs)}"
        )
    return outputs


def pack_results(
    models: Sequence[keras.Model], task: Any, results: list[Any]
) -> Any:
    """Results by output, in the structure in which the model has these."""
    if len(results) == 1:
        return results[0]
    return keras.tree.pack_sequence_as(
        output_structure(models[0], task), results
    )


def output_structure(model: keras.Model, task: Any) -> Any:
    """Something of the structure of the outputs of a model."""
    structure = getattr(model, "output", None)
    # A model without a graph cannot tell, but its user has.
    return task if structure is None else structure


def check_asked(
    outputs: Sequence[Output],
    quantiles: Sequence[float] | None,
    levels: Sequence[float] | None,
    thresholds: Sequence[float] | None,
    keep: bool,
) -> Asked:
    """All quantiles to compute, those of the intervals too, and thresholds."""
    asked = {"quantiles": quantiles, "levels": levels, "thresholds": thresholds}
    for name, value in asked.items():
        if value is not None and all(
            output.is_classifier for output in outputs
        ):
            raise ValueError(
                f"A classifier has no {name}. Received: {name}={value!r}"
            )
    wanted = (
        () if quantiles is None else check_fractions("quantiles", quantiles)
    )
    all_levels = () if levels is None else check_fractions("levels", levels)
    ends = [end for level in all_levels for end in ends_of(level)]
    limits = () if thresholds is None else np.ravel(thresholds).tolist()
    limits = [float(limit) for limit in limits]
    if not np.isfinite(limits).all():
        raise invalid("thresholds", "finite numbers", thresholds)
    keys = {level_key(q) for q in (*wanted, *ends)}
    return Asked(tuple(sorted(keys)), tuple(dict.fromkeys(limits)), keep)


def make_accumulator(
    output: Output, asked: Asked, models: Sequence[keras.Model]
) -> Any:
    """An accumulator that does not keep layers of the models alive."""
    if output.is_classifier:
        return ClassificationAccumulator(
            output.family == "multilabel", output.from_logits, asked.keep
        )
    family = output.family
    if any(family in flatten_layers(model) for model in models):
        family = weakref.proxy(family)
    return RegressionAccumulator(
        family,
        asked.quantiles,
        asked.thresholds,
        asked.keep,
        output.noise_std,
    )


def make_result(
    output: Output,
    asked: Asked,
    found: dict[str, Any],
    common: dict[str, Any],
    calibrator: Any = None,
) -> ClassificationUncertainty | RegressionUncertainty:
    """The result of a batch, of what its accumulator found."""
    samples = found.get("samples")
    common = {
        **common,
        "mask": found.get("mask"),
        "deterministic": found["deterministic"],
        "samples": None if samples is None else np.moveaxis(samples, 1, 0),
    }
    if output.is_classifier:
        return _classification(found, common, calibrator)

    def table(name: str, keys: Sequence[float]) -> dict[float, np.ndarray]:
        return {key: found[name][:, i] for i, key in enumerate(keys)}

    return RegressionUncertainty(
        mean=found["mean"],
        epistemic_variance=found["epistemic_variance"],
        aleatoric_variance=found["aleatoric_variance"],
        quantiles=table("quantiles", asked.quantiles),
        probs_below=table("below", asked.thresholds),
        probs_above=table("above", asked.thresholds),
        mcse=found["mcse"],
        **common,
    )


def _classification(
    found: dict[str, Any], common: dict[str, Any], calibrator: Any
) -> ClassificationUncertainty:
    p = mean = found["mean"]
    check_probabilities(mean)
    # The classes 0 and 1 of a sigmoid have an axis that it does not emit.
    per_label = p.ndim > found["deterministic"].ndim
    if calibrator is not None:
        emitted = mean[..., 1] if per_label else mean
        p = np.asarray(calibrator.transform(emitted))
        if p.shape != emitted.shape:
            raise ValueError(
                f"Expected `calibrator.transform` to keep the shape "
                f"{emitted.shape}. Received: {p.shape}"
            )
        if per_label:
            p = np.stack([1.0 - p, p], axis=-1)
        check_probabilities(p)
    return ClassificationUncertainty(
        class_probabilities=p,
        mean_probabilities=mean,
        class_variance=found["variance"],
        class_votes=found["votes"],
        expected_entropy=found["expected_entropy"],
        per_label=per_label,
        mcse=found["mcse"][..., 1] if per_label else found["mcse"],
        **common,
    )


def _is_point(family: Any) -> bool:
    return isinstance(family, PointMass)


def _kinds(outputs: Sequence[Output]) -> list[str]:
    return [
        output.family if output.is_classifier else type(output.family).__name__
        for output in outputs
    ]
