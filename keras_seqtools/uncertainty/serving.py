"""A model and its uncertainty as a SavedModel, which needs no Keras."""

import os
import re
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import input_specs
from keras_seqtools.uncertainty._checks import check_models
from keras_seqtools.uncertainty._checks import check_named
from keras_seqtools.uncertainty._checks import count_passes
from keras_seqtools.uncertainty._engine import length_may_vary
from keras_seqtools.uncertainty._outputs import Asked
from keras_seqtools.uncertainty._outputs import check_asked
from keras_seqtools.uncertainty._outputs import make_accumulator
from keras_seqtools.uncertainty._outputs import output_structure
from keras_seqtools.uncertainty._outputs import read_outputs
from keras_seqtools.uncertainty._plan import make_plan
from keras_seqtools.uncertainty._sampler import Sampler
from keras_seqtools.uncertainty._sampler import deterministic_pass
from keras_seqtools.uncertainty._served_fields import served_fields
from keras_seqtools.uncertainty._stochastic_layers import random_layers


def export_uncertainty(
    model: Any,
    path: str | os.PathLike[str],
    *,
    task: Any = "auto",
    from_logits: bool = False,
    quantiles: Sequence[float] | None = None,
    levels: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
    noise_std: Any = None,
    stochastic_layers: Sequence[Any] = (),
) -> None:
    """Writes a SavedModel that answers as `predict_uncertainty` does.

    TensorFlow alone can load and serve it: neither Keras nor this package is
    needed. Nothing of the model is changed. The endpoints are:

    - `predict_uncertainty(x, num_samples=100, seed=0, first_row=0)`: a flat
      dictionary of tensors, under the names of the fields of
      `RegressionUncertainty` or `ClassificationUncertainty`. What was asked
      for is `"quantile_0.05"`, `"prob_below_10"` or `"prob_above_10"`; the
      ends of an interval are two quantiles. Several outputs are told apart
      by what comes first: `"load_mean"` for the key `"load"` of a dictionary,
      `"output_0_mean"` without keys.
    - `serve(x)`: what `predict_deterministic` gives. Not for an ensemble.

    The noise of a row depends on its number. A service that splits data into
    batches says in `first_row` which row of the data comes first; with 0 for
    every batch, the rows of one have the noise of those of another.

    A signature names the input `x`; if there are several, `x_load` for the
    key `"load"`, `x_0` without keys. Their sizes are those of `keras.Input`:
    the length of an axis may vary if it is `None` there. For a subclassed
    model they are those of its first call, of floating point.

    Args:
        model: A built `keras.Model`, or a list of them (an ensemble).
        path: Folder to write.
        task: As in `predict_uncertainty`. Defaults to `"auto"`.
        from_logits: As in `predict_uncertainty`. Defaults to `False`.
        quantiles: As in `predict_uncertainty`, and fixed from here on, as
            are the next two. Defaults to `None`.
        levels: As in `predict_uncertainty`. Defaults to `None`.
        thresholds: As in `predict_uncertainty`. Defaults to `None`.
        noise_std: As in `predict_uncertainty`. Defaults to `None`.
        stochastic_layers: As in `predict_uncertainty`. Defaults to `()`.

    Raises:
        ValueError: As `predict_uncertainty`; or if a subclassed model has not
            been called, so that the sizes of its inputs are not known.

    Example:

    >>> import tempfile
    >>> import tensorflow as tf
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dropout(0.2),
    ...         kst.heads.NormalHead(),
    ...     ]
    ... )
    >>> path = tempfile.mkdtemp()
    >>> kst.uncertainty.export_uncertainty(model, path, levels=(0.9,))
    >>> served = tf.saved_model.load(path)
    >>> x = np.ones((3, 4), "float32")
    >>> u = served.predict_uncertainty(x, num_samples=50, seed=1)
    >>> u["std"].shape, u["quantile_0.95"].shape
    (TensorShape([3, 1]), TensorShape([3, 1]))
    """
    models = check_models(model)
    named = check_named(models, stochastic_layers)
    outputs = read_outputs(models, task, from_logits, noise_std)
    asked = check_asked(outputs, quantiles, levels, thresholds, keep=False)
    randoms = [random_layers(member, named) for member in models]
    families = [output.family for output in outputs]
    is_random = count_passes(models, randoms, families, num_samples=2) > 1
    # One pass at a time: how many there will be, only the caller knows.
    plan = make_plan(models, randoms, num_samples=1, batch_size=None)
    accumulators = [
        make_accumulator(output, asked, models) for output in outputs
    ]
    sampler = Sampler(models, randoms, plan, accumulators)
    prefixes = _prefixes(models[0], task, len(outputs))
    x = _name_inputs(input_specs(models[0]))
    _check_lengths(models, x)
    archive = keras.export.ExportArchive()
    for table in _lookup_tables(models):
        archive.track(table)
    if len(models) == 1:
        archive.add_endpoint(
            "serve",
            lambda x: deterministic_pass(models[0], randoms[0], x),
            [x],
        )
    archive.add_endpoint(
        "predict_uncertainty",
        _endpoint(sampler, is_random, asked, prefixes),
        [
            x,
            tf.TensorSpec([], tf.int32, "num_samples"),
            tf.TensorSpec([], tf.int64, "seed"),
            tf.TensorSpec([], tf.int64, "first_row"),
        ],
    )
    archive.write_out(path, verbose=False)


def _endpoint(
    sampler: Sampler, is_random: bool, asked: Asked, prefixes: Sequence[str]
) -> Callable[..., dict[str, Any]]:
    def predict_uncertainty(
        x: Any,
        # As tensors, TensorFlow writes defaults into the signature too.
        num_samples: Any = tf.constant(100, tf.int32),  # noqa: B008
        seed: Any = tf.constant(0, tf.int64),  # noqa: B008
        first_row: Any = tf.constant(0, tf.int64),  # noqa: B008
    ) -> dict[str, Any]:
        tf.debugging.assert_positive(num_samples, "`num_samples` must be > 0")
        passes = num_samples if is_random else 1
        fields = {}
        for prefix, found in zip(
            prefixes, sampler(x, first_row, seed, passes), strict=True
        ):
            total = len(sampler.models) * passes
            for name, tensor in served_fields(found, asked, total).items():
                fields[prefix + name] = tensor
        return fields

    return predict_uncertainty


def _name_inputs(specs: Any) -> Any:
    """Specs with the names that they have in a signature."""
    paths, leaves = zip(*keras.tree.flatten_with_path(specs), strict=True)
    if len(leaves) == 1:
        paths = ((),)
    # Other characters are not allowed in a signature.
    names = [
        re.sub(r"[^a-zA-Z0-9]", "_", "_".join(map(str, ("x", *path))))
        for path in paths
    ]
    named = [
        tf.TensorSpec(leaf.shape, leaf.dtype, name)
        for leaf, name in zip(leaves, names, strict=True)
    ]
    return keras.tree.pack_sequence_as(specs, named)


def _prefixes(model: keras.Model, task: Any, number: int) -> list[str]:
    """What tells the fields of one output from those of another."""
    if number == 1:
        return [""]
    structure = output_structure(model, task)
    paths = [path for path, _ in keras.tree.flatten_with_path(structure)]
    words = [
        path if isinstance(path[0], str) else ("output", *path)
        for path in paths
    ]
    return ["_".join(map(str, path)) + "_" for path in words]


def _check_lengths(models: Sequence[keras.Model], specs: Any) -> None:
    """Refuses what Keras would run wrongly; see `length_may_vary`."""
    shapes = [spec.shape[1:] for spec in keras.tree.flatten(specs)]
    for model in models:
        if not length_may_vary(model) and any(
            None in shape for shape in shapes
        ):
            raise ValueError(
                f"`{model.name}` has a `TimeDistributed`, which Keras runs "
                "wrongly if the length of a sequence is not known. Give "
                "`keras.Input` the length, or use the layer inside without "
                "the wrapper: `Dense` and heads take sequences as they are."
            )


def _lookup_tables(models: Sequence[keras.Model]) -> list[Any]:
    """The tables of layers that turn text into integers, say.

    Tracking the models instead, as Keras suggests, would leave attributes on
    their layers.
    """
    kind = tf.saved_model.experimental.TrackableResource
    return [
        value
        for model in models
        for layer in flatten_layers(model)
        for value in vars(layer).values()
        if isinstance(value, kind)
    ]
