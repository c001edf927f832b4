"""What must hold of a model that is run many times."""

import secrets
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from tensorflow.types.experimental import PolymorphicFunction

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.heads import DistributionHead
from keras_seqtools.uncertainty._stochastic_layers import is_named
from keras_seqtools.uncertainty._stochastic_layers import random_layers


def check_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(31)
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**62:
        raise invalid("seed", "an integer of at least 0", seed)
    return int(seed)


def check_models(model: Any) -> list[keras.Model]:
    """The members of an ensemble, or the one model, if all are built.

    Out of `with_uncertainty` too.
    """
    members = model if isinstance(model, list | tuple) else [model]
    if not members:
        raise ValueError("Expected a model, or some of them. Received: none")
    members = [check_model(member) for member in members]
    for member in members:
        if len(members) > 1 or random_layers(member):
            _check_not_calibrated(member)
    return members


def check_model(model: Any) -> keras.Model:
    """The model itself, out of `with_uncertainty` too, if it is built."""
    model = getattr(model, "__wrapped__", model)
    if not isinstance(model, keras.Model):
        raise TypeError(f"Expected a `keras.Model`. Received: {model!r}")
    if not model.built:
        raise ValueError(
            f"`{model.name}` has no weights yet. Call it on data, or give it "
            "a `keras.Input`, before asking for its uncertainty."
        )
    if random_layers(model):
        for layer in flatten_layers(model):
            _check_not_compiled(type(layer))
    return model


def check_named(models: Sequence[keras.Model], names: Any) -> tuple[Any, ...]:
    """Layers that the user names as random, each of them known to a model."""
    names = tuple(names if isinstance(names, list | tuple) else [names])
    layers = [layer for model in models for layer in flatten_layers(model)]
    for name in names:
        if not any(is_named(layer, name) for layer in layers):
            raise invalid(
                "stochastic_layers",
                f"layers of `{models[0].name}`, their names or their classes",
                name,
            )
    return names


def check_calibrator(calibrator: Any, outputs: Sequence[Any]) -> None:
    """It must fit classifiers, and there must be some."""
    if calibrator is None:
        return
    if not all(output.is_classifier for output in outputs):
        raise ValueError(
            "`calibrator` maps the probabilities of classifiers, and this "
            "model has other outputs."
        )
    if not callable(getattr(calibrator, "transform", None)):
        raise TypeError(
            "Expected a `calibrator` with a method `transform`, from "
            f"probabilities to probabilities. Received: {calibrator!r}"
        )
    if getattr(calibrator, "from_logits", False):
        raise ValueError(
            "What is calibrated is the mean of the passes, probabilities. "
            "Expected a `calibrator` that was fitted to those, such as "
            "`fit(y, predict_uncertainty(...))`. Received: one that was "
            "fitted to logits"
        )


def check_noise_std(noise_std: Any) -> Any:
    """Standard deviations of noise, as a tuple that can tell two apart."""
    if noise_std is None:
        return None
    values = np.asarray(noise_std, "float64")
    if values.ndim > 1 or not (np.isfinite(values) & (values > 0.0)).all():
        raise invalid(
            "noise_std", "positive numbers, one or a unit's", noise_std
        )
    return tuple(np.ravel(values).tolist())


def _check_not_calibrated(model: keras.Model) -> None:
    """A map fitted to a pass, or a member, is not that of the mean."""
    for layer in flatten_layers(model):
        name = keras.saving.get_registered_name(type(layer))
        if name == "keras_seqtools>CalibrationLayer":
            raise ValueError(
                f"`{model.name}` calibrates by itself, in `{layer.name}`, and "
                "a mean of what is calibrated is not calibrated. Ask the "
                "model without that layer, fit a map to what it says, and "
                "pass that as `calibrator`."
            )


def _check_not_compiled(cls: type) -> None:
    """What a `tf.function` traces while noise is switched, it would keep."""
    for base in cls.__mro__:
        for name, attribute in vars(base).items():
            if isinstance(attribute, PolymorphicFunction):
                raise ValueError(
                    f"`{base.__name__}.{name}` is a `tf.function`, into which "
                    "random layers cannot be followed. Remove the decorator: "
                    "Keras compiles the model as it is."
                )


def count_passes(
    models: Sequence[keras.Model],
    randoms: Sequence[Any],
    families: Sequence[Any],
    num_samples: int,
) -> int:
    """How many passes of each member are worth while."""
    num_samples = check_positive_int("num_samples", num_samples)
    if any(randoms):
        return num_samples
    has_head = any(isinstance(family, DistributionHead) for family in families)
    if has_head or len(models) > 1:
        return 1
    (model,) = models
    layers = ", ".join(
        f"{layer.name} ({type(layer).__name__})" for layer in model.layers
    )
    raise ValueError(
        f"Nothing in `{model.name}` is random, so all passes would agree: "
        f"{layers}. Add dropout, such as `keras.layers.Dropout(0.1)`, with a "
        "rate above 0; name layers of your own that draw noise when "
        "`training` in `stochastic_layers`; end the model in a head, such as "
        "`keras_seqtools.heads.NormalHead()`, that predicts its own spread; "
        "or pass several models instead of one (an ensemble)."
    )


def check_probabilities(p: np.ndarray) -> None:
    """Of classes, on the last axis; within what float16 rounds away."""
    p = p[~np.isnan(p).any(-1)]  # they come out as NaN, for all to see
    if not p.size:
        return
    if p.min() < -1e-3 or p.max() > 1.001 or np.abs(p.sum(-1) - 1).max() > 0.01:
        raise ValueError(
            "Expected a classifier that emits probabilities. Received: "
            f"not probabilities, but numbers from {p.min():g} to {p.max():g}. "
            "If they are logits, pass `from_logits=True`."
        )
