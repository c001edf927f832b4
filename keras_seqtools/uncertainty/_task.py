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
# What changes the place of numbers, or calibrates them, not what they mean.
_SHAPE_ONLY = {
    "CalibrationLayer",
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


def resolve_tasks(
    model: keras.Model, task: Any, from_logits: bool
) -> list[tuple[DistributionHead | PointMass | str, bool]]:
    """What each output is, and whether it is logits.

    A head, a `PointMass`, `"classification"` or `"multilabel"`: in this order
    by what the caller says, a head, the compiled loss, the activation of the
    output.
    """
    number = len(getattr(model, "outputs", None) or ())
    tasks = keras.tree.flatten(task)
    if not keras.tree.is_nested(task):
        tasks = [task] * (number or 1)
    elif number not in (0, len(tasks)):
        raise invalid("task", f"one for each of {number} outputs", task)
    outputs = [_Output(model, place, len(tasks)) for place in range(len(tasks))]
    return [
        _resolve(output, task, from_logits)
        for output, task in zip(outputs, tasks, strict=True)
    ]


class _Output:
    """One output of a model: what is known of it."""

    def __init__(self, model: keras.Model, place: int, number: int) -> None:
        self.model = model
        self.place = place
        self.is_only = number == 1
        self.name = f"`{model.name}`"
        if number > 1:
            self.name = f"Output {place} of {self.name}"

    @property
    def loss(self) -> Any:
        """Its compiled loss, if there is one."""
        loss = getattr(self.model, "loss", None)
        if isinstance(loss, dict):
            names = self.model.output_names
            if isinstance(self.model.output, dict):
                names = sorted(self.model.output)
            return loss.get(names[self.place])
        if isinstance(loss, list | tuple):
            return loss[self.place]
        return loss

    @property
    def last_operation(self) -> Any:
        """What makes its numbers; None for a model without graph."""
        for operation in operations_backwards(self.model, self.place):
            if type(operation).__name__ not in _SHAPE_ONLY:
                if isinstance(operation, keras.layers.TimeDistributed):
                    return operation.layer
                return operation
        return None


def _resolve(
    output: _Output, task: Any, from_logits: bool
) -> tuple[DistributionHead | PointMass | str, bool]:
    family: DistributionHead | PointMass | str
    if task in CLASSIFICATION:
        return task, from_logits
    if isinstance(task, DistributionHead):
        family = task
    elif task not in TASKS:
        raise invalid("task", f"a head or one of {TASKS}", task)
    else:
        family = _find_head(output) or (
            _guess(output, from_logits) if task == "auto" else PointMass()
        )
    if isinstance(family, CategoricalHead):
        if task == "regression":
            raise ValueError(f"{output.name} ends in a `CategoricalHead`.")
        return "classification", True
    if from_logits and output.is_only and not isinstance(family, str):
        raise ValueError(
            f"{output.name} does not look like a classifier, and only one "
            "has logits. Pass `task='classification'` if it is."
        )
    return family, from_logits


def _guess(output: _Output, from_logits: bool) -> PointMass | str:
    found = _from_loss(output, from_logits) or _from_activation(output)
    if found is None:
        raise ValueError(
            f"Cannot tell what the output of {output.name} means: it has no "
            "head, no compiled loss that says so, and ends in neither softmax "
            "nor sigmoid. Pass `task='regression'`, or "
            "`task='classification', from_logits=True` if it emits logits."
        )
    return PointMass() if found == "regression" else found


def _find_head(output: _Output) -> DistributionHead | None:
    held_by_loss = getattr(output.loss, "head", None)
    if isinstance(held_by_loss, DistributionHead):
        return held_by_loss
    last = output.last_operation or output.model
    if not isinstance(last, keras.Model):
        return last if isinstance(last, DistributionHead) else None
    if not output.is_only:  # which head emits which output, nobody knows
        return None
    # A subclassed model, of which one only knows what it holds.
    heads = [
        layer
        for layer in flatten_layers(last)
        if isinstance(layer, DistributionHead)
    ]
    if len(heads) > 1:
        raise ValueError(
            f"{output.name} has several heads: "
            f"{[head.name for head in heads]}. Pass the one that emits its "
            "output as `task`."
        )
    return heads[0] if heads else None


def _from_loss(output: _Output, from_logits: bool) -> str | None:
    if not output.loss:
        return None
    loss = keras.losses.get(output.loss)
    name = getattr(loss, "__name__", type(loss).__name__)
    found = _LOSSES.get(name.replace("_", "").lower())
    if getattr(loss, "from_logits", False) and not from_logits:
        raise ValueError(
            f"{output.name} was compiled with a loss from logits: it does "
            "not emit probabilities. Pass `from_logits=True`."
        )
    return found


def _from_activation(output: _Output) -> str | None:
    last = output.last_operation
    if last is None:
        return None
    activation = getattr(last, "activation", last)
    name = getattr(activation, "__name__", type(activation).__name__).lower()
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name]
    width = output.model.outputs[output.place].shape[-1]
    return "regression" if name == "linear" and width == 1 else None
