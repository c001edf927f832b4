"""Noise that a path keeps for as long as it runs."""

from typing import Any

import tensorflow as tf

from keras_seqtools.uncertainty._noise import RowNoise
from keras_seqtools.uncertainty._noise import known


class PathNoise(RowNoise):
    """The noise of paths, one a row, the same at every step of them.

    A path is one model that the noise has picked, run on and on. All steps of
    a sequence therefore share what is drawn: a mask that changed from step to
    step would change again for the same step when a window slides.

    Args:
        key: From `philox_key`.
        rows: Integer tensor, the number of paths.
        sites: As for `RowNoise`; likewise `others`.
    """

    def __init__(self, key: Any, rows: Any, sites: Any, others: Any) -> None:
        first = tf.constant(0)
        super().__init__(key, first, 1, first, rows, sites, others)

    def draws_for(self, generator: Any, shape: Any) -> bool:
        first, rows = known(shape[0]), known(self.rows)
        if self.sites.get(generator) or (first is not None and first != rows):
            raise ValueError(
                "Every path has noise of its own, and this model draws some "
                "that all rows of a batch share: of weights, or by a "
                f"`noise_shape`. Received: noise of shape {tuple(shape)}"
            )
        return super().draws_for(generator, shape)

    def mask_shape(self, inputs: Any, noise_shape: Any) -> list[Any]:
        return _of_one_step(super().mask_shape(inputs, noise_shape))

    def normal(self, shape: Any, *args: Any, **kwargs: Any) -> Any:
        noise = super().normal(_of_one_step(shape), *args, **kwargs)
        return tf.broadcast_to(noise, shape)

    def uniform(self, shape: Any, *args: Any, **kwargs: Any) -> Any:
        noise = super().uniform(_of_one_step(shape), *args, **kwargs)
        return tf.broadcast_to(noise, shape)

    def _turn(self) -> Any:
        return tf.constant(0, tf.uint64)  # every step of a loop is a step


def _of_one_step(shape: Any) -> list[Any]:
    """The shape `(batch, 1, ...)` for that of sequences."""
    rows, *rest = shape
    return [rows, 1, *rest[1:]] if len(rest) > 1 else [rows, *rest]
