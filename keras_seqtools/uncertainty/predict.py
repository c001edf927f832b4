"""Ask any Keras model how sure it is."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.uncertainty._accumulators import ClassificationAccumulator
from keras_seqtools.uncertainty._accumulators import RegressionAccumulator
from keras_seqtools.uncertainty._checks import check_model
from keras_seqtools.uncertainty._checks import check_probabilities
from keras_seqtools.uncertainty._checks import check_seed
from keras_seqtools.uncertainty._checks import passes
from keras_seqtools.uncertainty._sampler import over_batches
from keras_seqtools.uncertainty._sampler import run_pass
from keras_seqtools.uncertainty._sampler import sample_batches
from keras_seqtools.uncertainty._task import resolve_task
from keras_seqtools.uncertainty.results import ClassificationUncertainty
from keras_seqtools.uncertainty.results import RegressionUncertainty
from keras_seqtools.uncertainty.results import ends_of
from keras_seqtools.uncertainty.results import level_key


def predict_uncertainty(
    model: keras.Model,
    x: Any,
    *,
    num_samples: int = 100,
    batch_size: int | None = None,
    seed: int | None = None,
    task: Any = "auto",
    from_logits: bool = False,
    quantiles: Sequence[float] | None = None,
    levels: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
    return_samples: bool = False,
    verbose: Any = "auto",
    steps: int | None = None,
    callbacks: Any = None,
) -> ClassificationUncertainty | RegressionUncertainty:
    """Predictions of a model, and how sure it is of each.

    Runs the model `num_samples` times with its random layers switched on
    (dropout of every kind, recurrent and attention dropout, noise) and all
    else as in `predict`: batch normalisation keeps its statistics. Passes are
    not stored but summarised as they come. Nothing of the model is changed.

    What a model emits decides what it returns. With a head, every pass is a
    distribution, and the result describes the mixture of them; so one whose
    layers are not random has one pass and an epistemic variance of 0. Without
    a head, a model with nothing random is refused.

    The same seed gives the same answer for the same batches; another
    `batch_size` draws other masks. Every pass over every batch starts from the
    states that a stateful layer has.

    Args:
        model: A built `keras.Model` with one output: Sequential, functional
            or subclassed.
        x: Inputs, as for `Model.predict`: arrays, a `tf.data.Dataset` of
            batches, a `PyDataset` or a generator.
        num_samples: Positive integer. Number of passes. Defaults to `100`.
        batch_size: Positive integer. Rows of arrays at a time. Defaults to
            `None`: 256.
        seed: Integer of at least 0. Defaults to `None`: a new one each time,
            which the result tells.
        task: What the output means: a head, `"regression"`,
            `"classification"` (softmax, or one sigmoid) or `"multilabel"`
            (sigmoids). Defaults to `"auto"`: the head of the model, else its
            compiled loss, else the activation of its output.
        from_logits: Boolean. Whether a classifier emits logits. Defaults to
            `False`.
        quantiles: Numbers in (0, 1): quantiles of the mixture to compute.
            Defaults to `None`.
        levels: Numbers in (0, 1): central intervals of the mixture to
            compute. Defaults to `None`.
        thresholds: Numbers: compute the probabilities that the target falls
            below, and above, each. Defaults to `None`.
        return_samples: Boolean. Whether to keep the output of every pass.
            Defaults to `False`.
        verbose: As in `Model.predict`. Defaults to `"auto"`.
        steps: As in `Model.predict`. Defaults to `None`.
        callbacks: As in `Model.predict`. Defaults to `None`.

    Returns:
        A `keras_seqtools.uncertainty.ClassificationUncertainty` or a
        `keras_seqtools.uncertainty.RegressionUncertainty`, of NumPy arrays.

    Raises:
        ValueError: Before any work, if an argument is out of range, the model
            is not built or has nothing random and no head, or its output
            cannot be understood.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dropout(0.2),
    ...         kst.heads.NormalHead(),
    ...     ]
    ... )
    >>> x = np.ones((3, 4), "float32")
    >>> u = kst.predict_uncertainty(model, x, levels=(0.9,), seed=1, verbose=0)
    >>> u.mean.shape, u.interval(0.9)[0].shape
    ((3, 1), (3, 1))

    Reference:

    - [Gal & Ghahramani, 2016](https://arxiv.org/abs/1506.02142)
    """
    seed = check_seed(seed)
    model = check_model(model)
    family, from_logits = resolve_task(model, task, from_logits)
    quantiles, thresholds = _check_asked(
        isinstance(family, str), quantiles, levels, thresholds
    )
    random_layers, num_samples = passes(model, family, num_samples)
    accumulator: Any
    if isinstance(family, str):
        accumulator = ClassificationAccumulator(
            num_samples, family == "multilabel", from_logits, return_samples
        )
    else:
        accumulator = RegressionAccumulator(
            family, num_samples, quantiles, thresholds, return_samples
        )
    found = sample_batches(
        model,
        accumulator,
        num_samples,
        seed,
        x,
        batch_size=batch_size,
        verbose=verbose,
        steps=steps,
        callbacks=callbacks,
    )
    common = {
        "num_samples": num_samples,
        "seed": seed,
        "stochastic_layers": {
            layer.path or layer.name: rates
            for layer, rates in random_layers.items()
        },
        "mask": found.get("mask"),
        "deterministic": found["deterministic"],
        "samples": _samples_first(found.get("samples")),
    }
    if isinstance(family, str):
        return _classification(found, accumulator.per_label, common)
    return _regression(found, quantiles, thresholds, common)


def predict_deterministic(
    model: keras.Model,
    x: Any,
    *,
    batch_size: int | None = None,
    verbose: Any = "auto",
    steps: int | None = None,
    callbacks: Any = None,
) -> Any:
    """The output of a model with every random layer off, `MCDropout` too.

    For a model without always-on layers this is `Model.predict`. A layer of
    another package that is random in every call, and so takes no `training`,
    stays on; every batch starts from the states that a stateful layer has.

    Args:
        model: A built `keras.Model`.
        x: Inputs, as for `Model.predict`.
        batch_size: Positive integer. Rows of arrays at a time. Defaults to
            `None`: 256.
        verbose: As in `Model.predict`. Defaults to `"auto"`.
        steps: As in `Model.predict`. Defaults to `None`.
        callbacks: As in `Model.predict`. Defaults to `None`.

    Returns:
        NumPy arrays, in the structure of the model's output.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), kst.layers.MCDropout(0.5)]
    ... )
    >>> x = np.ones((1, 4), "float32")
    >>> kst.predict_deterministic(model, x, verbose=0).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """
    model = check_model(model)
    return over_batches(
        model,
        lambda x, y, weight, batch_index: run_pass(model, x, None),
        x,
        batch_size,
        verbose=verbose,
        steps=steps,
        callbacks=callbacks,
    )


def _check_asked(
    is_classifier: bool,
    quantiles: Sequence[float] | None,
    levels: Sequence[float] | None,
    thresholds: Sequence[float] | None,
) -> tuple[list[float], list[float]]:
    """All quantiles to compute, those of the intervals too, and thresholds."""
    asked = {"quantiles": quantiles, "levels": levels, "thresholds": thresholds}
    for name, value in asked.items():
        if is_classifier and value is not None:
            raise ValueError(
                f"A classifier has no {name}. Received: {name}={value!r}"
            )
    wanted = (
        [] if quantiles is None else check_fractions("quantiles", quantiles)
    )
    all_levels = [] if levels is None else check_fractions("levels", levels)
    ends = [end for level in all_levels for end in ends_of(level)]
    limits = [] if thresholds is None else np.ravel(thresholds).tolist()
    limits = [float(limit) for limit in limits]
    if not np.isfinite(limits).all():
        raise invalid("thresholds", "finite numbers", thresholds)
    keys = {level_key(q) for q in (*wanted, *ends)}
    return sorted(keys), list(dict.fromkeys(limits))


def _samples_first(samples: np.ndarray | None) -> np.ndarray | None:
    return None if samples is None else np.moveaxis(samples, 1, 0)


def _classification(
    found: dict[str, Any], per_label: bool, common: dict[str, Any]
) -> ClassificationUncertainty:
    check_probabilities(found["deterministic"])
    if per_label:  # of the classes 0 and 1 of a label, the model emits 1
        for name in ("deterministic", "samples"):
            if common[name] is not None:
                common[name] = common[name][..., 1]
    return ClassificationUncertainty(
        class_probabilities=found["mean"],
        class_variance=found["variance"],
        class_votes=found["votes"],
        expected_entropy=found["expected_entropy"],
        per_label=per_label,
        **common,
    )


def _regression(
    found: dict[str, Any],
    quantiles: list[float],
    thresholds: list[float],
    common: dict[str, Any],
) -> RegressionUncertainty:
    def table(name: str, keys: list[float]) -> dict[float, np.ndarray]:
        return {key: found[name][:, i] for i, key in enumerate(keys)}

    return RegressionUncertainty(
        mean=found["mean"],
        epistemic_variance=found["epistemic_variance"],
        aleatoric_variance=found["aleatoric_variance"],
        quantiles=table("quantiles", quantiles),
        probs_below=table("below", thresholds),
        probs_above=table("above", thresholds),
        **common,
    )
