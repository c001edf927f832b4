"""What the output of a model means: a head, a point, or class probabilities."""

from typing import Any

import keras

from keras_seqtools._keras_internals import flatten_layers
from keras_seqtools._keras_internals import operations_backwards
from keras_seqtools._validation import invalid
from keras_seqtools.heads import CategoricalHead
from keras_seqtools.heads import DistributionHead
from keras_seqtools.uncertainty._accumulators import PointMass

CLASSIFICATION = ("classification", "multilabel")
TASKS = ("auto", "regression", *CLASSIFICATION)

# Losses by class or function, without underscores.
_LOSSES = {
    "binarycrossentropy": "multilabel",
    "binaryfocalcrossentropy": "multilabel",
    "categoricalcrossentropy": "classification",
    "categoricalfocalcrossentropy": "classification",
    "huber": "regression",
    "logcosh": "regression",
    "meanabsoluteerror": "regression",
    "meanabsolutepercentageerror": "regression",
    "meansquarederror": "regression",
    "meansquaredlogarithmicerror": "regression",
    "sequencecrossentropy": "classification",
    "sparsecategoricalcrossentropy": "classification",
}
_ACTIVATIONS = {"softmax": "classification", "sigmoid": "multilabel"}
# What changes the place of numbers, and not the numbers.
_SHAPE_ONLY = {
    "CausalSlice",
    "ExpandDims",
    "Flatten",
    "GetItem",
    "Identity",
    "InputLayer",
    "Permute",
    "RepeatVector",
    "Reshape",
    "Squeeze",
    "Transpose",
}


def resolve_task(
    model: keras.Model, task: Any, from_logits: bool
) -> tuple[DistributionHead | PointMass | str, bool]:
    """What the output is, and whether it is logits.

    A head, a `PointMass`, `"classification"` or `"multilabel"`: in this order
    by what the caller says, a head, the compiled loss, the activation of the
    output.
    """
    family: DistributionHead | PointMass | str
    if task in CLASSIFICATION:
        return task, from_logits
    if isinstance(task, DistributionHead):
        family = task
    elif task not in TASKS:
        raise invalid("task", f"a head or one of {TASKS}", task)
    else:
        family = _find_head(model) or (
            _guess(model, from_logits) if task == "auto" else PointMass()
        )
    if isinstance(family, CategoricalHead):
        if task == "regression":
            raise ValueError(f"`{model.name}` ends in a `CategoricalHead`.")
        return "classification", True
    if from_logits and not isinstance(family, str):
        raise ValueError(
            f"`{model.name}` does not look like a classifier, and only one "
            "has logits. Pass `task='classification'` if it is."
        )
    return family, from_logits


def _guess(model: keras.Model, from_logits: bool) -> PointMass | str:
    found = _from_loss(model, from_logits) or _from_activation(model)
    if found is None:
        raise ValueError(
            f"Cannot tell what the output of `{model.name}` means: it has no "
            "head, no compiled loss that says so, and ends in neither softmax "
            "nor sigmoid. Pass `task='regression'`, or "
            "`task='classification', from_logits=True` if it emits logits."
        )
    return PointMass() if found == "regression" else found


def _find_head(model: keras.Model) -> DistributionHead | None:
    held_by_loss = getattr(getattr(model, "loss", None), "head", None)
    if isinstance(held_by_loss, DistributionHead):
        return held_by_loss
    last = _last_operation(model) or model
    if not isinstance(last, keras.Model):
        return last if isinstance(last, DistributionHead) else None
    # A subclassed model, of which one only knows what it holds.
    heads = [
        layer
        for layer in flatten_layers(last)
        if isinstance(layer, DistributionHead)
    ]
    if len(heads) > 1:
        raise ValueError(
            f"`{model.name}` has several heads: "
            f"{[head.name for head in heads]}. Pass the one that emits its "
            "output as `task`."
        )
    return heads[0] if heads else None


def _from_loss(model: keras.Model, from_logits: bool) -> str | None:
    loss = getattr(model, "loss", None)
    if not loss or isinstance(loss, list | tuple | dict):
        return None
    loss = keras.losses.get(loss)
    name = getattr(loss, "__name__", type(loss).__name__)
    found = _LOSSES.get(name.replace("_", "").lower())
    if getattr(loss, "from_logits", False) and not from_logits:
        raise ValueError(
            f"`{model.name}` was compiled with a loss from logits: it does "
            "not emit probabilities. Pass `from_logits=True`."
        )
    return found


def _from_activation(model: keras.Model) -> str | None:
    last = _last_operation(model)
    if last is None:
        return None
    activation = getattr(last, "activation", last)
    name = getattr(activation, "__name__", type(activation).__name__).lower()
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name]
    is_number = name == "linear" and model.outputs[0].shape[-1] == 1
    return "regression" if is_number else None


def _last_operation(model: keras.Model) -> Any:
    """What makes the numbers of the output; None for a model without graph."""
    for operation in operations_backwards(model):
        if type(operation).__name__ not in _SHAPE_ONLY:
            if isinstance(operation, keras.layers.TimeDistributed):
                return operation.layer
            return operation
    return None
