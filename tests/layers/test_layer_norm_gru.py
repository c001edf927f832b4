"""LayerNormGRU against a float64 NumPy loop, and the masks of its dropout."""

import contextlib

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seqtools.layers import LayerNormGRU
from keras_seqtools.layers import LayerNormGRUCell
from keras_seqtools.layers._always_on import switched_off

RATES = ["dropout", "recurrent_dropout"]
MASKS = {
    "none": None,
    "leading": [[0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],
    "trailing": [[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]],
}


def reference(x, weights, state, mask=None, epsilon=1e-5):
    """Outputs and final state, from the equations, in float64."""
    kernel, recurrent_kernel, bias, gamma, beta = weights

    def normalize(y, row):
        centred = y - y.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        y = centred / np.sqrt(variance + epsilon)
        return np.split(gamma[row] * y + beta[row], 3, axis=-1)

    def sigmoid(y):
        return 1 / (1 + np.exp(-y))

    output, outputs = np.zeros_like(state), []
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    for step, counts in zip(x.swapaxes(0, 1), mask.T, strict=True):
        x_z, x_r, x_h = normalize(step @ kernel + bias, 0)
        y_z, y_r, y_h = normalize(state @ recurrent_kernel, 1)
        z, r = sigmoid(x_z + y_z), sigmoid(x_r + y_r)
        new = z * state + (1 - z) * np.tanh(x_h + r * y_h)
        state = np.where(counts[:, None], new, state)
        output = np.where(counts[:, None], new, output)
        outputs.append(output)
    return np.stack(outputs, 1), state


def normal(*shape, seed=0):
    return checks.rng(seed).normal(size=shape)


def with_random_weights(layer, features):
    layer.build((None, None, features))
    layer.set_weights([normal(*w.shape, seed=5) for w in layer.weights])
    return layer


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"return_sequences": True, "go_backwards": True, "unroll": True},
        {"dropout": 0.2, "recurrent_dropout": 0.3, "seed": 1},
        {"recurrent_dropout": 0.3, "seed": 1, "mc_dropout": True},
        {"activation": "relu", "activity_regularizer": "l2"},
        {"kernel_regularizer": "l2", "bias_constraint": "max_norm"},
    ],
)
def test_contract(config, tmp_path):
    checks.check_layer(
        lambda **kwargs: LayerNormGRU(5, **config, **kwargs),
        (6, 4),
        tmp_path,
        random="seed" in config,
    )


def test_layer_made_untrainable_is_frozen_in_a_model():
    layer = LayerNormGRU(3, trainable=False)
    model = keras.Sequential([keras.Input((6, 4)), layer])
    assert model.trainable_weights == []
    layer.trainable = True
    assert len(model.trainable_weights) == 5


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
def test_equals_the_numpy_loop(mask, given_state, go_backwards, unroll):
    layer = LayerNormGRU(
        5,
        return_sequences=True,
        return_state=True,
        go_backwards=go_backwards,
        unroll=unroll,
        dtype="float64",
    )
    with_random_weights(layer, 4)
    x = normal(3, 6, 4)
    mask = None if MASKS[mask] is None else np.array(MASKS[mask], bool)
    state = normal(3, 5, seed=1) if given_state else np.zeros((3, 5))
    outputs, last = layer(
        x, mask=mask, initial_state=[state] if given_state else None
    )
    if go_backwards:
        x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
    expected, expected_last = reference(x, layer.get_weights(), state, mask)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(last, expected_last, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer_class", [keras.layers.GRU, LayerNormGRU])
def test_masked_steps_repeat_the_last_output_as_in_keras(layer_class):
    layer = layer_class(5, return_sequences=True)
    mask = np.array(MASKS["leading"] + MASKS["trailing"] + MASKS["holes"], bool)
    x, state = normal(9, 6, 4), normal(9, 5, seed=1)
    y = np.asarray(layer(x, mask=mask, initial_state=state))
    previous = np.concatenate([np.zeros((9, 1, 5)), y[:, :-1]], axis=1)
    np.testing.assert_array_equal(y[~mask], previous[~mask])
    assert (y[mask] != previous[mask]).all()


def test_gradients_of_all_weights_equal_differences_of_the_numpy_loop():
    layer = LayerNormGRU(5, return_sequences=True, dtype="float64")
    with_random_weights(layer, 4)
    x, state, step = normal(3, 6, 4), normal(3, 5, seed=1), 1e-6
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(layer(x, initial_state=state) ** 2)
    gradients = tape.gradient(loss, [w.value for w in layer.weights])
    for i, gradient in enumerate(gradients):
        direction = normal(*gradient.shape, seed=6)

        def loss_after(distance, i=i, direction=direction):
            moved = layer.get_weights()
            moved[i] += distance * direction
            return (reference(x, moved, state)[0] ** 2).sum()

        slope = (loss_after(step) - loss_after(-step)) / (2 * step)
        claimed = np.sum(gradient * direction)
        np.testing.assert_allclose(claimed, slope, rtol=1e-6)


def test_two_halves_with_state_equal_the_whole():
    x = normal(2, 8, 4).astype("float32")
    layer = LayerNormGRU(3, stateful=True, return_sequences=True)
    whole = layer(x)
    layer.reset_state()
    halves = [layer(x[:, :4]), layer(x[:, 4:])]
    np.testing.assert_allclose(np.concatenate(halves, 1), whole, atol=1e-6)
    layer.reset_state()
    np.testing.assert_allclose(layer(x), whole, atol=1e-6)


def test_time_may_be_unknown():
    layer = LayerNormGRU(3, return_sequences=True)
    model = keras.Sequential([keras.Input((None, 4)), layer])
    for time in (2, 7):
        x = normal(2, time, 4).astype("float32")
        expected, _ = reference(x, layer.get_weights(), np.zeros((2, 3)))
        y = model.predict(x, verbose=0)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("return_sequences", [False, True])
def test_bidirectional_reads_both_ways_and_is_saved(return_sequences, tmp_path):
    both = keras.layers.Bidirectional(
        LayerNormGRU(3, return_sequences=return_sequences)
    )
    model = keras.Sequential([keras.Input((6, 4)), both])
    x, state = normal(2, 6, 4).astype("float32"), np.zeros((2, 3))
    ahead, ahead_last = reference(x, both.forward_layer.get_weights(), state)
    back, back_last = reference(
        x[:, ::-1], both.backward_layer.get_weights(), state
    )
    if return_sequences:
        expected = np.concatenate([ahead, back[:, ::-1]], -1)
    else:
        expected = np.concatenate([ahead_last, back_last], -1)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), expected, rtol=0, atol=1e-5
    )
    checks.check_saved(model, x, tmp_path)


def test_stacked_cells_equal_stacked_layers_and_are_saved(tmp_path):
    stack = keras.layers.RNN([LayerNormGRUCell(5), LayerNormGRUCell(3)])
    model = keras.Sequential([keras.Input((6, 4)), stack])
    x, state = normal(2, 6, 4).astype("float32"), np.zeros((2, 5))
    first, second = stack.cell.cells
    lower, _ = reference(x, first.get_weights(), state)
    _, expected = reference(lower, second.get_weights(), state[:, :3])
    np.testing.assert_allclose(
        model.predict(x, verbose=0), expected, rtol=0, atol=1e-5
    )
    checks.check_saved(model, x, tmp_path)


def revealing_layer(shown, size=48, **kwargs):
    """A layer whose output exceeds 1/2 exactly where a unit was kept.

    z is 0, so no output remembers a mask of an earlier step, and r is 1. The
    candidate is the sigmoid of a tenth of the normalised kept values, all of
    them positive: above their mean, so above 1/2, where kept, below where
    dropped. `shown` says whether the values are the input or the state.
    """
    layer = LayerNormGRU(
        size, activation="sigmoid", return_sequences=True, **kwargs
    )
    layer.build((None, None, size))
    to_candidate = np.eye(size, 3 * size, 2 * size)
    gamma, beta = np.zeros((2, 3 * size)), np.zeros((2, 3 * size))
    gamma[RATES.index(shown)] = 0.1
    beta[0, :size], beta[0, size : 2 * size] = -50.0, 50.0
    bias = np.zeros(3 * size)
    layer.set_weights([to_candidate, to_candidate, bias, gamma, beta])
    return layer


def kept(layer, batch=3, time=7, **kwargs):
    size = layer.cell.units
    x, state = np.ones((batch, time, size)), np.ones((batch, size))
    return np.asarray(layer(x, initial_state=state, **kwargs)) > 0.5


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("unroll", [False, True])
def test_output_shows_one_mask_per_sequence_and_call_tied_over_time(
    rate, unroll
):
    layer = revealing_layer(rate, **{rate: 0.5}, unroll=unroll, seed=1)
    first = kept(layer, training=True)
    second = kept(layer, training=True)
    assert (first == first[:, :1]).all()
    assert (first[0] != first[1]).any()
    assert (first != second).any()


@pytest.mark.parametrize("rate", RATES)
def test_output_shows_a_mask_that_changes_between_steps(rate):
    """The layer above would show it if a mask were drawn at every step."""
    layer, masks = revealing_layer(rate, unroll=True), []

    def get_mask(tensor):
        masks.append(checks.rng(len(masks)).random(tensor.shape) < 0.5)
        return masks[-1].astype("float32")

    setattr(layer.cell, rate, 0.5)
    setattr(layer.cell, f"get_{rate}_mask", get_mask)
    shown = kept(layer, time=4, training=True)
    np.testing.assert_array_equal(shown, np.stack(masks[-4:], axis=1))


@pytest.mark.parametrize("rate", RATES)
def test_share_of_kept_units_is_1_minus_the_rate(rate):
    layer = revealing_layer(rate, **{rate: 0.3}, seed=1)
    shown = kept(layer, batch=500, time=2, training=True)[:, 0]
    sd = np.sqrt(0.3 * 0.7 / shown.size)
    assert abs(shown.mean() - 0.7) < 5 * sd


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shown", RATES)
def test_each_rate_drops_only_its_own(rate, shown):
    layer = revealing_layer(shown, **{rate: 0.5}, seed=1)
    assert kept(layer, training=True).all() == (rate != shown)


def test_stacked_cells_tie_their_masks_over_time():
    cell = revealing_layer("dropout", dropout=0.5, seed=1).cell
    stack = keras.layers.RNN(
        [keras.layers.SimpleRNNCell(48, activation="sigmoid"), cell],
        return_sequences=True,
    )
    shown = np.asarray(stack(np.zeros((2, 5, 4)), training=True)) > 0.5
    assert (shown == shown[:, :1]).all()
    assert (shown[0] != shown[1]).any()


def sequence_model(**kwargs):
    return keras.Sequential([keras.Input((6, 4)), LayerNormGRU(16, **kwargs)])


@pytest.mark.parametrize("rate", RATES)
def test_mc_dropout_samples_in_fit_evaluate_predict_and_plain_calls(rate):
    x, y = np.ones((32, 6, 4), "float32"), np.ones((32, 16), "float32")
    model = sequence_model(**{rate: 0.5}, mc_dropout=True)
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    calls = [
        lambda: model(x),
        lambda: model(x, training=False),
        lambda: model.predict(x, verbose=0),
        lambda: model.evaluate(x, y, verbose=0),
        lambda: model.fit(x, y, verbose=0).history["loss"],
    ]
    for call in calls:
        assert (np.asarray(call()) != np.asarray(call())).any()


@pytest.mark.parametrize("mc_dropout", [False, True])
def test_no_mask_acts_when_off(mc_dropout):
    x = normal(3, 6, 4).astype("float32")
    model = sequence_model(
        dropout=0.5, recurrent_dropout=0.5, mc_dropout=mc_dropout
    )
    plain = sequence_model()
    plain.set_weights(model.get_weights())
    expected = plain.predict(x, verbose=0)
    with switched_off() if mc_dropout else contextlib.nullcontext():
        y = model.predict(x, verbose=0)
    np.testing.assert_array_equal(y, expected)


def test_seed_state_in_a_stateless_scope_fixes_the_masks():
    layer = LayerNormGRU(16, dropout=0.5, recurrent_dropout=0.5)
    x = normal(3, 6, 4).astype("float32")
    layer.build(x.shape)
    state = layer.cell.seed_generator.state
    before = np.asarray(state)

    def sample(seed):
        value = keras.ops.convert_to_tensor([seed, 0], state.dtype)
        with keras.StatelessScope(state_mapping=[(state, value)]):
            return np.asarray(layer(x, training=True))

    np.testing.assert_array_equal(sample(1), sample(1))
    assert (sample(1) != sample(2)).any()
    np.testing.assert_array_equal(state, before)


def test_call_that_failed_while_traced_does_not_spoil_the_next():
    layer = LayerNormGRU(3, dropout=0.5, recurrent_dropout=0.5)
    x = normal(2, 6, 4).astype("float32")
    layer.build(x.shape)
    activation = layer.cell.activation

    def fail(_):
        raise ArithmeticError

    layer.cell.activation = fail
    with pytest.raises(ArithmeticError):
        tf.function(layer, autograph=False)(x, training=True)
    layer.cell.activation = activation
    assert np.isfinite(layer(x, training=True)).all()


def test_refuses_an_input_without_time():
    with pytest.raises(ValueError, match="expected ndim=3"):
        LayerNormGRU(3)(np.zeros((2, 4), "float32"))


@pytest.mark.parametrize("name", ["use_bias", "reset_after", "use_cudnn"])
def test_refuses_what_only_the_plain_gru_can_choose(name):
    with pytest.raises(ValueError, match=name):
        LayerNormGRU(3, **{name: True})
