"""The normalisation that recurrent cells share."""

from typing import Any

import keras
from keras import ops


def normalize(values: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Mean 0 and variance 1 over the last axis, then gain and offset.

    In float32 at least: in float16 the square of anything above 255 is
    infinite, and its norm silently 0. Not `keras.ops.layer_normalization`,
    whose second derivatives are wrong on TensorFlow: it holds the mean fixed
    in that of the variance.
    """
    dtype = keras.backend.result_type(values.dtype, "float32")
    centred = ops.cast(values, dtype)
    centred = centred - ops.mean(centred, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    normal = centred * ops.rsqrt(variance + epsilon)
    scaled = normal * ops.cast(gamma, dtype) + ops.cast(beta, dtype)
    return ops.cast(scaled, values.dtype)
