"""Ask any Keras model how sure it is."""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_seqtools.uncertainty._checks import check_calibrator
from keras_seqtools.uncertainty._checks import check_model
from keras_seqtools.uncertainty._checks import check_models
from keras_seqtools.uncertainty._checks import check_named
from keras_seqtools.uncertainty._checks import check_seed
from keras_seqtools.uncertainty._checks import count_passes
from keras_seqtools.uncertainty._engine import deterministic_batches
from keras_seqtools.uncertainty._engine import sample_batches
from keras_seqtools.uncertainty._outputs import check_asked
from keras_seqtools.uncertainty._outputs import make_accumulator
from keras_seqtools.uncertainty._outputs import make_result
from keras_seqtools.uncertainty._outputs import pack_results
from keras_seqtools.uncertainty._outputs import read_outputs
from keras_seqtools.uncertainty._stochastic_layers import describe
from keras_seqtools.uncertainty._stochastic_layers import random_layers
from keras_seqtools.uncertainty.results import concatenate


def predict_uncertainty(
    model: Any,
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
    calibrator: Any = None,
    return_samples: bool = False,
    consistent_masks: bool = False,
    noise_std: Any = None,
    stochastic_layers: Sequence[Any] = (),
    jit_compile: bool = False,
    verbose: Any = "auto",
    steps: int | None = None,
    callbacks: Any = None,
) -> Any:
    """Predictions of a model, and how sure it is of each.

    Runs the model `num_samples` times with its random layers switched on
    (dropout of every kind, recurrent and attention dropout, noise) and all
    else as in `predict`: batch normalisation keeps its statistics. Passes are
    not stored but summarised as they come, and what no noise reaches is
    computed once. Nothing of the model is changed.

    What a model emits decides what it returns. With a head, every pass is a
    distribution, and the result describes the mixture of them; so one whose
    layers are not random has one pass and an epistemic variance of 0. Without
    a head, a model with nothing random is refused.

    A list of models is an ensemble, whether or not its members are random.
    Members weigh the same, and each makes `num_samples` passes; one, if no
    member is random.

    Noise belongs to rows: what row r sees in pass t depends on the seed, the
    place in the model, r and t. The same seed so gives the same answer for
    any `batch_size`, for arrays and datasets, and after save and load, up to
    the last digits that the kernels of TensorFlow leave to the batch. It does
    not for layers of your own that draw noise in other ways than Keras'
    layers do (the same answer for the same batches, if they draw with a
    `keras.random.SeedGenerator`), nor between `jit_compile=True` and `False`.

    Rows are taken to be independent, and to lie on the first axis: several
    passes are run side by side as one larger batch. A model whose rows look
    at each other needs a fixed batch size, which forbids that. Stateful layers
    do too; every pass starts from the states that they have.

    Random layers are on even where a model calls them with `training=False`,
    except those that augment images: these say nothing about the weights.
    What is compiled is kept for the next call. It is made anew when layers or
    variables come or go, when the rate of a layer changes, and after
    `Model.compile`, which other changes of a layer need, as for `predict`.

    Args:
        model: A built `keras.Model`, Sequential, functional or subclassed,
            or a list of such models with outputs of the same kind.
        x: Inputs, as for `Model.predict`: arrays, a `tf.data.Dataset` of
            batches, a `PyDataset` or a generator.
        num_samples: Positive integer. Number of passes. Defaults to `100`.
        batch_size: Positive integer. Rows of arrays at a time. Defaults to
            `None`: as many as are fast, 256 at most.
        seed: Integer of at least 0. Defaults to `None`: a new one each time,
            which the result tells.
        task: What the output means: a head, `"regression"`,
            `"classification"` (softmax, or one sigmoid) or `"multilabel"`
            (sigmoids). For several outputs a structure of these, or one for
            all. Defaults to `"auto"`: the head of the model, else its
            compiled loss, else the activation of its output.
        from_logits: Boolean. Whether a classifier emits logits. Defaults to
            `False`.
        quantiles: Numbers in (0, 1): quantiles of the mixture to compute.
            Defaults to `None`.
        levels: Numbers in (0, 1): central intervals of the mixture to
            compute. Defaults to `None`.
        thresholds: Numbers: compute the probabilities that the target falls
            below, and above, each. Defaults to `None`.
        calibrator: An object whose `transform` maps probabilities to
            probabilities of the same shape. It is given the mean over all
            passes; what the passes dispute stays as it was. Only for
            classifiers. Defaults to `None`.
        return_samples: Boolean. Whether to keep the output of every pass.
            Defaults to `False`.
        consistent_masks: Boolean. Whether all rows see the same noise in a
            pass, which then is one function drawn at random, evaluated
            everywhere. Defaults to `False`.
        noise_std: Positive number, or one for each unit: the standard
            deviation of the noise around the points of a regression without
            a head, `tau ** -0.5` of Gal & Ghahramani. Defaults to `None`: no
            noise.
        stochastic_layers: Layers, their names or classes, to count as random
            beside those that are found. Defaults to `()`.
        jit_compile: Boolean. Whether to compile by XLA, which takes longer
            and can be faster, for convolutions say. Defaults to `False`.
        verbose: As in `Model.predict`. Defaults to `"auto"`.
        steps: As in `Model.predict`. Defaults to `None`.
        callbacks: As in `Model.predict`. Defaults to `None`.

    Returns:
        A `keras_seqtools.uncertainty.ClassificationUncertainty` or a
        `keras_seqtools.uncertainty.RegressionUncertainty`, of NumPy arrays;
        for several outputs a dictionary or list of them, as the model has it.

    Raises:
        ValueError: Before any work, if an argument is out of range, a model
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
    - [Lakshminarayanan et al., 2017](https://arxiv.org/abs/1612.01474)
    """
    batches = iter_uncertainty(
        model,
        x,
        num_samples=num_samples,
        batch_size=batch_size,
        seed=seed,
        task=task,
        from_logits=from_logits,
        quantiles=quantiles,
        levels=levels,
        thresholds=thresholds,
        calibrator=calibrator,
        return_samples=return_samples,
        consistent_masks=consistent_masks,
        noise_std=noise_std,
        stochastic_layers=stochastic_layers,
        jit_compile=jit_compile,
        verbose=verbose,
        steps=steps,
        callbacks=callbacks,
    )
    structures = list(batches)
    if not structures:
        raise ValueError("There is no batch to predict: `x` has no rows.")
    return keras.tree.map_structure(
        lambda *results: concatenate(results), *structures
    )


def iter_uncertainty(
    model: Any,
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
    calibrator: Any = None,
    return_samples: bool = False,
    consistent_masks: bool = False,
    noise_std: Any = None,
    stochastic_layers: Sequence[Any] = (),
    jit_compile: bool = False,
    verbose: Any = "auto",
    steps: int | None = None,
    callbacks: Any = None,
) -> Iterator[Any]:
    """The results of `predict_uncertainty`, batch by batch as they come.

    For data that do not fit into memory, and for long work: what has been
    yielded is not lost when the rest is interrupted. One after another, the
    results are those of `predict_uncertainty` with the same arguments.

    Args:
        model: A built `keras.Model`, or a list of them, as there.
        x: Inputs, as for `Model.predict`.
        num_samples: Positive integer. Number of passes. Defaults to `100`.
        batch_size: Positive integer. Rows of arrays at a time. Defaults to
            `None`: as many as are fast.
        seed: Integer of at least 0. Defaults to `None`: a new one.
        task: What the output means, as there. Defaults to `"auto"`.
        from_logits: Boolean. Whether a classifier emits logits. Defaults to
            `False`.
        quantiles: Numbers in (0, 1). Defaults to `None`.
        levels: Numbers in (0, 1), of central intervals. Defaults to `None`.
        thresholds: Numbers. Defaults to `None`.
        calibrator: An object with a method `transform`. Defaults to `None`.
        return_samples: Boolean. Whether to keep the output of every pass.
            Defaults to `False`.
        consistent_masks: Boolean. Whether all rows see the same noise.
            Defaults to `False`.
        noise_std: Positive number, or one for each unit. Defaults to `None`.
        stochastic_layers: Layers to count as random too. Defaults to `()`.
        jit_compile: Boolean. Whether to compile by XLA. Defaults to `False`.
        verbose: As in `Model.predict`. Defaults to `"auto"`.
        steps: As in `Model.predict`. Defaults to `None`.
        callbacks: As in `Model.predict`. Defaults to `None`.

    Returns:
        An iterator. For each batch it yields what `predict_uncertainty` would
        return for the rows of it.

    Raises:
        ValueError: At the call, before any work; as `predict_uncertainty`.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dropout(0.2),
    ...         kst.heads.NormalHead(),
    ...     ]
    ... )
    >>> x = np.ones((100, 4), "float32")
    >>> batches = kst.iter_uncertainty(model, x, batch_size=64, verbose=0)
    >>> [len(u) for u in batches]
    [64, 36]
    """
    seed = check_seed(seed)
    models = check_models(model)
    names = check_named(models, stochastic_layers)
    outputs = read_outputs(models, task, from_logits, noise_std)
    asked = check_asked(outputs, quantiles, levels, thresholds, return_samples)
    check_calibrator(calibrator, outputs)
    randoms = [random_layers(member, names) for member in models]
    families = [output.family for output in outputs]
    num_samples = count_passes(models, randoms, families, num_samples)
    batches = sample_batches(
        models,
        randoms,
        [make_accumulator(output, asked, models) for output in outputs],
        (asked, *(output.key for output in outputs)),
        (x,),
        num_samples=num_samples,
        seed=seed,
        batch_size=batch_size,
        consistent_masks=consistent_masks,
        jit_compile=jit_compile,
        steps=steps,
        verbose=verbose,
        callbacks=callbacks,
    )
    common = {
        "num_samples": len(models) * num_samples,
        "seed": seed,
        "stochastic_layers": describe(randoms),
    }

    def results() -> Iterator[Any]:
        for found, _, _ in batches:
            of_outputs = [
                make_result(output, asked, fields, common, calibrator)
                for output, fields in zip(outputs, found, strict=True)
            ]
            yield pack_results(models, task, of_outputs)

    return results()


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
    batches = deterministic_batches(
        model,
        random_layers(model),
        x,
        batch_size,
        verbose=verbose,
        steps=steps,
        callbacks=callbacks,
    )
    outputs = [found for found, _, _ in batches]
    return keras.tree.map_structure(
        lambda *parts: np.concatenate(parts), *outputs
    )
