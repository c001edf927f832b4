"""LayerNormLSTM against a float64 NumPy loop, alone and inside other things."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

import keras_seqtools as kst
from keras_seqtools.layers import LayerNormLSTM

RATES = ["dropout", "recurrent_dropout"]
EVERYTHING = {"return_sequences": True, "return_state": True}
MASKS = {
    "leading": [[0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],
    "trailing": [[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]],
}


def reference(x, weights, states=None, mask=None, drop=(1.0, 1.0)):
    """Outputs and final states, from the equations, in float64."""
    kernel, recurrent_kernel, bias, gamma, beta, cell_gamma, cell_beta = weights

    def normalize(y):
        centred = y - y.mean(-1, keepdims=True)
        return centred / np.sqrt(y.var(-1, keepdims=True) + 1e-5)

    h, c = np.zeros((2, len(x), len(cell_beta))) if states is None else states
    output, outputs = np.zeros_like(h), []
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    for step, counts in zip(x.swapaxes(0, 1), mask.T[..., None], strict=True):
        gates = gamma[0] * normalize((drop[0] * step) @ kernel + bias) + beta[0]
        y = normalize((drop[1] * h) @ recurrent_kernel)
        i, f, g, o = np.split(gates + gamma[1] * y + beta[1], 4, axis=-1)
        new_c = expit(f) * c + expit(i) * np.tanh(g)
        normalized = cell_gamma * normalize(new_c) + cell_beta
        new_h = expit(o) * np.tanh(normalized)
        h, c = np.where(counts, new_h, h), np.where(counts, new_c, c)
        output = np.where(counts, new_h, output)
        outputs.append(output)
    return np.stack(outputs, 1), h, c


def normal(*shape, seed=0):
    return checks.rng(seed).normal(size=shape)


def random_layer(units=5, **kwargs):
    layer = LayerNormLSTM(units, **kwargs)
    layer.build((2, None, 4))
    layer.set_weights([normal(*w.shape, seed=5) for w in layer.weights])
    return layer


def assert_close(found, expected, atol=1e-5):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


@pytest.mark.parametrize(
    "config",
    [
        {"activity_regularizer": "l2", "bias_constraint": "max_norm"},
        {"return_sequences": True, "go_backwards": True, "unroll": True},
        {"dropout": 0.2, "recurrent_dropout": 0.3, "seed": 1},
        {"recurrent_dropout": 0.3, "seed": 1, "mc_dropout": True},
    ],
)
def test_contract(config, tmp_path):
    checks.check_layer(
        lambda **kwargs: LayerNormLSTM(5, **config, **kwargs),
        (6, 4),
        tmp_path,
        random="seed" in config,
    )


@pytest.mark.parametrize("mask", [None, *MASKS])
@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
def test_equals_the_numpy_loop(mask, given_state, go_backwards, unroll):
    options = {"go_backwards": go_backwards, "unroll": unroll}
    layer = random_layer(**EVERYTHING, **options, dtype="float64")
    x = normal(3, 6, 4)
    mask = mask and np.array(MASKS[mask], bool)
    states = list(normal(2, 3, 5, seed=1)) if given_state else None
    found = layer(x, mask=mask, initial_state=states)
    if go_backwards:
        x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
    expected = reference(x, layer.get_weights(), states, mask)
    assert_close(found, expected, atol=1e-12)


@pytest.mark.parametrize("rates", [RATES[:1], RATES[1:], RATES])
@pytest.mark.parametrize("unroll", [False, True])
def test_equals_the_numpy_loop_with_masks_drawn_once_a_call(rates, unroll):
    options = {**EVERYTHING, **dict.fromkeys(rates, 0.4), "unroll": unroll}
    layer = random_layer(16, **options, dtype="float64")
    draw, drawn, calls = layer.cell._create_dropout_mask, [], []

    def create(tensor, rate):
        drawn.append(np.asarray(draw(tensor, rate)))
        return drawn[-1]

    layer.cell._create_dropout_mask = create
    x = normal(3, 6, 4)
    for _ in range(2):
        found = layer(x, training=True)
        assert len(drawn) == len(rates)
        assert all((mask[0] != mask[1]).any() for mask in drawn)
        calls.append(np.concatenate(drawn, -1))
        drop = [drawn.pop(0) if rate in rates else 1.0 for rate in RATES]
        expected = reference(x, layer.get_weights(), drop=drop)
        assert_close(found, expected, atol=1e-12)
    assert (calls[0] != calls[1]).any()


@pytest.mark.parametrize("layer_class", [keras.layers.LSTM, LayerNormLSTM])
@pytest.mark.parametrize("zero", [False, True])
def test_masked_steps_repeat_the_last_output_as_in_keras(layer_class, zero):
    layer = layer_class(5, return_sequences=True, zero_output_for_mask=zero)
    mask = np.array(MASKS["leading"] + MASKS["trailing"] + MASKS["holes"], bool)
    x, states = normal(9, 6, 4), list(normal(2, 9, 5, seed=1))
    y = np.asarray(layer(x, mask=mask, initial_state=states))
    shifted = np.concatenate([np.zeros((9, 1, 5)), y[:, :-1]], axis=1)
    previous = np.zeros_like(y) if zero else shifted
    np.testing.assert_array_equal(y[~mask], previous[~mask])
    assert (y[mask] != previous[mask]).all()


@pytest.mark.parametrize("unroll", [False, True])
def test_what_masked_steps_hold_reaches_no_gradient(unroll):
    layer = random_layer(**EVERYTHING, unroll=unroll)
    mask, x = np.array(MASKS["holes"], bool), normal(3, 6, 4)
    found = []
    for held in (0.0, np.nan):
        x[~mask] = held
        with tf.GradientTape() as tape:
            outputs = layer(x, mask=mask)
            loss = sum(keras.ops.sum(output**2) for output in outputs)
        weights = [w.value for w in layer.weights]
        found.append([*outputs, *tape.gradient(loss, weights)])
    for expected, other in zip(*found, strict=True):
        np.testing.assert_array_equal(expected, other)


def test_gradients_of_all_weights_equal_differences_of_the_numpy_loop():
    layer = random_layer(return_sequences=True, dtype="float64")
    x, states, step = normal(3, 6, 4), list(normal(2, 3, 5, seed=1)), 1e-6
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(layer(x, initial_state=states) ** 2)
    gradients = tape.gradient(loss, [w.value for w in layer.weights])
    for i, gradient in enumerate(gradients):
        direction = normal(*gradient.shape, seed=6)

        def loss_after(distance, i=i, direction=direction):
            moved = layer.get_weights()
            moved[i] += distance * direction
            return (reference(x, moved, states)[0] ** 2).sum()

        slope = (loss_after(step) - loss_after(-step)) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, 1e-6)


def test_two_halves_with_state_equal_the_whole():
    x = normal(2, 8, 4).astype("float32")
    layer = random_layer(stateful=True, return_sequences=True)
    whole, _, _ = reference(x, layer.get_weights())
    for _ in range(2):
        assert_close([layer(x[:, :4]), layer(x[:, 4:])], np.split(whole, 2, 1))
        layer.reset_state()


def alone(layer):
    return layer, lambda x, weights: reference(x, weights)[0]


@keras.saving.register_keras_serializable(package="test_layer_norm_lstm")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layer = LayerNormLSTM(3, return_sequences=True)

    def call(self, x):
        return self.layer(x)


def in_a_subclassed_model(layer):
    return Subclassed(), alone(layer)[1]


def as_a_decoder(layer):
    def expected(x, weights):
        states = reference(x, weights[:7])[1:]
        return reference(x, weights[7:], states)[0]

    x = keras.Input((6, 4))
    _, *states = LayerNormLSTM(3, return_state=True)(x)
    return keras.Model(x, layer(x, initial_state=states)), expected


def in_bidirectional(layer):
    def expected(x, weights):
        ahead, _, _ = reference(x, weights[:7])
        back, _, _ = reference(x[:, ::-1], weights[7:])
        return np.concatenate([ahead, back[:, ::-1]], -1)

    return keras.layers.Bidirectional(layer), expected


def in_time_distributed(layer):
    def expected(x, weights):
        rows = x.reshape(-1, *x.shape[2:])
        return reference(rows, weights)[0].reshape(*x.shape[:-1], -1)

    return keras.layers.TimeDistributed(layer), expected


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        (alone, (None, 4)),
        (in_a_subclassed_model, (6, 4)),
        (as_a_decoder, (6, 4)),
        (in_bidirectional, (6, 4)),
        (in_time_distributed, (3, 6, 4)),
    ],
)
def test_is_right_saved_cloned_and_exported(place, shape, tmp_path):
    layer, expected = place(LayerNormLSTM(3, return_sequences=True))
    model = keras.Sequential([keras.Input(shape), layer])
    weights = [normal(*w.shape, seed=5) for w in model.weights]
    model.set_weights(weights)
    x = normal(2, *(size or 7 for size in shape)).astype("float32")
    y = model.predict(x, verbose=0)
    np.testing.assert_allclose(y, expected(x, weights), rtol=0, atol=1e-5)
    checks.check_saved(model, x, tmp_path)
    clone = keras.models.clone_model(model)
    clone.set_weights(weights)
    np.testing.assert_array_equal(clone.predict(x, verbose=0), y)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(x), y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mc_dropout", [False, True])
def test_drops_in_fit_and_with_mc_dropout_everywhere_else(rate, mc_dropout):
    x, y = np.ones((32, 6, 4), "float32"), np.ones((32, 16), "float32")
    layer = random_layer(16, **{rate: 0.5}, mc_dropout=mc_dropout)
    model = keras.Sequential([keras.Input((6, 4)), layer])
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    calls = [
        lambda: model.fit(x, y, verbose=0).history["loss"],
        lambda: model(x, training=False),
        lambda: model.predict(x, verbose=0),
        lambda: model.evaluate(x, y, verbose=0),
    ]
    differ = [not np.array_equal(call(), call()) for call in calls]
    assert differ == [True] + 3 * [mc_dropout]
    off = kst.predict_deterministic(model, x, verbose=0)
    assert_close(off, reference(x, layer.get_weights())[1])
    options = {"task": "regression", "num_samples": 4, "verbose": 0}
    first, again, other_size, other_seed = (
        kst.predict_uncertainty(model, x, seed=seed, batch_size=size, **options)
        for seed, size in ((1, 32), (1, 32), (1, 5), (2, 32))
    )
    np.testing.assert_array_equal(again.mean, first.mean)
    assert_close(other_size.mean, first.mean)
    assert (other_seed.mean != first.mean).any(-1).all()


def test_call_that_failed_while_traced_does_not_spoil_the_next():
    layer = random_layer(**dict.fromkeys(RATES, 0.5))
    x, activation = normal(2, 6, 4).astype("float32"), layer.cell.activation
    layer.cell.activation = None
    with pytest.raises(TypeError, match="not callable"):
        tf.function(layer, autograph=False)(x, training=True)
    layer.cell.activation = activation
    assert np.isfinite(layer(x, training=True)).all()


def test_refuses_an_input_without_time():
    with pytest.raises(ValueError, match="expected ndim=3"):
        LayerNormLSTM(3)(np.zeros((2, 4), "float32"))
