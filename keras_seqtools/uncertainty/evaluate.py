"""Score what a model predicts, spread and all, against what happened."""

import math
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools.metrics._weights import mask_and_weight
from keras_seqtools.uncertainty._accumulators import PointMass
from keras_seqtools.uncertainty._checks import check_models
from keras_seqtools.uncertainty._checks import check_named
from keras_seqtools.uncertainty._checks import check_seed
from keras_seqtools.uncertainty._checks import count_passes
from keras_seqtools.uncertainty._class_scores import ClassScores
from keras_seqtools.uncertainty._engine import sample_batches
from keras_seqtools.uncertainty._outputs import Output
from keras_seqtools.uncertainty._outputs import pack_results
from keras_seqtools.uncertainty._outputs import read_outputs
from keras_seqtools.uncertainty._regression_scores import RegressionScores
from keras_seqtools.uncertainty._stochastic_layers import random_layers
from keras_seqtools.uncertainty._targets import Targets

# Draws from the mixture per item, for its CRPS. Their noise, some 3 % of the
# score of one item, averages out over many.
_DRAWS = 1000

Scores = ClassScores | RegressionScores
# Of a batch and an output: what scores are made of by name, and weights.
Rows = tuple[dict[str, np.ndarray], np.ndarray]


def evaluate_uncertainty(
    model: Any,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    num_samples: int = 100,
    batch_size: int | None = None,
    seed: int | None = None,
    task: Any = "auto",
    from_logits: bool = False,
    levels: Sequence[float] = (0.5, 0.9),
    noise_std: Any = None,
    stochastic_layers: Any = (),
    consistent_masks: bool = False,
    per_row: bool = False,
    verbose: Any = "auto",
    steps: int | None = None,
    callbacks: Any = None,
) -> Any:
    """Scores of the predictive mixture of a model on data, by name.

    What is scored is what `predict_uncertainty` describes: the average over
    the passes, of all members of an ensemble, of the distributions that they
    predict. Scores are weighted means over the items, `sum(w * s) / sum(w)`.
    Items that a mask of the output hides, or that weigh 0, are left out: they
    may hold any target.

    Passes are those of `predict_uncertainty` with the same seed, and depend on
    the batches where those do. Only the CRPS always does, a little: it is made
    of draws, batch by batch.

    Args:
        model: A built `keras.Model`, or a list of them (an ensemble). For
            regression it ends in a head, or there is a `noise_std`.
        x: Inputs, as for `Model.evaluate`: arrays, or a `tf.data.Dataset`,
            `PyDataset` or generator of `(inputs, targets)` or `(inputs,
            targets, sample_weights)`.
        y: Targets, of the shape the model predicts, where `x` are arrays; in
            the structure of the outputs if there are several. Defaults to
            `None`.
        sample_weight: Weights of the rows, `(batch,)`, or of the items,
            `(batch, time)`, where `x` are arrays; for several outputs one
            array, or one for each. Defaults to `None`.
        num_samples: Positive integer. Number of passes of each member.
            Defaults to `100`.
        batch_size: Positive integer. Rows of arrays at a time. Defaults to
            `None`: as in `predict_uncertainty`. Of a regression, 1,000 draws
            for each item of a batch are held.
        seed: Integer of at least 0. Defaults to `None`: a new one each time.
        task: As in `predict_uncertainty`. Defaults to `"auto"`.
        from_logits: Boolean. Whether a classifier emits logits. Defaults to
            `False`.
        levels: Numbers in (0, 1): central intervals of a regression whose
            coverage to report. Defaults to `(0.5, 0.9)`.
        noise_std: Positive number, or one for each unit: the standard
            deviation of normal noise around the points of a model without a
            head, `1 / sqrt(tau)` in Gal & Ghahramani (2016). Defaults to
            `None`.
        stochastic_layers: As in `predict_uncertainty`. Defaults to `()`.
        consistent_masks: Boolean. Whether all rows share the noise of a pass.
            Defaults to `False`.
        per_row: Boolean. Whether to return the scores of each item instead of
            their means. Defaults to `False`.
        verbose: As in `Model.predict`. Defaults to `"auto"`.
        steps: As in `Model.predict`. Defaults to `None`.
        callbacks: As in `Model.predict`. Defaults to `None`.

    Returns:
        A dict of floats; for several outputs, in their structure, a dict for
        each.

        For regression: `"nll"` (nats, summed over units, by the mean of the
        densities of the passes); `"crps"` (by 1,000 draws an item, unbiased)
        and `"rmse"`, in units of the target; `"pit_distance"`, the largest
        distance between the distribution of the probability integral
        transforms, for counts the non-randomised one of Czado et al. (2009),
        and the uniform one (0 to 1; of `n` items some `0.9 / sqrt(n)` when all
        is well, less for counts); and for each level the share of targets
        inside, such as `"coverage_90"` (for counts that is at least the level
        even when all is well).

        For classification: `"nll"` (nats), `"accuracy"`, `"brier"` (0 to 2; to
        1 for sigmoids) and `"ece"`.

        With `per_row=True`, a dict of arrays of the shape of the items,
        `(batch,)` or `(batch, time)`, NaN where the mask hides them. For
        regression `"nll"`, `"crps"`, `"squared_error"`, `"pit"` (P(Y <= y); for
        counts halfway from P(Y < y) to it) and for each level `"covered_90"`,
        1 or 0. For classification `"nll"`, `"correct"` (1 or 0) and `"brier"`.
        Several units or labels have an axis of their own, the last, but in
        the `"nll"` of a regression.

    Raises:
        ValueError: As `predict_uncertainty`; and if a target is outside the
            support of the head, or targets or weights do not fit the output.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), kst.heads.NormalHead()])
    >>> x, y = np.zeros((50, 2)), np.zeros((50, 1))
    >>> scores = kst.evaluate_uncertainty(model, x, y, seed=1, verbose=0)
    >>> sorted(scores)
    ['coverage_50', 'coverage_90', 'crps', 'nll', 'pit_distance', 'rmse']
    >>> rows = kst.evaluate_uncertainty(
    ...     model, x, y, per_row=True, seed=1, verbose=0
    ... )
    >>> rows["pit"].shape
    (50,)

    Reference:

    - [Gneiting & Raftery, 2007](https://doi.org/10.1198/016214506000001437)
    - [Czado et al., 2009](https://doi.org/10.1111/j.1541-0420.2009.01191.x)
    - [Gal & Ghahramani, 2016](https://arxiv.org/abs/1506.02142)
    """
    seed = check_seed(seed)
    models = check_models(model)
    names = check_named(models, stochastic_layers)
    outputs = read_outputs(models, task, from_logits, noise_std)
    levels = check_fractions("levels", levels)
    randoms = [random_layers(member, names) for member in models]
    families = [output.family for output in outputs]
    _check_no_points(models[0], outputs)
    num_samples = count_passes(models, randoms, families, num_samples)
    draws = math.ceil(_DRAWS / (num_samples * len(models)))
    scores = [_scores_of(output, levels, draws) for output in outputs]
    targets = Targets(models[0], scores)
    batches = sample_batches(
        models,
        randoms,
        [score.accumulator for score in scores],
        ("scores", draws, *(output.key for output in outputs)),
        targets.check_arrays(x, y, sample_weight),
        num_samples=num_samples,
        seed=seed,
        batch_size=batch_size,
        consistent_masks=consistent_masks,
        targets_of=targets.of_batch,
        steps=steps,
        verbose=verbose,
        callbacks=callbacks,
    )
    scored = list(_score(targets, batches))
    if not scored:
        raise ValueError("There is no batch to score.")
    finish = _arrays if per_row else _summary
    results = [
        finish(score, [of_outputs[place] for of_outputs in scored])
        for place, score in enumerate(scores)
    ]
    return pack_results(models, task, results)


def _scores_of(output: Output, levels: Sequence[float], draws: int) -> Scores:
    if output.is_classifier:
        return ClassScores(output)
    return RegressionScores(output, levels, draws)


def _check_no_points(model: keras.Model, outputs: Sequence[Output]) -> None:
    for output in outputs:
        if isinstance(output.family, PointMass) and output.noise_std is None:
            raise ValueError(
                f"`{model.name}` predicts points, not a distribution that "
                "could be scored. End it in a head, such as "
                "`keras_seqtools.heads.NormalHead()`, or pass the standard "
                "deviation of the noise around the points as `noise_std`."
            )


def _score(targets: Targets, batches: Iterator[Any]) -> Iterator[list[Rows]]:
    """For each batch, of each output what its scores are made of."""
    for number, (found, y, sample_weight) in enumerate(batches):
        per_output = zip(
            targets.scores,
            found,
            targets.by_output("y", y),
            targets.by_output("sample_weight", sample_weight),
            strict=True,
        )
        try:
            scored = [_rows(*of_output) for of_output in per_output]
        except ValueError as error:
            raise ValueError(f"In batch {number}: {error}") from error
        yield scored


def _rows(score: Scores, found: dict[str, Any], y: Any, weight: Any) -> Rows:
    """What the scores of one batch are made of, and the weights of items."""
    y, emitted = np.asarray(y), found[score.shaped_as].shape
    score.check_shape(y.shape, emitted)
    rows = score.rows(found, y)
    mask, weight = mask_and_weight(found.get("mask"), weight, rows["nll"].shape)
    weight = np.where(mask, weight, 0.0)
    score.check_targets(y, emitted, weight > 0.0)
    hidden = ~mask

    def hide(values: np.ndarray) -> np.ndarray:
        values = values.astype("float64")
        values[hidden] = np.nan
        return values

    return {name: hide(values) for name, values in rows.items()}, weight


def _arrays(score: Scores, batches: list[Rows]) -> dict[str, np.ndarray]:
    """The scores of every item."""
    return {
        name: np.concatenate([rows[name] for rows, _ in batches])
        for name in batches[0][0]
        if name not in score.hidden
    }


def _summary(score: Scores, batches: list[Rows]) -> dict[str, float]:
    """The scores of all items together."""
    weight = np.concatenate([weight.ravel() for _, weight in batches])
    counts = weight > 0.0
    weight = weight[counts, None]

    def items(name: str) -> np.ndarray:
        # One after another, for sequences of several lengths too.
        parts = [
            rows[name].reshape(weight.size, -1) for rows, weight in batches
        ]
        return np.concatenate(parts)[counts]

    rows = {name: items(name) for name in batches[0][0]}
    means = {
        name: float((values * weight).sum() / weight.sum() / values.shape[-1])
        if counts.any()
        else math.nan
        for name, values in rows.items()
    }
    return score.summary(means, rows, weight)
