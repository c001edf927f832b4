"""LayerNormLSTMCell against published numbers and laws, and its masks."""

import checks
import keras
import numpy as np
import pytest

from keras_seqtools.layers import LayerNormLSTM
from keras_seqtools.layers import LayerNormLSTMCell
from keras_seqtools.layers._always_on import switched_off

RATES = ["dropout", "recurrent_dropout"]
# Two features, two units, three steps.
STEPS = (np.arange(6).reshape(3, 1, 2) / 10 - 0.2).astype("float32")
WEIGHTS = [
    np.sin(np.arange(16)).reshape(2, 8),
    np.cos(np.arange(16)).reshape(2, 8),
    np.zeros(8),
    1 + np.arange(16).reshape(2, 8) / 20,
    np.arange(16).reshape(2, 8) / 50,
    np.array([1.1, 0.9]),
    np.array([0.2, -0.1]),
]
# Of `h` and `c`, by the equations of the TensorFlow cell of
# https://github.com/lmnt-com/haste, in float64, its gates reordered.
KNOWN = [
    (
        [[0.0, 0.0], [0.0, 0.0]],
        [
            [[0.4934637482, -0.1929238796], [0.4157214779, 0.2431070524]],
            [[-0.6908773272, 0.6355444414], [-0.8550483304, 0.1768994146]],
            [[-0.4330554807, 0.3179442123], [-0.0245252096, 0.4233633524]],
        ],
    ),
    (
        [[0.5, -0.25], [0.1, 0.4]],
        [
            [[-0.5951106967, 0.4504846636], [-0.098432849, 0.5463156137]],
            [[-0.5001741989, 0.2375436283], [0.4534684816, 0.602008341]],
            [[-0.3553562643, 0.3386604603], [0.5828734056, 0.6186822892]],
        ],
    ),
]


def cell_with(weights, **kwargs):
    features, units = len(weights[0]), len(weights[1])
    cell = LayerNormLSTMCell(units, **kwargs)
    cell.build((None, features))
    cell.set_weights(weights)
    return cell


def random_weights(features, units):
    gates = 4 * units
    shapes = [(features, gates), (units, gates), (gates,)]
    shapes += [(2, gates), (2, gates), (units,), (units,)]
    return [checks.rng(i).normal(size=shape) for i, shape in enumerate(shapes)]


def normal(*shape, seed=9):
    return checks.rng(seed).normal(size=shape).astype("float32")


def last_states(cell, steps, states):
    for step in steps:
        _, states = cell(step, states)
    return [np.asarray(state) for state in states]


@pytest.mark.parametrize(("states", "expected"), KNOWN)
def test_reproduces_the_known_steps(states, expected):
    cell = cell_with(WEIGHTS)
    states = list(np.array(states, "float32")[:, None])
    for step, (h, c) in zip(STEPS, expected, strict=True):
        output, states = cell(step, states)
        np.testing.assert_array_equal(output, states[0])
        np.testing.assert_allclose(states[0][0], h, rtol=0, atol=1e-6)
        np.testing.assert_allclose(states[1][0], c, rtol=0, atol=1e-6)


@pytest.mark.parametrize("features", [2, 3])
def test_reproduces_the_output_that_tensorflow_addons_tests_for(features):
    """`tensorflow_addons/rnn/tests/layer_norm_lstm_cell_test.py`."""
    cell = LayerNormLSTMCell(
        2,
        kernel_initializer=keras.initializers.Constant(0.5),
        recurrent_initializer=keras.initializers.Constant(0.5),
        beta_initializer=keras.initializers.Constant(0.25),  # twice
        epsilon=1e-12,
    )
    cell.build((None, features))
    cell.cell_beta.assign(np.zeros(2))
    h, c = np.array([[[0.2, 0.3]], [[0.0, 0.1]]], "float32")
    output, _ = cell(np.ones((1, features), "float32"), [h, c])
    expected = [[-0.47406167, 0.47406143]]
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-6)


def test_gates_that_are_offsets_alone_give_a_geometric_sum():
    weights = random_weights(3, 4)
    weights[3] = np.zeros((2, 16))
    states, steps = normal(2, 5, 4), normal(7, 5, 3)
    h, c = last_states(cell_with(weights, dtype="float64"), steps, states)
    i, f, g, o = np.split(weights[4].sum(0), 4)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    total = f**7 * states[1] + i * np.tanh(g) * (1 - f**7) / (1 - f)
    np.testing.assert_allclose(c, total, rtol=0, atol=1e-12)
    norm = (total - total.mean(-1, keepdims=True)) / np.sqrt(
        total.var(-1, keepdims=True) + 1e-5
    )
    expected = o * np.tanh(weights[5] * norm + weights[6])
    np.testing.assert_allclose(h, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("changed", ["input", "state"])
def test_does_not_change_with_scale_and_centre_of_the_weights(changed):
    """Table 1 of Ba et al.; the bias is a weight of an input of 1."""
    weights, places = random_weights(3, 4), {"input": (0, 2), "state": (1,)}
    states, steps = normal(2, 5, 4), normal(7, 5, 3)
    options = {"dtype": "float64", "epsilon": 1e-30}
    expected = last_states(cell_with(weights, **options), steps, states)
    for place in places[changed]:
        centre = normal(*weights[place].shape[:-1], 1, seed=1)
        weights[place] = 7 * weights[place] + centre
    found = last_states(cell_with(weights, **options), steps, states)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    weights[places[changed][0]][:, 0] *= -1
    found = last_states(cell_with(weights, **options), steps, states)
    assert np.abs(np.subtract(found, expected)).max() > 0.1


def test_one_feature_keeps_its_size_because_the_bias_is_before_the_norm():
    weights, states = random_weights(1, 4), np.zeros((2, 1, 4))

    def difference(cell):
        small, large = np.full((1, 1), 1.0), np.full((1, 1), 10.0)
        return np.abs(cell(small, states)[0] - cell(large, states)[0]).max()

    assert difference(cell_with(weights)) > 0.1
    weights[2] = np.zeros(16)
    assert difference(cell_with(weights)) < 1e-4


@pytest.mark.parametrize("unit_forget_bias", [True, False])
@pytest.mark.parametrize("start", [0.0, 3.0])
def test_weights_have_the_documented_shapes_and_starting_values(
    unit_forget_bias, start
):
    cell = LayerNormLSTMCell(
        4,
        gamma_initializer=keras.initializers.Constant(start + 1),
        beta_initializer=keras.initializers.Constant(start),
        unit_forget_bias=unit_forget_bias,
    )
    cell.build((None, 3))
    assert {w.name: tuple(w.shape) for w in cell.weights} == {
        "kernel": (3, 16),
        "recurrent_kernel": (4, 16),
        "bias": (16,),
        "gamma": (2, 16),
        "beta": (2, 16),
        "cell_gamma": (4,),
        "cell_beta": (4,),
    }
    beta = np.full((2, 16), start)
    beta[0, 4:8] = 1.0 if unit_forget_bias else start
    np.testing.assert_array_equal(cell.beta, beta)
    assert (np.asarray(cell.cell_beta) == start).all()
    assert (np.asarray(cell.bias) == 0).all()
    assert (np.asarray(cell.gamma) == start + 1).all()
    assert (np.asarray(cell.cell_gamma) == start + 1).all()
    plain = LayerNormLSTMCell(4)
    plain.build((None, 3))
    assert (np.asarray(plain.gamma) == 1).all()
    assert (np.asarray(plain.beta)[1] == 0).all()


@pytest.mark.parametrize(
    ("dtype", "rounding"),
    [("mixed_float16", 2.0**-10), ("mixed_bfloat16", 2.0**-7)],
)
def test_half_precision_keeps_values_whose_square_overflows(dtype, rounding):
    weights = random_weights(4, 8)
    weights[3] = np.ones((2, 32))  # the random gains would magnify rounding
    x, h, c = 300 * normal(8, 4), normal(8, 8), 900 * normal(8, 8, seed=2)
    single, (_, total) = cell_with(weights)(x, [h, c])
    half, _ = cell_with(weights, dtype=dtype)(x, [h, c])
    assert np.abs(x @ weights[0]).max(-1).min() > 255  # in every row
    assert np.abs(total).max(-1).min() > 255
    np.testing.assert_allclose(
        np.asarray(half, "float32"), single, rtol=0, atol=10 * rounding
    )


def test_masks_act_like_kernels_without_the_dropped_rows():
    """One mask for all gates, and none on the cell state."""
    weights = random_weights(6, 8)
    cell = cell_with(weights, dropout=0.5, recurrent_dropout=0.5, seed=1)
    x, states = normal(1, 6), normal(2, 1, 8)
    masked = last_states(lambda *a: cell(*a, training=True), [x], states)
    input_mask = np.asarray(cell.get_dropout_mask(x))
    state_mask = np.asarray(cell.get_recurrent_dropout_mask(states[0]))
    assert set(np.unique(input_mask)) == {0.0, 2.0}
    assert set(np.unique(state_mask)) == {0.0, 2.0}
    kernels = [input_mask.T * weights[0], state_mask.T * weights[1]]
    expected = last_states(cell_with(kernels + weights[2:]), [x], states)
    np.testing.assert_allclose(masked, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_steps_share_a_mask_until_it_is_reset(rate):
    cell = LayerNormLSTMCell(64, **{rate: 0.5}, seed=1)
    x, states = normal(2, 64), normal(2, 2, 64)
    first, _ = cell(x, states, training=True)
    second, _ = cell(x, states, training=True)
    np.testing.assert_array_equal(first, second)
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    third, _ = cell(x, states, training=True)
    assert (np.asarray(third) != np.asarray(first)).any()


@pytest.mark.parametrize("rate", RATES)
def test_drops_in_training_or_with_mc_dropout_unless_switched_off(rate):
    x, states, weights = normal(2, 8), normal(2, 2, 8), random_weights(8, 8)
    plain, _ = cell_with(weights)(x, states)
    for mc_dropout in (False, True):
        cell = cell_with(weights, **{rate: 0.5}, mc_dropout=mc_dropout)
        inference, _ = cell(x, states)
        training, _ = cell(x, states, training=True)
        assert (np.asarray(training) != np.asarray(plain)).any()
        assert (np.asarray(inference) != np.asarray(plain)).any() == mc_dropout
        with switched_off():
            np.testing.assert_array_equal(cell(x, states)[0], plain)


@pytest.mark.parametrize("training", [False, True])
def test_stacked_cells_equal_a_loop_over_them_and_are_saved(training, tmp_path):
    def make_cells():
        options = {"gamma_initializer": "he_normal", "epsilon": 0.1}
        options |= {"unit_forget_bias": False, **dict.fromkeys(RATES, 0.3)}
        return [LayerNormLSTMCell(u, seed=u, **options) for u in (8, 5)]

    stack = keras.layers.RNN(make_cells(), return_sequences=True)
    model, x = keras.Sequential([keras.Input((6, 4)), stack]), normal(2, 6, 4)
    found, (lower, upper) = model(x, training=training), make_cells()
    below, above = np.zeros((2, 2, 8)), np.zeros((2, 2, 5))
    lower.build((2, 4))
    upper.build((2, 8))
    lower.set_weights(model.get_weights()[:7])
    upper.set_weights(model.get_weights()[7:])
    for step in range(6):
        y, below = lower(x[:, step], below, training=training)
        y, above = upper(y, above, training=training)
        np.testing.assert_allclose(y, found[:, step], rtol=0, atol=1e-6)
    checks.check_saved(model, x, tmp_path)


@pytest.mark.parametrize("units", [0, -2, 1.5, "3", None, True])
def test_refuses_units_that_are_no_positive_integer(units):
    with pytest.raises(ValueError, match=r"`units`.*Received: units="):
        LayerNormLSTMCell(units)


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, "half", None, True])
def test_refuses_a_rate_outside_0_to_1(name, rate):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        LayerNormLSTMCell(3, **{name: rate})


@pytest.mark.parametrize("epsilon", [0.0, -1e-5, float("nan")])
def test_refuses_an_epsilon_that_is_not_positive(epsilon):
    with pytest.raises(ValueError, match=r"`epsilon`.*Received: epsilon="):
        LayerNormLSTMCell(3, epsilon=epsilon)


@pytest.mark.parametrize("cls", [LayerNormLSTMCell, LayerNormLSTM])
@pytest.mark.parametrize("name", ["use_bias", "implementation", "use_cudnn"])
def test_refuses_what_only_the_plain_lstm_can_choose(cls, name):
    with pytest.raises((TypeError, ValueError), match=name):
        cls(3, **{name: 1})
