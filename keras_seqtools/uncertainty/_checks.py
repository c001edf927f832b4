"""What must hold of a model that is run many times."""

import secrets
from typing import Any

import keras
import numpy as np
from tensorflow.types.experimental import PolymorphicFunction

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.heads import DistributionHead
from keras_seqtools.uncertainty._stochastic_layers import stochastic_layers


def check_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(31)
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**62:
        raise invalid("seed", "an integer of at least 0", seed)
    return int(seed)


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
    if stochastic_layers(model):
        for layer in flatten_layers(model):
            _check_not_compiled(type(layer))
    return model


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


def passes(
    model: keras.Model, family: Any, num_samples: int
) -> tuple[dict[Any, dict[str, float]], int]:
    """The random layers of a model, and how many passes they are worth."""
    check_positive_int("num_samples", num_samples)
    random = stochastic_layers(model)
    if random:
        return random, num_samples
    if isinstance(family, DistributionHead):
        return random, 1
    layers = ", ".join(
        f"{layer.name} ({type(layer).__name__})" for layer in model.layers
    )
    raise ValueError(
        f"Nothing in `{model.name}` is random, so all passes would agree: "
        f"{layers}. Add dropout, such as `keras.layers.Dropout(0.1)`, with a "
        "rate above 0; or end it in a head, such as "
        "`keras_seqtools.heads.NormalHead()`, that predicts its own spread; "
        "or train several models and compare them (an ensemble)."
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
