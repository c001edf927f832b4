"""The fast core of LayerNormGRU against a loop of Keras over its cell."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seqtools.layers import LayerNormGRU
from keras_seqtools.layers import LayerNormGRUCell
from keras_seqtools.layers import LayerNormLSTM
from keras_seqtools.layers import _layer_norm_gru_core as core

CHUNK = core.CHUNK
LENGTHS = [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 19, 36, 64]
MODES = ["eager", "graph", "known shapes", "XLA"]
MASKS = ["none", "leading", "trailing", "holes"]


def slightly_trained(layer, features, seed=0):
    """Weights as after some training: none at 0 or 1 any more."""
    layer.build((None, None, features))
    rng = checks.rng(seed)
    layer.set_weights(
        [w + 0.2 * rng.normal(size=w.shape) for w in layer.get_weights()]
    )
    return layer


def loop_over_cell(layer):
    """The same layer as Keras would run it."""
    names = ["return_sequences", "return_state", "go_backwards"]
    loop = keras.layers.RNN(
        LayerNormGRUCell.from_config(layer.cell.get_config()),
        zero_output_for_mask=layer.zero_output_for_mask,
        dtype=layer.dtype_policy,
        **{name: getattr(layer, name) for name in names},
    )
    loop.build((None, None, layer.cell.kernel.shape[0]))
    loop.set_weights(layer.get_weights())
    return loop


def masked(kind, batch, time, rng):
    if kind == "none":
        return None
    lengths = rng.integers(0, time + 1, size=(batch, 1))
    if kind == "holes":
        return rng.random((batch, time)) < 0.7
    counts = np.arange(time) < lengths
    return counts if kind == "trailing" else ~counts


def weighed(y):
    """Something of which no two units have the same gradient."""
    weights = np.linspace(0.5, 2.0, y.shape[-1])
    return keras.ops.tanh(y) * keras.ops.cast(weights, y.dtype)


def values_and_gradients(layer, x, mask, state, mode, training=True):
    """Everything the layer returns, and gradients of all there is."""

    def run(x, mask, state):
        weights = [w.value for w in layer.trainable_weights]
        sources = [x, *weights] if state is None else [x, state, *weights]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            found = keras.tree.flatten(
                layer(x, mask=mask, initial_state=state, training=training)
            )
            loss = sum(keras.ops.sum(weighed(y)) for y in found)
        return found, tape.gradient(loss, sources)

    if mode in ("graph", "XLA, unknown shapes"):
        run = tf.function(run, jit_compile=mode != "graph")
        unknown = tf.TensorSpec((None, None, x.shape[-1]), x.dtype)
        of_mask = None if mask is None else tf.TensorSpec((None, None), bool)
        of_state = (
            None
            if state is None
            else tf.TensorSpec((None, state.shape[-1]), state.dtype)
        )
        run = run.get_concrete_function(unknown, of_mask, of_state)
        return run(*(a for a in (x, mask, state) if a is not None))
    if mode != "eager":
        run = tf.function(run, jit_compile=mode == "XLA")
    return run(x, mask, state)


def assert_same(layer, x, mask, state, mode):
    found, gradients = values_and_gradients(layer, x, mask, state, mode)
    expected, expected_gradients = values_and_gradients(
        loop_over_cell(layer),
        x,
        mask,
        state,
        # XLA draws other masks.
        "XLA" if "XLA" in mode else "known shapes",
    )
    assert len(found) == len(expected)
    for y, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(y, other, rtol=0, atol=1e-5)
    assert len(gradients) == len(expected_gradients)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        atol = 1e-4 * np.abs(other).max()
        np.testing.assert_allclose(gradient, other, rtol=0, atol=atol)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(12))
def test_equals_a_loop_over_the_cell_for_random_options(
    seed, mode, monkeypatch
):
    rng = np.random.default_rng([seed, MODES.index(mode)])
    # Every other time as with many units.
    monkeypatch.setattr(core, "LARGE", 1 if seed % 2 else 1000)
    batch, features, units = rng.integers(1, [6, 10, 18])
    time = rng.choice(LENGTHS)
    names = ["return_sequences", "return_state", "go_backwards"]
    names.append("zero_output_for_mask")
    options = dict(zip(names, map(bool, rng.integers(2, size=4)), strict=True))
    rates = rng.choice([0.0, 0.3], size=2)
    layer = LayerNormGRU(
        int(units),
        dropout=rates[0],
        recurrent_dropout=rates[1],
        seed=int(seed),
        **options,
    )
    slightly_trained(layer, features, seed)
    x = tf.constant(rng.normal(size=(batch, time, features)), "float32")
    mask = masked(rng.choice(MASKS), batch, time, rng)
    mask = None if mask is None else tf.constant(mask)
    state = None
    if rng.random() < 0.5:
        state = tf.constant(rng.normal(size=(batch, units)), "float32")
    assert_same(layer, x, mask, state, mode)


@pytest.mark.parametrize("kind", ["none", "holes"])
@pytest.mark.parametrize("time", [1, 5, CHUNK, 11])
@pytest.mark.parametrize("large", [1, 1000])
def test_xla_compiles_any_length_where_it_is_unknown(
    time, kind, large, monkeypatch
):
    monkeypatch.setattr(core, "LARGE", large)
    layer = slightly_trained(LayerNormGRU(3, return_sequences=True), 2)
    x = tf.constant(checks.rng(1).normal(size=(2, time, 2)), "float32")
    mask = masked(kind, 2, time, checks.rng(2))
    mask = None if mask is None else tf.constant(mask)
    assert_same(layer, x, mask, None, "XLA, unknown shapes")


def test_one_mask_and_one_state_for_all_rows():
    layer = slightly_trained(LayerNormGRU(3, return_sequences=True), 2)
    x = tf.constant(checks.rng(1).normal(size=(4, 11, 2)), "float32")
    mask = tf.constant(masked("holes", 1, 11, checks.rng(2)))
    state = tf.constant(checks.rng(4).normal(size=(1, 3)), "float32")
    found = values_and_gradients(layer, x, mask, state, "graph")
    wide = values_and_gradients(
        layer, x, tf.repeat(mask, 4, 0), tf.repeat(state, 4, 0), "graph"
    )
    (y,), (d_x, d_state, *d_weights) = found
    (expected,), (d_x_wide, d_states, *d_weights_wide) = wide
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(d_x, d_x_wide)
    np.testing.assert_allclose(d_state[0], tf.reduce_sum(d_states, 0), 1e-5)
    for d, d_wide in zip(d_weights, d_weights_wide, strict=True):
        np.testing.assert_array_equal(d, d_wide)


def test_gradient_may_come_without_a_shape():
    layer = slightly_trained(LayerNormGRU(3, return_sequences=True), 2)
    x = tf.constant(checks.rng(1).normal(size=(2, 11, 2)), "float32")

    @tf.function
    def gradient(by_python):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            if by_python:  # TensorFlow loses the shapes there
                y = tf.py_function(tf.square, [y], "float32")
            else:
                y = tf.square(y)
        return tape.gradient(y, x)

    np.testing.assert_allclose(gradient(True), gradient(False), rtol=1e-6)


@pytest.mark.parametrize("kind", MASKS)
def test_gradients_in_float64_equal_those_of_the_loop_to_rounding(kind):
    layer = LayerNormGRU(
        5, recurrent_dropout=0.3, seed=1, return_sequences=True, dtype="float64"
    )
    slightly_trained(layer, 4)
    x = tf.constant(checks.rng(1).normal(size=(3, 19, 4)))
    mask = masked(kind, 3, 19, checks.rng(2))
    state = tf.constant(checks.rng(4).normal(size=(3, 5)))
    found = values_and_gradients(layer, x, mask, state, "eager")
    expected = values_and_gradients(
        loop_over_cell(layer), x, mask, state, "eager"
    )
    for a, b in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


@pytest.mark.parametrize("mode", [*MODES, "unrolled"])
def test_masked_steps_keep_the_state_bit_by_bit_and_hide_what_they_hold(mode):
    layer = LayerNormGRU(
        16, return_sequences=True, return_state=True, unroll=mode == "unrolled"
    )
    slightly_trained(layer, 3)
    layer.cell.gamma.assign(1e3 * layer.cell.gamma)
    x = checks.rng(1).normal(size=(2, 70, 3)).astype("float32")
    mask = np.arange(70) < np.array([[5], [50]])
    known = values_and_gradients(
        layer, tf.constant(x), tf.constant(mask), None, mode
    )
    x[~mask] = np.nan
    found = values_and_gradients(
        layer, tf.constant(x), tf.constant(mask), None, mode
    )
    for a, b in zip(*map(keras.tree.flatten, (known, found)), strict=True):
        np.testing.assert_array_equal(a, b)
    (outputs, state), _ = found
    for row, length in enumerate((5, 50)):
        np.testing.assert_array_equal(
            outputs[row, length:], [outputs[row, length - 1]] * (70 - length)
        )
        np.testing.assert_array_equal(state[row], outputs[row, length - 1])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_its_statistics_in_float32(policy):
    layer = LayerNormGRU(8, return_sequences=True, dtype=policy)
    slightly_trained(layer, 4)
    exact = LayerNormGRU(8, return_sequences=True)
    exact.build((None, None, 4))
    exact.set_weights(layer.get_weights())
    x = tf.constant(1e3 * checks.rng(1).normal(size=(3, 11, 4)), "float32")
    y, expected = layer(x), exact(x)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    # Weights and inputs are rounded too, so a few units in the last place.
    last_place = {"float16": 2**-11, "bfloat16": 2**-8}[layer.compute_dtype]
    y = np.asarray(keras.ops.cast(y, "float32"))
    np.testing.assert_allclose(y, expected, rtol=0, atol=16 * last_place)
    _, gradients = values_and_gradients(layer, x, None, None, "graph")
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("layer_class", [LayerNormGRU, LayerNormLSTM])
def test_second_derivatives_equal_differences_of_the_first(layer_class, unroll):
    layer = layer_class(3, unroll=unroll, dtype="float64")
    slightly_trained(layer, 2)
    x = tf.constant(checks.rng(1).normal(size=(2, 11, 2)))
    kernel, step = layer.cell.recurrent_kernel, 1e-6

    @tf.function
    def slope_and_curvature():
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = keras.ops.sum(layer(x) ** 2)
            slope = keras.ops.sum(inner.gradient(loss, kernel.value) ** 2)
        return slope, outer.gradient(slope, kernel.value)

    start = kernel.numpy()
    direction = checks.rng(2).normal(size=start.shape)
    claimed = np.sum(slope_and_curvature()[1] * direction)
    slopes = []
    for sign in (-1, 1):
        kernel.assign(start + sign * step * direction)
        slopes.append(float(slope_and_curvature()[0]))
    difference = (slopes[1] - slopes[0]) / (2 * step)
    np.testing.assert_allclose(claimed, difference, rtol=1e-7)


def test_a_persistent_tape_asks_twice():
    layer = slightly_trained(LayerNormGRU(3), 2)
    x = tf.constant(checks.rng(1).normal(size=(2, 11, 2)), "float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = layer(x)
    with tf.GradientTape() as once:
        once.watch(x)
        y_again = loop_over_cell(layer)(x)
    expected = once.gradient(y_again, x)
    for _ in range(2):
        found = tape.gradient(y, x)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_an_untrainable_layer_passes_gradients_on():
    layer = slightly_trained(LayerNormGRU(3), 2)
    x = tf.constant(checks.rng(1).normal(size=(2, 11, 2)), "float32")
    _, (expected, *_) = values_and_gradients(layer, x, None, None, "graph")
    layer.trainable = False
    _, gradients = values_and_gradients(layer, x, None, None, "graph")
    assert len(gradients) == 1  # of the input alone
    np.testing.assert_array_equal(gradients[0], expected)


@pytest.mark.parametrize(
    ("options", "is_fast"),
    [
        ({}, True),
        ({"recurrent_dropout": 0.2, "dropout": 0.1, "stateful": True}, True),
        ({"unroll": True}, False),
        ({"activation": "relu"}, False),
        ({"recurrent_activation": "hard_sigmoid"}, False),
    ],
)
def test_the_core_runs_whatever_it_can(options, is_fast, monkeypatch):
    calls, run = [], core.run
    monkeypatch.setattr(
        core, "run", lambda *args: calls.append(1) or run(*args)
    )
    LayerNormGRU(3, **options)(np.ones((2, 5, 4), "float32"), training=True)
    assert calls == [1] * is_fast


@pytest.mark.parametrize("is_masked", [False, True])
def test_one_step_is_that_of_the_cell(is_masked):
    layer = slightly_trained(LayerNormGRU(5, dtype="float64"), 3)
    x, state = checks.rng(1).normal(size=(4, 3)), checks.rng(2).random((4, 5))
    mask = checks.rng(3).random((4, 5)) if is_masked else None
    cell = layer.cell
    after = core.step(
        tf.constant(x),
        tf.constant(state),
        core.centred(cell),
        cell.epsilon,
        None if mask is None else tf.constant(mask),
    )
    if is_masked:  # for the sums alone
        cell.dropout_masks = lambda *_: (None, mask)
    expected, _ = cell(x, [state])
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-12)


def test_fit_with_jit_compile_lowers_the_loss():
    x = checks.rng(1).normal(size=(64, 11, 2)).astype("float32")
    model = keras.Sequential([keras.Input((11, 2)), LayerNormGRU(8, seed=1)])
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=True)
    y = np.tanh(np.repeat(x[:, -1, :1], 8, 1))
    losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_export_of_any_length(tmp_path):
    layer = LayerNormGRU(3, return_sequences=True)
    model = keras.Sequential(
        [keras.Input((None, 2)), keras.layers.Masking(), layer]
    )
    model.export(tmp_path, verbose=False)
    served = tf.saved_model.load(tmp_path)
    for time in (1, 5, 12, 16):
        x = checks.rng(time).normal(size=(2, time, 2)).astype("float32")
        x[0, -1] = 0.0
        np.testing.assert_allclose(served.serve(x), model(x), rtol=0, atol=1e-6)


class Own(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.memory = LayerNormGRU(3)
        self.last = keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.memory(x))


def test_subclassed_model_trains():
    model, x = Own(), checks.rng(1).normal(size=(4, 11, 2)).astype("float32")
    model(x)
    checks.check_fits(model, x, y=np.ones((4, 1)))


def test_clone_and_time_distributed_run_what_the_layer_runs():
    x = checks.rng(1).normal(size=(2, 3, 11, 4)).astype("float32")
    layer = LayerNormGRU(5)
    model = keras.Sequential(
        [keras.Input((3, 11, 4)), keras.layers.TimeDistributed(layer)]
    )
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    expected = np.stack([layer(x[:, i]) for i in range(3)], 1)
    for each in (model, copy):
        np.testing.assert_allclose(
            each.predict(x, verbose=0), expected, rtol=0, atol=1e-6
        )
