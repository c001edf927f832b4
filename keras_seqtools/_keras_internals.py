"""Private Keras names, all of them, each with a test of what it relies on."""

from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any


def get_mask(tensor: Any) -> Any:
    """The mask that Keras keeps with a layer's output, or None."""
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor: Any, mask: Any) -> Any:
    """The tensor itself, as masked as if a layer had emitted it."""
    if mask is not None:
        tensor._keras_mask = mask
    return tensor


def flatten_layers(model: Any) -> list[Any]:
    """The model and every layer in it, at any depth, each once."""
    return list(dict.fromkeys(model._flatten_layers()))


def seed_generators(layer: Any) -> list[Any]:
    """The seed generators that the layer itself owns."""
    return list(layer._seed_generators)


def takes_training(layer: Any) -> bool:
    """Whether the `call` of the layer has an argument `training`."""
    return bool(layer._call_has_training_arg)


def call_context(layer: Any) -> Any:
    """What nested layer calls share, `training` among it, while one runs."""
    return layer._get_call_context()


def reset_dropout_masks(layers: Iterable[Any]) -> None:
    """Recurrent cells forget masks that an interrupted call left behind."""
    for layer in layers:
        if hasattr(layer, "reset_recurrent_dropout_mask"):
            layer.reset_dropout_mask()
            layer.reset_recurrent_dropout_mask()


def is_preprocessing(layer: Any) -> bool:
    """Whether it is one of Keras' own preprocessing or augmentation layers."""
    return type(layer).__module__.startswith("keras.src.layers.preprocessing")


def operations_backwards(model: Any) -> Iterator[Any]:
    """Operations from the first output of a model back along first inputs.

    Goes into nested models. Nothing for a model that has no graph.
    """
    tensors = getattr(model, "outputs", None)
    while tensors:
        operation, node_index, _ = tensors[0]._keras_history
        if getattr(operation, "outputs", None):
            yield from operations_backwards(operation)
        else:
            yield operation
        tensors = operation._inbound_nodes[node_index].input_tensors
