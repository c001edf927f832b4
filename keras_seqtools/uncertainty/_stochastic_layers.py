"""Which layers of a model are random, and how to switch just those on.

A model must not be called with `training=True` for this: its batch
normalisation would use, and change, the statistics of the batch. Instead the
`call` of each random layer is replaced, while a function is traced, by one
that passes `training` itself.
"""

import contextlib
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras

from keras_seqtools._keras_internals import call_context
from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import is_preprocessing
from keras_seqtools._keras_internals import reset_dropout_masks
from keras_seqtools._keras_internals import seed_generators
from keras_seqtools._keras_internals import takes_training
from keras_seqtools.layers._always_on import switched_off

# The attributes in which Keras' random layers keep how much noise they make.
_RATES = ("rate", "stddev", "dropout", "recurrent_dropout")

# One thread at a time replaces calls.
_lock = threading.RLock()


def stochastic_layers(model: keras.Model) -> dict[Any, dict[str, float]]:
    """The random layers and recurrent cells of a model, with their rates.

    A layer is random if it owns a seed generator and has a rate above 0, or
    no rate that we know of. Random augmentation of inputs is not counted: it
    says nothing about the weights.
    """
    found = {}
    for layer in flatten_layers(model):
        if is_preprocessing(layer):
            continue
        if isinstance(layer, keras.Model):
            if seed_generators(layer):
                raise ValueError(
                    f"`{layer.name}` draws noise itself, with a seed generator "
                    "of its own, and a whole model cannot be switched to "
                    "training. Move the noise into a layer."
                )
            continue
        rates = {
            name: float(value)
            for name in _RATES
            if isinstance(value := getattr(layer, name, None), int | float)
        }
        if seed_generators(layer) and (any(rates.values()) or not rates):
            found[layer] = {name: rate for name, rate in rates.items() if rate}
    return found


@contextlib.contextmanager
def sampling(model: keras.Model, is_on: bool) -> Iterator[None]:
    """Inside, random layers are on or off, and batch statistics untouched.

    For the thread that enters it, and for functions traced inside.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_lock)
        if not is_on:
            stack.enter_context(switched_off())
        layers = flatten_layers(model)
        # However an interrupted trace ends, its masks are forgotten.
        stack.callback(reset_dropout_masks, layers)
        random = stochastic_layers(model)
        for layer in layers:
            # On a GPU a fused kernel reads `training` of the recurrent layer,
            # and never calls the cell.
            if layer in random or (
                isinstance(layer, keras.layers.RNN)
                and not random.keys().isdisjoint(flatten_layers(layer))
            ):
                stack.enter_context(_training_set_to(layer, is_on))
            elif isinstance(layer, keras.layers.BatchNormalization):
                stack.enter_context(_training_set_to(layer, False))
        yield


@contextlib.contextmanager
def _training_set_to(layer: Any, training: bool) -> Iterator[None]:
    if not takes_training(layer):
        yield
        return
    original: Callable[..., Any] = layer.call
    replaced_by_user = layer.__dict__.get("call")
    owner = threading.get_ident()

    def call(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return original(*args, **kwargs)
        context = call_context(layer)
        outside = context.get_value("training")
        try:
            return original(*args, **{**kwargs, "training": training})
        finally:
            # Keras would leave what was passed on to layers inside in force
            # for those that come after.
            context.set_value("training", outside)

    # Not by `setattr`, which for Keras would make it part of the layer.
    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        if replaced_by_user is None:
            object.__delattr__(layer, "call")
        else:
            object.__setattr__(layer, "call", replaced_by_user)
