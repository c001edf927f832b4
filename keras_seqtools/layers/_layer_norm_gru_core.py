"""All steps of a `LayerNormGRU` in TensorFlow, with a gradient of our own.

The equations are those of `LayerNormGRUCell`. Three things make them fast:

- Kernels are centred over their outputs once. What they sum up then has mean 0,
  and to normalise is to divide by the root of the mean square.
- Loops go over chunks of steps that are written out, so that a chunk needs one
  product with the kernel, and steps share the cost of a loop.
- The gradient keeps nothing but the states. It computes the gates of a chunk
  again, all at once, so that little is left to do step by step, and adds up the
  gradients of the weights by one product a chunk. In training with many units
  the products of the states with their kernel are kept, too: to compute those
  again would take longer than all that it saves.

Steps come first: `(time, batch, features)`. Inside a chunk, rows of all its
steps are one axis, `(steps * batch, features)`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_seqtools.layers.layer_norm_gru_cell import LayerNormGRUCell

CHUNK = 8
# With this before the sigmoid, z is 1 and a masked step keeps the state, bit
# by bit, at no cost in the loop.
HOLD = 1e6
# From so many units on training keeps the products of the states.
LARGE = 129


class Weights(NamedTuple):
    """Weights with centred kernels; one offset for z and r each."""

    kernel: Any
    bias: Any
    input_gain: Any
    input_offset: Any
    recurrent_kernel: Any
    gain: Any
    candidate_offset: Any


def applies_to(cell: Any) -> bool:
    """Whether the equations are those of the cell."""
    return (
        keras.backend.backend() == "tensorflow"
        and type(cell) is LayerNormGRUCell
        and cell.activation is keras.activations.tanh
        and cell.recurrent_activation is keras.activations.sigmoid
    )


def centred(cell: LayerNormGRUCell) -> Weights:
    """The weights of a cell as the loops want them.

    In float32 or float64: in half precision a square overflows, and CPUs are
    slow.
    """
    dtype = "float64" if cell.compute_dtype == "float64" else "float32"
    kernel, recurrent_kernel, bias, gamma, beta = (
        keras.ops.cast(weight, dtype)
        for weight in (
            cell.kernel,
            cell.recurrent_kernel,
            cell.bias,
            cell.gamma,
            cell.beta,
        )
    )
    of_gates, of_candidate = tf.split(beta[1], [2 * cell.units, cell.units])
    return Weights(
        kernel - tf.reduce_mean(kernel, 1, keepdims=True),
        bias - tf.reduce_mean(bias),
        gamma[0],
        beta[0] + tf.concat([of_gates, tf.zeros_like(of_candidate)], 0),
        recurrent_kernel - tf.reduce_mean(recurrent_kernel, 1, keepdims=True),
        gamma[1],
        of_candidate,
    )


def run(
    x: Any,
    state: Any,
    weights: Weights,
    epsilon: float,
    mask: Any = None,
    state_mask: Any = None,
    training: bool = False,
) -> Any:
    """The states after each step, `(time, batch, units)`.

    Args:
        x: Inputs, `(time, batch, features)`; finite where masked, too.
        state: State before the first step, `(batch, units)`.
        weights: As `centred` returns them.
        epsilon: Added to the variance.
        mask: False where the state is kept, `(time, batch, 1)`, or None.
        state_mask: What the state is multiplied by before the recurrent
            kernel, `(batch, units)`, or None. Has no gradient.
        training: Whether a gradient will be asked for.
    """
    keep_sums = training and state.shape[-1] >= LARGE

    @tf.custom_gradient
    def differentiable(x: Any, state: Any, *weights: Any) -> Any:
        loops = _Loops(x, Weights(*weights), epsilon, mask, state_mask)
        states, *sums = loops.forward(state, keep_sums)

        def gradients(d: Any) -> Any:
            # Some operations return gradients of unknown shape.
            d = tf.ensure_shape(d, after.shape)
            return loops.backward(d, states, *sums)

        after = states[1:]
        return after, gradients

    if x.shape[0] is not None:
        return differentiable(x, state, *weights)
    # XLA compiles a whole chunk even where there is none.
    steps = tf.shape(x)[0]
    more = [[0, tf.maximum(CHUNK - steps, 0)], [0, 0], [0, 0]]
    x, mask = tf.pad(x, more), None if mask is None else tf.pad(mask, more)
    return differentiable(x, state, *weights)[:steps]


def step(
    x: Any, state: Any, weights: Weights, epsilon: float, state_mask: Any = None
) -> Any:
    """The state after one step, of inputs `(batch, features)`.

    Other arguments are those of `run`.
    """
    loops = _Loops(x, weights, epsilon, None, state_mask)
    x_gates, x_candidate = _split_gates(loops.of_inputs(x)[0])
    sums = loops.state_sums(loops.masked(state, 1))
    return loops.step(x_gates, x_candidate, sums, state)


@dataclasses.dataclass(frozen=True)
class _Loops:
    x: Any
    weights: Weights
    epsilon: float
    mask: Any
    state_mask: Any

    def forward(self, state: Any, keep_sums: bool) -> Any:
        """The state before the first step and after each.

        And, to be kept, the products of the states with their kernel.
        """
        steps, width = self._steps(), self.weights.recurrent_kernel.shape[1]
        states = tf.TensorArray(
            state.dtype, steps + 1, element_shape=state.shape
        ).write(0, state)
        sums = [
            tf.TensorArray(
                state.dtype, steps, element_shape=[state.shape[0], width]
            )
        ] * keep_sums

        def chunk(
            first: Any, size: int, state: Any, states: Any, *sums: Any
        ) -> Any:
            x = _split_gates(self._project(first, size)[0])
            of_steps = zip(*(tf.split(part, size) for part in x), strict=True)
            for step, (x_gates, x_candidate) in enumerate(of_steps):
                y = self.state_sums(self.masked(state, 1))
                state = self.step(x_gates, x_candidate, y, state)
                states = states.write(first + step + 1, state)
                sums = tuple(array.write(first + step, y) for array in sums)
            return state, states, *sums

        _, *found = _over_chunks(steps, chunk, (state, states, *sums))
        return [array.stack() for array in found]

    def backward(self, d_states: Any, states: Any, *state_sums: Any) -> Any:
        """Gradients of the inputs, of the first state, of all weights."""
        steps = self._steps()
        found = tf.TensorArray(
            self.x.dtype, steps, element_shape=self.x.shape[1:]
        )
        sums = Weights(*map(tf.zeros_like, self.weights))

        def chunk(
            first: Any, size: int, found: Any, d_state: Any, *sums: Any
        ) -> Any:
            known = [_rows(a, first, size) for a in (states, *state_sums)]
            d_after = tf.split(_rows(d_states, first, size), size)
            d_x, d_state, d_weights = self._chunk_gradient(
                first, d_after, d_state, *known
            )
            for step, d_step in enumerate(tf.split(d_x, size)):
                found = found.write(first + step, d_step)
            added = (a + b for a, b in zip(sums, d_weights, strict=True))
            return found, d_state, *added

        found, d_state, *d_weights = _over_chunks(
            steps,
            chunk,
            (found, tf.zeros_like(states[0]), *sums),
            backwards=True,
        )
        return found.stack(), d_state, *d_weights

    def _steps(self) -> Any:
        return self.x.shape[0] or tf.shape(self.x)[0]

    def of_inputs(self, x: Any) -> Any:
        """What inputs bring to the gates.

        And its norm: the normalised sums, and what they were multiplied by.
        """
        w = self.weights
        normal, scale = self._normalize(tf.matmul(x, w.kernel) + w.bias)
        return normal * w.input_gain + w.input_offset, (normal, scale)

    def _project(self, first: Any, size: int) -> Any:
        """What a chunk of the inputs brings; z is 1 where they are masked."""
        x, norm = self.of_inputs(_rows(self.x, first, size))
        if self.mask is not None:
            units = self.weights.recurrent_kernel.shape[0]
            hold = tf.constant([HOLD] * units + [0.0] * 2 * units, x.dtype)
            x = tf.where(_rows(self.mask, first, size), x, hold)
        return x, norm

    def masked(self, states: Any, size: int) -> Any:
        """What dropout leaves of the states of some steps."""
        if self.state_mask is None:
            return states
        return states * tf.tile(self.state_mask, [size, 1])

    def state_sums(self, states: Any) -> Any:
        return tf.matmul(states, self.weights.recurrent_kernel)

    def _normalize(self, sums: Any) -> Any:
        square = tf.reduce_mean(tf.square(sums), -1, keepdims=True)
        scale = tf.math.rsqrt(square + self.epsilon)
        return sums * scale, scale

    def step(
        self, x_gates: Any, x_candidate: Any, sums: Any, state: Any
    ) -> Any:
        w = self.weights
        y_gates, y_candidate = _split_gates(self._normalize(sums)[0] * w.gain)
        z, r = tf.split(tf.sigmoid(x_gates + y_gates), 2, -1)
        c = tf.tanh(x_candidate + r * (y_candidate + w.candidate_offset))
        return z * state + (1 - z) * c

    def _chunk_gradient(
        self,
        first: Any,
        d_after: list[Any],
        d_state: Any,
        before: Any,
        state_sums: Any = None,
    ) -> Any:
        """Gradients of the inputs of a chunk, of its first state, of weights.

        From the gradients of the states after each step and of the last, the
        states before each, and their sums if they were kept. A slope is what
        the gradient of a state is multiplied by to get that of something its
        step was made from.
        """
        w, size = self.weights, len(d_after)
        x, x_norm = self._project(first, size)
        masked = self.masked(before, size)
        if state_sums is None:
            state_sums = self.state_sums(masked)
        y_norm = self._normalize(state_sums)
        y_gates, y_candidate = _split_gates(y_norm[0] * w.gain)
        x_gates, x_candidate = _split_gates(x)
        z, r = tf.split(tf.sigmoid(x_gates + y_gates), 2, -1)
        y_candidate += w.candidate_offset
        c = tf.tanh(x_candidate + r * y_candidate)

        c_slope = (1 - z) * (1 - c * c)
        z_slope = (before - c) * z * (1 - z)
        r_slope = c_slope * y_candidate * r * (1 - r)
        y_slope = tf.concat([z_slope, r_slope, c_slope * r], -1)
        d_states, d_sums, d_state = self._through_steps(
            z, y_slope, y_norm, d_after, d_state
        )

        d_y = _thrice(d_states) * y_slope
        d_gates, d_candidate = _split_gates(d_y)
        d_x = tf.concat([d_gates, d_states * c_slope], -1)
        d_projected = _norm_gradient(d_x * w.input_gain, *x_norm)
        x = _rows(self.x, first, size)
        d_weights = Weights(
            tf.matmul(x, d_projected, transpose_a=True),
            tf.reduce_sum(d_projected, 0),
            tf.reduce_sum(d_x * x_norm[0], 0),
            tf.reduce_sum(d_x, 0),
            tf.matmul(masked, d_sums, transpose_a=True),
            tf.reduce_sum(d_y * y_norm[0], 0),
            tf.reduce_sum(d_candidate, 0),
        )
        d_input = tf.matmul(d_projected, w.kernel, transpose_b=True)
        return d_input, d_state, d_weights

    def _through_steps(
        self, z: Any, y_slope: Any, y_norm: Any, d_after: list[Any], d: Any
    ) -> Any:
        """Gradients of each state after a step, of its sums, of the first.

        That of the sums is `_norm_gradient` of the state's times the slope:
        all that does not wait for the gradient of the state is done before.
        """
        normal, scale = y_norm
        slope = y_slope * self.weights.gain
        mean_slope = tf.add_n(tf.split(slope * normal, 3, -1)) / slope.shape[-1]
        back = tf.transpose(self.weights.recurrent_kernel)
        by_step = zip(
            *(
                tf.split(a, len(d_after))
                for a in (z, slope * scale, mean_slope, normal * scale)
            ),
            d_after,
            strict=True,
        )
        d_states, d_sums = [], []
        for z_t, slope_t, mean_slope_t, normal_t, d_t in [*by_step][::-1]:
            d += d_t
            d_states.append(d)
            mean = tf.reduce_sum(d * mean_slope_t, -1, keepdims=True)
            d_sums.append(_thrice(d) * slope_t - mean * normal_t)
            d = d * z_t + self.masked(tf.matmul(d_sums[-1], back), 1)
        return tf.concat(d_states[::-1], 0), tf.concat(d_sums[::-1], 0), d


def _norm_gradient(d: Any, normal: Any, scale: Any) -> Any:
    """Gradient of sums that have mean 0, from that of their norm."""
    mean = tf.reduce_mean(d * normal, -1, keepdims=True)
    return scale * (d - normal * mean)


def _over_chunks(
    steps: Any, chunk: Callable[..., Any], loop: Any, backwards: bool = False
) -> Any:
    """Calls `loop = chunk(first, size, *loop)` for the chunks in turn.

    Steps that fill no chunk are chunks of their own.
    """
    whole = steps // CHUNK
    pieces = [(CHUNK, 0, whole), (1, whole * CHUNK, steps % CHUNK)]
    for size, start, number in reversed(pieces) if backwards else pieces:
        if not (isinstance(number, int) and number == 0):
            last = start + (number - 1) * size
            first, stride = (last, -size) if backwards else (start, size)
            loop = _repeat(chunk, loop, size, first, stride, number)
    return loop


def _repeat(
    chunk: Callable[..., Any],
    loop: Any,
    size: int,
    first: Any,
    stride: int,
    number: Any,
) -> Any:
    def body(i: Any, *loop: Any) -> Any:
        return i + 1, *chunk(first + i * stride, size, *loop)

    return tf.while_loop(
        lambda i, *_: i < number, body, (0, *loop), parallel_iterations=1
    )[1:]


def _rows(a: Any, first: Any, size: int) -> Any:
    chunk = tf.slice(a, [first, 0, 0], [size, -1, -1])
    return tf.reshape(chunk, [-1, a.shape[-1]])


def _split_gates(a: Any) -> Any:
    """Gates z and r together, and the candidate."""
    units = a.shape[-1] // 3
    return tf.split(a, [2 * units, units], -1)


def _thrice(a: Any) -> Any:
    return tf.concat([a, a, a], -1)
