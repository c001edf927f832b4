"""What a forecast needs to know of a model and its data, and its checks."""

from typing import Any

import keras
import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.forecasting._carried import can_carry
from keras_seqtools.heads import DistributionHead
from keras_seqtools.uncertainty._task import resolve_tasks

# Time steps, more than any model emits at a time.
_LONG = 2**14


def head_of(model: keras.Model) -> DistributionHead | None:
    """The head of a model, or None if it emits points."""
    try:
        tasks = resolve_tasks(model, "auto", from_logits=False)
    except ValueError:
        if getattr(getattr(model, "loss", None), "from_logits", False):
            raise
        # Nothing tells of classes: then it is the value.
        tasks = resolve_tasks(model, "regression", from_logits=False)
    if len(tasks) > 1:
        raise ValueError(
            f"Expected a model with one output. Received: `{model.name}` with "
            f"{len(tasks)}"
        )
    ((family, _),) = tasks
    if isinstance(family, str):
        raise ValueError(
            f"`{model.name}` is a classifier, and a class is not the next "
            "input of a series."
        )
    return family if isinstance(family, DistributionHead) else None


def block_of(model: keras.Model, inputs: np.ndarray) -> int:
    """How many steps the model forecasts at a time, for such inputs.

    As many as it emits, unless it emits one for each step that it reads.
    """
    if can_carry(model):
        return 1
    window, _ = _input_shape(model)
    _, time, features = inputs.shape
    length = window or _LONG
    block = _steps_emitted(model, length, features)
    if block in (None, window):
        return 1
    if window is None and _steps_emitted(model, length + 1, features) != block:
        return 1
    if block > time:
        raise ValueError(
            f"`{model.name}` emits {block} steps of as many or more. "
            f"Received: `context` with {time}"
        )
    return block


def _steps_emitted(model: keras.Model, steps: int, features: int) -> int | None:
    spec = keras.KerasTensor((1, steps, features))
    (output,) = keras.tree.flatten(model.compute_output_spec(spec))
    return output.shape[1] if len(output.shape) == 3 else None


def check_inputs(
    model: keras.Model,
    context: Any,
    steps: int,
    past_covariates: Any,
    future_covariates: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs up to now, `(series, time, features)`; what is known of later."""
    context = _sequences("context", context)
    series, time, _ = context.shape
    if not series or not time:
        raise invalid("context", "one step or more of a series", context)
    if (past_covariates is None) != (future_covariates is None):
        raise ValueError(
            "`past_covariates` and `future_covariates` are the same features, "
            "up to now and from now on: expected both or neither."
        )
    if past_covariates is None:
        known = np.zeros((series, 0, 0), "float32")
    else:
        past = _sequences("past_covariates", past_covariates)
        known = _sequences("future_covariates", future_covariates)
        _check_shape("past_covariates", past, (series, time, past.shape[-1]))
        _check_shape(
            "future_covariates", known, (series, steps, past.shape[-1])
        )
        context = np.concatenate([context, past], axis=-1)
    window, features = _input_shape(model)
    if features not in (None, context.shape[-1]):
        raise ValueError(
            f"`{model.name}` takes {features} features a step. Received: "
            f"{context.shape[-1]} of `context` and `past_covariates`"
        )
    if window is not None and time < window:
        raise ValueError(
            f"`{model.name}` takes {window} time steps. Received: `context` "
            f"with {time}"
        )
    return context[:, -(window or 0) :], known


def _input_shape(model: keras.Model) -> tuple[int | None, int | None]:
    """Time steps and features that a model insists on; None where it does not.

    A model without a graph only shows when it is called.
    """
    inputs = getattr(model, "inputs", None) or ()
    if len(inputs) > 1:
        raise ValueError(
            f"Expected a model with one input. Received: `{model.name}` with "
            f"{len(inputs)}. Join them in one, and take that apart inside the "
            "model."
        )
    for tensor in inputs:
        if len(tensor.shape) != 3:
            raise ValueError(
                "Expected a model of inputs `(batch, time, features)`. "
                f"Received: `{model.name}` of inputs {tensor.shape}"
            )
        return tensor.shape[1:]
    return None, None


def _sequences(name: str, values: Any) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 3 or values.dtype.kind not in "biuf":
        raise ValueError(
            f"Expected `{name}` as numbers `(series, time, features)`. "
            f"Received: {values.dtype} of shape {values.shape}"
        )
    return values.astype("float32")


def _check_shape(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(
            f"Expected `{name}` of shape {shape}. Received: {values.shape}"
        )
