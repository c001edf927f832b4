"""Which layers of a model are random, and how to switch just those on.

A model must not be called with `training=True` for this: its batch
normalisation would use, and change, the statistics of the batch. Instead the
`call` of each random layer is replaced, while a function is traced, by one
that passes `training` itself.
"""

import contextlib
import threading
import weakref
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Hashable
from collections.abc import Iterator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import keras

from keras_seqtools._keras_internals import call_context
from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import is_dropout_cell
from keras_seqtools._keras_internals import is_preprocessing
from keras_seqtools._keras_internals import reset_dropout_masks
from keras_seqtools._keras_internals import seed_generators
from keras_seqtools._keras_internals import takes_training
from keras_seqtools.layers._always_on import switched_off

# The attributes in which Keras' random layers keep how much noise they make.
_RATES = ("rate", "stddev", "dropout", "recurrent_dropout")
# Those of which every number they draw belongs to one row; so do the masks of
# recurrent cells.
_BY_ROW = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)

# One thread at a time replaces calls.
_lock = threading.RLock()


def random_layers(
    model: keras.Model, extra: Sequence[Any] = ()
) -> dict[Any, dict[str, float]]:
    """The random layers and recurrent cells of a model, with their rates.

    A layer is random if it owns a seed generator and has a rate above 0, or
    no rate that we know of; or if it is among the `extra` ones, named by
    themselves, their names or their classes. Random augmentation of inputs is
    not counted: it says nothing about the weights.
    """
    found = {}
    for layer in flatten_layers(model):
        is_extra = any(is_named(layer, each) for each in extra)
        if is_preprocessing(layer) and not is_extra:
            continue
        if isinstance(layer, keras.Model):
            if seed_generators(layer) or is_extra:
                raise ValueError(
                    f"`{layer.name}` draws noise itself, and a whole model "
                    "cannot be switched to training. Move the noise into a "
                    "layer."
                )
            continue
        rates = {
            name: float(value)
            for name in _RATES
            if isinstance(value := getattr(layer, name, None), Real)
        }
        owns_noise = seed_generators(layer) and (
            any(rates.values()) or not rates
        )
        if owns_noise or is_extra:
            found[layer] = {name: rate for name, rate in rates.items() if rate}
    return found


def describe(randoms: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Rates by the paths of layers, with the member of an ensemble before."""
    return {
        (f"{member}/" if len(randoms) > 1 else "")
        + (layer.path or layer.name): rates
        for member, random in enumerate(randoms)
        for layer, rates in random.items()
    }


def rates_key(randoms: Sequence[Any]) -> Hashable:
    """What tells random layers and their rates, constants once compiled."""
    return tuple(
        (weakref.ref(layer), *rates.items())
        for random in randoms
        for layer, rates in random.items()
    )


def is_named(layer: Any, by: Any) -> bool:
    """Whether it is this layer, or has this name or class."""
    if isinstance(by, type):
        return isinstance(layer, by)
    return by is layer or (isinstance(by, str) and layer.name == by)


def draws_by_row(layer: Any) -> bool:
    """Whether each number that the layer draws is meant for one row."""
    return isinstance(layer, _BY_ROW) or is_dropout_cell(layer)


def has_own_call(layer: Any) -> bool:
    """Whether someone else than Keras or this package wrote its `call`."""
    module = type(layer).call.__module__.split(".")[0]
    return module not in ("keras", "keras_seqtools") or "call" in vars(layer)


@contextlib.contextmanager
def sampling(
    model: keras.Model, random: Collection[Any], is_on: bool
) -> Iterator[None]:
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
        for layer in layers:
            # On a GPU a fused kernel reads `training` of the recurrent layer,
            # and never calls the cell.
            if layer in random or (
                isinstance(layer, keras.layers.RNN)
                and not set(random).isdisjoint(flatten_layers(layer))
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
