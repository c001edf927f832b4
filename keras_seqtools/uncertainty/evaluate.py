"""Score what a model predicts, spread and all, against what happened."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_seqtools._keras_internals import get_mask
from keras_seqtools._validation import check_fractions
from keras_seqtools.heads import DistributionHead
from keras_seqtools.metrics import crps_samples
from keras_seqtools.metrics import expected_calibration_error
from keras_seqtools.uncertainty._accumulators import ClassificationAccumulator
from keras_seqtools.uncertainty._accumulators import PointMass
from keras_seqtools.uncertainty._accumulators import running_mean
from keras_seqtools.uncertainty._checks import check_model
from keras_seqtools.uncertainty._checks import check_probabilities
from keras_seqtools.uncertainty._checks import check_seed
from keras_seqtools.uncertainty._checks import passes
from keras_seqtools.uncertainty._sampler import sample_batches
from keras_seqtools.uncertainty._task import resolve_task
from keras_seqtools.uncertainty.results import ends_of

# Draws from the mixture per item, for its CRPS. Their noise, some 3 % of the
# score of one item, averages out over many.
_DRAWS = 1000
_PER_ITEM = ("nll", "crps", "y_true", "mean", "at_most", "below")


def evaluate_uncertainty(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    num_samples: int = 100,
    batch_size: int | None = None,
    seed: int | None = None,
    task: Any = "auto",
    from_logits: bool = False,
    levels: Sequence[float] = (0.5, 0.9),
    verbose: Any = "auto",
    steps: int | None = None,
    callbacks: Any = None,
) -> dict[str, float]:
    """Scores of the predictive mixture of a model on data, by name.

    What is scored is what `predict_uncertainty` describes: the average over
    the passes of the distributions that the model predicts. Items that a mask
    of the output hides are left out. All scores are means over the others.

    Args:
        model: A built `keras.Model` with one output, and for regression a
            head.
        x: Inputs, as for `Model.evaluate`: arrays, or a `tf.data.Dataset`,
            `PyDataset` or generator of `(inputs, targets)`.
        y: Targets, of the shape the model predicts, where `x` are arrays.
            Defaults to `None`.
        num_samples: Positive integer. Number of passes. Defaults to `100`.
        batch_size: Positive integer. Rows of arrays at a time. Defaults to
            `None`: 256.
        seed: Integer of at least 0. Defaults to `None`: a new one each time.
        task: As in `predict_uncertainty`. Defaults to `"auto"`.
        from_logits: Boolean. Whether a classifier emits logits. Defaults to
            `False`.
        levels: Numbers in (0, 1): central intervals of a regression whose
            coverage to report. Defaults to `(0.5, 0.9)`.
        verbose: As in `Model.predict`. Defaults to `"auto"`.
        steps: As in `Model.predict`. Defaults to `None`.
        callbacks: As in `Model.predict`. Defaults to `None`.

    Returns:
        For regression `"nll"` (nats, summed over units, by the mean of the
        densities of the passes), `"crps"` (by 1,000 draws an item, unbiased)
        and `"rmse"` in units of the target, and for each level the share of
        targets inside, such as `"coverage_90"`; for counts that is at least
        the level even when all is well. For classification `"nll"` (nats),
        `"accuracy"`, `"brier"` (0 to 2; to 1 for sigmoids) and `"ece"`.

    Raises:
        ValueError: As `predict_uncertainty`; and if a target is outside the
            support of the head, or targets do not fit the output.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), kst.heads.NormalHead()])
    >>> x, y = np.zeros((50, 2)), np.zeros((50, 1))
    >>> scores = kst.evaluate_uncertainty(model, x, y, seed=1, verbose=0)
    >>> sorted(scores)
    ['coverage_50', 'coverage_90', 'crps', 'nll', 'rmse']
    """
    seed = check_seed(seed)
    model = check_model(model)
    family, from_logits = resolve_task(model, task, from_logits)
    if isinstance(family, PointMass):
        raise ValueError(
            f"`{model.name}` predicts points, not a distribution that could "
            "be scored. End it in a head, such as "
            "`keras_seqtools.heads.NormalHead()`."
        )
    levels = check_fractions("levels", levels)
    if y is not None:
        y = keras.tree.map_structure(np.asarray, y)
        # Where a mask may hide targets, they are checked once it is known.
        outputs = getattr(model, "outputs", None)
        is_unmasked = outputs and get_mask(outputs[0]) is None
        if isinstance(family, DistributionHead) and is_unmasked:
            family.validate(y)
    _, num_samples = passes(model, family, num_samples)
    accumulator: Any
    if isinstance(family, str):
        accumulator = _ClassTargets(
            num_samples, family == "multilabel", from_logits
        )
    else:
        accumulator = _HeadScores(family, num_samples)
    found = sample_batches(
        model,
        accumulator,
        num_samples,
        seed,
        x if y is None else _Pairs(x, y, batch_size or 256),
        with_targets=True,
        batch_size=batch_size,
        verbose=verbose,
        steps=steps,
        callbacks=callbacks,
    )
    if isinstance(family, str):
        return _classification_scores(found, accumulator.per_label)
    return _regression_scores(found, family, levels)


class _Pairs(keras.utils.PyDataset):
    """Arrays, in any structure, as batches of inputs and targets."""

    def __init__(self, x: Any, y: Any, batch_size: int) -> None:
        super().__init__()
        # To TensorFlow a list is one tensor.
        pair = keras.tree.lists_to_tuples((x, y))
        self.pair = keras.tree.map_structure(np.asarray, pair)
        self.batch_size = batch_size
        sizes = {len(array) for array in keras.tree.flatten(self.pair)}
        if len(sizes) != 1:
            raise ValueError(
                "Expected inputs and targets with equal numbers of rows. "
                f"Received: {sorted(sizes)}"
            )
        (self.size,) = sizes

    def __len__(self) -> int:
        return math.ceil(self.size / self.batch_size)

    def __getitem__(self, index: int) -> Any:
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return keras.tree.map_structure(lambda array: array[rows], self.pair)


class _ClassTargets(ClassificationAccumulator):
    """The probabilities of a classifier, and the targets beside them."""

    def start(self, point: Any, y: Any) -> dict[str, Any]:  # type: ignore[override]
        return {**super().start(point), "y_true": y}


class _HeadScores:
    """What the scores of a head's mixture need; see `_accumulators`."""

    def __init__(self, head: DistributionHead, num_samples: int) -> None:
        self.head = head
        self.num_samples = num_samples
        self.draws = math.ceil(_DRAWS / num_samples)

    def start(self, point: Any, y: Any) -> dict[str, Any]:
        y = self.head.align(y, point)
        return {
            "y_true": y,
            "mean": tf.zeros_like(y),
            "at_most": tf.zeros_like(y),
            "below": tf.zeros_like(y),
            "log_density": tf.fill(tf.shape(y)[:-1], -np.inf),
            "draws": tf.TensorArray(
                tf.float32,
                self.num_samples,
                element_shape=(self.draws, *y.shape),
            ),
        }

    def update(
        self, state: dict[str, Any], sample: Any, index: Any, seed: Any
    ) -> dict[str, Any]:
        y, head = state["y_true"], self.head
        at_most = head.cdf(y, sample)
        log_prob = head.log_likelihood(y, sample)
        averages = {
            "mean": head.mean(sample),
            "at_most": at_most,
            "below": head.cdf(y - 1.0, sample) if head.discrete else at_most,
        }
        for name, value in averages.items():
            averages[name] = running_mean(state[name], value, index)
        return {
            **state,
            **averages,
            "log_density": ops.logaddexp(state["log_density"], log_prob),
            "draws": state["draws"].write(
                index, head.sample(sample, self.draws, seed)
            ),
        }

    def finish(self, state: dict[str, Any]) -> dict[str, Any]:
        state = dict(state)
        log_density = state.pop("log_density")
        state["nll"] = math.log(self.num_samples) - log_density
        y, draws = state["y_true"], state.pop("draws").concat()
        state["crps"] = tf.ensure_shape(
            tf.numpy_function(crps_samples, (y, draws), tf.float64), y.shape
        )
        return state


def _regression_scores(
    found: dict[str, Any], head: DistributionHead, levels: Sequence[float]
) -> dict[str, float]:
    mask = found.get("mask")
    items = found["nll"].shape
    counts = np.ones(items, bool) if mask is None else mask.reshape(items)
    y = found["y_true"]
    head.validate(np.where(counts[..., None], y, head.possible_target))
    found = {name: found[name][counts] for name in _PER_ITEM}
    scores = {
        "nll": found["nll"].mean(),
        "crps": found["crps"].mean(),
        "rmse": np.sqrt(np.square(found["y_true"] - found["mean"]).mean()),
    }
    for level in levels:
        lower, upper = ends_of(level)
        # y is at or above a quantile q if P(Y <= y) >= q, and at or below it
        # if P(Y < y) < q; so no quantile needs to be searched.
        at_most, below = found["at_most"], found["below"]
        inside = np.where(
            np.isnan(at_most), np.nan, (at_most >= lower) & (below < upper)
        )
        scores[f"coverage_{100 * level:g}"] = inside.mean()
    return {name: float(score) for name, score in scores.items()}


def _classification_scores(
    found: dict[str, Any], per_label: bool
) -> dict[str, float]:
    p, y = found["mean"], found["y_true"]
    check_probabilities(p)
    mask = found.get("mask")
    if per_label:
        if y.shape == p.shape[:-2] and p.shape[-2] == 1:
            y = y[..., None]
    elif y.shape == (*p.shape[:-1], 1):
        y = y[..., 0]
    one_hot = not per_label and y.shape == p.shape
    if not one_hot and y.shape != p.shape[:-1]:
        raise ValueError(
            "Expected class indices, or rows of zeros and a one, for outputs "
            f"of shape {p.shape}. Received: y of shape {y.shape}"
        )
    if mask is not None:
        p, y = p[mask], y[mask]
    if one_hot:
        if not ((y == 0) | (y == 1)).all() or (y.sum(-1) != 1).any():
            raise ValueError("Expected rows of zeros and a one as targets.")
        y = y.argmax(-1)
    valid = (y >= 0) & (y < p.shape[-1]) & (y == np.floor(y))
    if not valid.all():
        raise ValueError(
            f"Expected classes from 0 to {p.shape[-1] - 1}. "
            f"Received: {y[~valid][0]}"
        )
    y = y.astype(int)
    hit = y[..., None] == np.arange(p.shape[-1])
    with np.errstate(divide="ignore"):
        nll = -np.log(p[hit])
    brier = np.square(p - hit).sum(-1)
    if per_label:
        brier = brier / 2.0
    return {
        "nll": float(nll.mean()),
        "accuracy": float((p.argmax(-1) == y).mean()),
        "brier": float(brier.mean()),
        "ece": expected_calibration_error(
            y.reshape(-1),
            p[..., 1].reshape(-1, 1) if per_label else p,
        ),
    }
