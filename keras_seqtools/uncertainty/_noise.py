"""Noise that belongs to the rows of the data, not to their batches.

What a random layer draws for row `r` in pass `t` depends on the seed, the
place of the draw in the model, `t` and `r`, and on nothing else: the same
rows see the same noise in batches of any size. Every draw has a Philox key of
its own (Salmon et al., 2011), whose counter is the number of the pass and the
place of the row.
"""

import math
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqtools._keras_internals import loop_step
from keras_seqtools.uncertainty._threefry import threefry
from keras_seqtools.uncertainty._threefry import to_normal
from keras_seqtools.uncertainty._threefry import to_uniform

_PHILOX = 1  # in the numbering of TensorFlow's kernels
_BLOCK = 4  # 32-bit numbers that one count yields
# Rates that one or two bits a unit hit exactly, and fastest.
_BITS = {0.5: 1, 0.25: 2, 0.75: 2}
_KERNELS = {
    "integers": (tf.raw_ops.StatelessRandomUniformFullIntV2, tf.uint32),
    "normal": (tf.raw_ops.StatelessRandomNormalV2, tf.float32),
    "uniform": (tf.raw_ops.StatelessRandomUniformV2, tf.float32),
}


def philox_key(seed: Any, member: int) -> Any:
    """The key of one of several models, from an integer tensor."""
    key = tf.bitcast(tf.reshape(tf.cast(seed, tf.int64), [1]), tf.uint64)
    return _integer_at(key, (member, 2**64 - 1))


def _integer_at(key: Any, counter: tuple[Any, Any]) -> Any:
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[1],
        key=key,
        counter=tf.stack([_uint64(part) for part in counter]),
        dtype=tf.uint64,
        alg=_PHILOX,
    )


class NoiseWithoutRowsError(Exception):
    """Noise that is not of the rows of a batch, with several passes in it."""


class RowNoise:
    """The draws of one call of a model that holds several passes.

    The batch holds passes `first_sample` to `first_sample + fold - 1`, one
    after the other, each of the same rows.

    Args:
        key: From `philox_key`.
        first_sample: Integer tensor, the number of the first pass.
        fold: Integer, passes in the batch.
        first_row: Integer tensor, the number of the first row.
        rows: Integer tensor, rows of each pass.
        sites: The seed generators to draw for, in the order of the model, and
            whether all rows share what each of them draws.
        others: Seed generators whose draws may have any shape.
        shared: Whether all rows have the same noise.
        for_xla: Whether it will be compiled by XLA, for which other numbers
            are faster.
    """

    def __init__(
        self,
        key: Any,
        first_sample: Any,
        fold: int,
        first_row: Any,
        rows: Any,
        sites: Mapping[Any, bool],
        others: Iterable[Any] = (),
        shared: bool = False,
        for_xla: bool = False,
    ) -> None:
        self.key = key
        self.first_sample = tf.cast(first_sample, tf.uint64)
        self.fold = fold
        self.first_row = tf.cast(first_row, tf.uint64)
        self.rows = rows
        self.shared = shared
        self.for_xla = for_xla
        self.sites = sites
        self.numbers = {
            id(generator): number
            for number, generator in enumerate((*sites, *others))
        }
        self.counts: dict[int, int] = {}
        self.graph = tf.compat.v1.get_default_graph()

    def knows(self, generator: Any) -> bool:
        """Whether draws for the generator are this noise's matter."""
        return id(generator) in self.numbers

    def seed(self, generator: Any) -> Any:
        """Two integers for a draw of any shape.

        For all batches the same where rows should have had their own: what
        is drawn without them, for weights say, belongs to the pass alone.
        """
        row = 0 if generator in self.sites else self.first_row
        key = _integer_at(self._key_of(generator), (row, 2**63))
        return tf.bitcast(_integer_at(key, (self.first_sample, 0)), tf.int32)[0]

    def mask_shape(self, inputs: Any, noise_shape: Any) -> list[Any]:
        """Integers where they are known, else integer tensors."""
        dynamic = tf.shape(inputs)
        own = [
            dynamic[axis] if size is None else size
            for axis, size in enumerate(inputs.shape)
        ]
        if noise_shape is None:
            return own
        return [
            mine if size is None else size
            for size, mine in zip(noise_shape, own, strict=True)
        ]

    def draws_for(self, generator: Any, shape: Any) -> bool:
        """Whether a draw of the shape is one number or more for every row.

        If it should be, but is not, several passes cannot share a batch.
        """
        if generator not in self.sites:
            return False
        if self.sites[generator]:
            return True
        first, batch = known(shape[0]), known(self.fold * self.rows)
        if first is None or (batch is not None and first % batch == 0):
            return True
        if self.fold > 1:
            raise NoiseWithoutRowsError
        return False

    def dropout(
        self, inputs: Any, rate: float, shape: Any, generator: Any
    ) -> Any:
        """Inputs, of which a share of `rate` is 0 and the rest scaled up."""
        scale = 1.0 / (1.0 - rate)
        width, draw = self._stream(generator, shape)
        bits_each = None if self.for_xla else _BITS.get(rate)
        if bits_each:
            # One byte decides on several units at once.
            each = 8 // bits_each
            parts = np.arange(256)[:, None] >> np.arange(0, 8, bits_each)
            dropped = parts % 2**bits_each < rate * 2**bits_each
            table = tf.constant(np.where(dropped, 0.0, scale), inputs.dtype)
            codes = self._integers(draw, -(-width // each), tf.uint8)
            mask = tf.gather(table, tf.cast(codes, tf.int32))
        else:
            # Far from one half, 16 bits would change the rate too much.
            wide = self.for_xla or min(rate, 1.0 - rate) < 2**-6
            dtype = tf.uint32 if wide else tf.uint16
            limit = tf.constant(round(rate * (dtype.max + 1)), dtype)
            kept = self._integers(draw, width, dtype) >= limit
            mask = tf.where(
                kept,
                tf.constant(scale, inputs.dtype),
                tf.constant(0.0, inputs.dtype),
            )
        mask = self._shape(mask, width, shape, generator)
        # What is dropped is 0, as in Keras, whatever it was.
        return tf.math.multiply_no_nan(inputs, mask)

    def normal(
        self, shape: Any, mean: float, stddev: float, dtype: Any, generator: Any
    ) -> Any:
        noise = self._numbers("normal", shape, generator)
        return tf.cast(mean + stddev * noise, dtype)

    def uniform(
        self, shape: Any, low: float, high: float, dtype: Any, generator: Any
    ) -> Any:
        noise = self._numbers("uniform", shape, generator)
        return tf.cast(low + (high - low) * noise, dtype)

    def _numbers(self, kind: str, shape: Any, generator: Any) -> Any:
        width, draw = self._stream(generator, shape)
        numbers = draw(kind, -(-width // _BLOCK))
        return self._shape(numbers, width, shape, generator)

    def _integers(
        self, draw: Callable[..., Any], width: Any, dtype: Any
    ) -> Any:
        """Random integers of few bits, `(batch, at least width)`."""
        each = _BLOCK * 4 // dtype.size
        integers = draw("integers", -(-width // each))
        if dtype != tf.uint32:
            integers = tf.bitcast(integers, dtype)
            integers = tf.reshape(integers, [tf.shape(integers)[0], -1])
        return integers[:, :width]

    def _stream(
        self, generator: Any, shape: Any
    ) -> tuple[Any, Callable[..., Any]]:
        """Numbers that each row takes, and a function that draws them."""
        is_shared = self.sites[generator]
        width = math.prod(shape)
        if not is_shared:
            width //= self.fold * self.rows
        rows, first_row = self.rows, self.first_row
        if is_shared or self.shared:
            rows, first_row = 1, tf.zeros_like(first_row)
        key = self._key_of(generator)

        def draw(kind: str, blocks: Any) -> Any:
            if self.for_xla:
                return self._fusible(kind, key, rows, first_row, blocks)
            kernel, dtype = _KERNELS[kind]
            first = first_row * tf.cast(blocks, tf.uint64)
            passes = [
                kernel(
                    shape=[rows, _BLOCK * blocks],
                    key=key,
                    counter=tf.stack([first, self.first_sample + i]),
                    dtype=dtype,
                    alg=_PHILOX,
                )
                for i in np.arange(self.fold, dtype="uint64")
            ]
            return tf.concat(passes, axis=0)

        return width, draw

    def _key_of(self, generator: Any) -> Any:
        """The key of the next draw for a generator."""
        number = self.numbers[id(generator)]
        count = self.counts.get(number, 0)
        self.counts[number] = count + 1
        place = self._turn() * 2**16 + np.uint64(count)
        return _integer_at(self.key, (place, number))

    def _turn(self) -> Any:
        """Which turn it is of the loops inside the model."""
        return loop_step(self.graph)

    def _fusible(
        self, kind: str, key: Any, rows: Any, first_row: Any, blocks: Any
    ) -> Any:
        """What `_KERNELS` draw, of other numbers."""
        low, high = tf.unstack(tf.bitcast(key, tf.uint32)[0])
        sample = tf.cast(self.first_sample, tf.uint32)
        samples = (sample + np.arange(self.fold, dtype="uint32"))[:, None, None]
        of_pass = threefry((low, high), (samples, tf.zeros_like(samples)))
        row = tf.cast(first_row, tf.uint32) + tf.cast(tf.range(rows), tf.uint32)
        column = tf.cast(tf.range(_BLOCK * blocks), tf.uint32)
        words = threefry(of_pass, (row[:, None], column))
        first, second = (
            tf.reshape(word, [self.fold * rows, -1]) for word in words
        )
        if kind == "integers":
            return first
        return (
            to_normal(first, second) if kind == "normal" else to_uniform(first)
        )

    def _shape(
        self, numbers: Any, width: Any, shape: Any, generator: Any
    ) -> Any:
        numbers = tf.reshape(numbers, [tf.shape(numbers)[0], -1])[:, :width]
        is_shared = self.sites[generator]
        if not (is_shared or self.shared):
            return tf.reshape(numbers, shape)
        of_rows = tf.repeat(numbers, self.rows, axis=0)
        batch = self.fold * self.rows if is_shared else shape[0]
        return tf.reshape(of_rows, [batch, *shape[1:]])


def _uint64(number: Any) -> Any:
    if isinstance(number, int):  # too large for the usual way, perhaps
        return tf.constant(number, tf.uint64)
    return tf.cast(number, tf.uint64)


def known(size: Any) -> int | None:
    return size if isinstance(size, int) else tf.get_static_value(size)
