"""A function of one batch, over all of them, with the manners of `predict`."""

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqtools._keras_internals import Batches


def over_batches(
    model: keras.Model,
    function: Callable[..., Any],
    batches: Batches,
    multiple_of: int,
    verbose: Any,
    callbacks: Any,
) -> Iterator[Any]:
    """Arrays of `function(x, first_row, y)`, targets and weights by batch.

    Args:
        model: What callbacks see as their model.
        function: Takes inputs, the number of their first row, and targets or
            None.
        batches: The data.
        multiple_of: What the function needs a number of rows to be. Rows are
            added for that, and cut off again.
        verbose: As in `Model.predict`.
        callbacks: As in `Model.predict`.
    """
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=1,
            steps=batches.number,
            model=model,
        )
    model.stop_predicting = False  # as `predict` does, for callbacks to set
    first_row = 0
    callbacks.on_predict_begin()
    for number, batch in enumerate(batches):
        callbacks.on_predict_batch_begin(number)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        rows = len(keras.tree.flatten(x)[0])
        padded_x, padded_y = _pad((x, y), -rows % multiple_of)
        found = function(padded_x, tf.constant(first_row, tf.int64), padded_y)
        found = _to_arrays(found, rows)
        first_row += rows
        callbacks.on_predict_batch_end(number, {"outputs": found})
        yield found, y, weight
        if model.stop_predicting:
            break
    callbacks.on_predict_end()


def _pad(tensors: Any, missing: int) -> Any:
    """Each tensor with its last row a few times more."""

    def pad(tensor: Any) -> Any:
        if tensor is None or not missing:
            return tensor
        last = tf.repeat(tensor[-1:], missing, axis=0)
        return tf.concat([tensor, last], axis=0)

    return keras.tree.map_structure(pad, tensors)


def _to_arrays(tensors: Any, rows: int) -> Any:
    return keras.tree.map_structure(
        lambda tensor: np.asarray(tensor)[:rows], tensors
    )
