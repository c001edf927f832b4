"""How series go on: a model that is fed what it forecasts."""

import functools
import inspect
import weakref
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.forecasting._carried import can_carry
from keras_seqtools.forecasting._inputs import block_of
from keras_seqtools.forecasting._inputs import check_inputs
from keras_seqtools.forecasting._inputs import head_of
from keras_seqtools.forecasting._rollout import Rollout
from keras_seqtools.forecasting.paths import Forecast
from keras_seqtools.uncertainty._checks import check_model
from keras_seqtools.uncertainty._checks import check_seed
from keras_seqtools.uncertainty._compiled import Compiled
from keras_seqtools.uncertainty._compiled import compiled_for
from keras_seqtools.uncertainty._engine import length_may_vary
from keras_seqtools.uncertainty._stochastic_layers import describe
from keras_seqtools.uncertainty._stochastic_layers import random_layers
from keras_seqtools.uncertainty._stochastic_layers import rates_key


def forecast(
    model: Any,
    context: Any,
    steps: int,
    *,
    num_samples: int = 100,
    seed: int | None = None,
    feedback: Callable[[Any, Any], Any] | None = None,
    past_covariates: Any = None,
    future_covariates: Any = None,
) -> Forecast:
    """Sample paths of how series go on, from a model fed its own draws.

    The model has read a series up to now, and its last output speaks of the
    next value. One is drawn from it, appended to the series, and so on:
    ancestral sampling, many paths at once, in one compiled loop. Dropout and
    the like are switched on, and a path keeps its masks from its first step
    to its last: it is one of the models that the noise can pick. Nothing of
    the model is changed; recurrent layers start from zeros, stateful ones too.

    What a path has seen depends on the input of the model. One with a number
    of time steps sees as many, a window that slides. One with `None` sees the
    context and all that follows, if it is a graph of recurrent layers, causal
    convolutions, `Dense`, activations of Keras, dropout, normalisation of
    features, arithmetic and heads: these carry their state on, so a step costs
    the same after any history. Any other model with `None` sees a window as
    long as the context. `Forecast.window` says which it was.

    A model that emits a number of steps of its own, through `CausalSlice` say,
    is asked for all of them at once, and beyond them from its own draws. Those
    of one output are drawn each without regard to the others, so its paths are
    not `joint`. As many steps as a fixed window has are taken for the next
    values of each.

    Args:
        model: A built Keras model with one input `(batch, time, features)`
            and one output, most often a head: `(batch, time, ...)` with the
            next value for every step, `(batch, ...)` with the next value, or
            `(batch, several steps, ...)`. Without a head what it emits is
            taken for the value itself, so that only noise of its layers makes
            paths differ; without that too there is one path.
        context: Array `(series, time, features)`, what came so far, in the
            units of the input of the model.
        steps: Positive integer, how many steps to forecast.
        num_samples: Positive integer, the number of paths of each series.
            Defaults to `100`.
        seed: Integer of at least 0. The same seed gives the same paths for
            the same `context`. Defaults to `None`: a new one each time.
        feedback: Function `feedback(y, context)` that makes the next inputs
            `(paths, steps, features)` of draws `(paths, steps, units)`, where
            these are not inputs as they are: differences, logs, scaling.
            `steps` is 1 for a model that emits the next value, and `context`
            has the last inputs, `(paths, time, features)`, covariates too.
            It becomes part of what is compiled, so it should use
            `keras.ops`, and be defined once, not anew for every call. Not
            needed where one output covers all steps. Defaults to `None`: what
            is drawn is the next input.
        past_covariates: Array `(series, time, covariates)`, further features
            of the input, after those of `context`. Defaults to `None`.
        future_covariates: Array `(series, steps, covariates)`, the same
            features from now on: known beforehand, such as the hour of the
            day. The first is that of the first step to forecast. Defaults to
            `None`.

    Returns:
        A `Forecast`.

    Raises:
        ValueError: If shapes do not fit the model or each other, if the model
            is a classifier, if draws cannot be inputs and there is no
            `feedback`, or if the model draws noise that all rows share, such
            as that of weights.
        TypeError: If `model` is not a Keras model.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((None, 1)),
    ...         kst.layers.LayerNormGRU(8, return_sequences=True),
    ...         kst.heads.NormalHead(),
    ...     ]
    ... )
    >>> context = np.sin(np.arange(50.0)).reshape(1, 50, 1)
    >>> f = kst.forecasting.forecast(model, context, steps=12, seed=1)
    >>> f.samples.shape
    (100, 1, 12, 1)
    >>> lower, upper = f.interval(0.9)
    >>> lower.shape
    (1, 12, 1)
    """
    model = check_model(model)
    steps = check_positive_int("steps", steps)
    num_samples = check_positive_int("num_samples", num_samples)
    seed = check_seed(seed)
    inputs, covariates = check_inputs(
        model, context, steps, past_covariates, future_covariates
    )
    family = head_of(model)
    if feedback is not None:
        _check_feedback(feedback)
    random = random_layers(model)
    if family is None and not random:
        num_samples = 1  # all would agree
    block = block_of(model, inputs)
    samples, y_pred = _compiled(model, random, block, steps > block, feedback)(
        tf.constant(inputs),
        tf.constant(covariates),
        tf.constant(seed, tf.int64),
        tf.constant(num_samples),
        tf.constant(steps),
    )
    return Forecast(
        samples=samples.numpy(),
        y_pred=y_pred.numpy(),
        head=family,
        joint=block == 1 or steps == 1,
        seed=seed,
        stochastic_layers=describe([random]),
        window=None if can_carry(model) else inputs.shape[1],
    )


def _compiled(
    model: keras.Model,
    random: dict[Any, dict[str, float]],
    block: int,
    goes_on: bool,
    feedback: Callable[[Any, Any], Any] | None,
) -> Callable[..., Any]:
    """The loop for a model, compiled unless the model runs eagerly."""
    # What is compiled is kept for the model, and must not keep it alive, nor
    # every function that was ever made for one call.
    references = [] if feedback is None else [_weak(feedback)]

    def make(models: Sequence[keras.Model]) -> Callable[..., Any]:
        (model,) = models
        function = references[0]() if references else None
        return Rollout(
            model,
            random_layers(model),
            head_of(model),
            block,
            goes_on,
            function,
        )

    if model.run_eagerly:
        return make([model])
    key = "forecast", rates_key([random]), block, goes_on
    any_size = length_may_vary(model)
    wrap = functools.partial(Compiled, any_size=any_size)
    return compiled_for([model], key, make, wrap, references)


def _check_feedback(feedback: Any) -> None:
    try:
        hash(_weak(feedback))
    except TypeError:  # what is compiled could not be told from others
        raise invalid("feedback", "a function or a method", feedback) from None
    if not callable(feedback):
        raise invalid("feedback", "a function or a method", feedback)


def _weak(function: Callable[..., Any]) -> Any:
    is_method = inspect.ismethod(function)
    return weakref.WeakMethod(function) if is_method else weakref.ref(function)
