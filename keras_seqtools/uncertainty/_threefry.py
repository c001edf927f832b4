"""Random numbers for XLA, from nothing but sums, shifts and exclusive ors.

XLA has a Philox of its own, which it computes again for every number that is
taken of it. What is a function of its place, number by number, it can fuse
with what uses it.
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Any, Any]:
    """Threefry-2x32 of 20 rounds: two random words for each counter.

    Args:
        key: Two `uint32` tensors.
        counter: Two `uint32` tensors.

    Returns:
        Two `uint32` tensors, of the shape to which all four broadcast.

    Reference:

    - [Salmon et al., 2011](https://doi.org/10.1145/2063384.2063405)
    """
    parity = tf.bitwise.bitwise_xor(*key)
    keys = (*key, tf.bitwise.bitwise_xor(parity, np.uint32(0x1BD11BDA)))
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            x = x + y
            y = tf.bitwise.bitwise_xor(_rotate(y, distance), x)
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def to_uniform(word: Any) -> Any:
    """Numbers in [0, 1), of the first 24 bits."""
    bits = tf.bitwise.right_shift(word, np.uint32(8))
    return tf.cast(bits, tf.float32) * 2.0**-24


def to_normal(first: Any, second: Any) -> Any:
    """Standard normal numbers, by Box and Muller."""
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - to_uniform(first)))
    return radius * tf.cos(2.0 * math.pi * to_uniform(second))


def _rotate(word: Any, distance: int) -> Any:
    left = tf.bitwise.left_shift(word, np.uint32(distance))
    right = tf.bitwise.right_shift(word, np.uint32(32 - distance))
    return tf.bitwise.bitwise_or(left, right)
