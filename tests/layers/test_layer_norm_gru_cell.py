"""LayerNormGRUCell against known numbers, and its masks one by one."""

import checks
import keras
import numpy as np
import pytest

from keras_seqtools.layers import LayerNormGRUCell
from keras_seqtools.layers._always_on import switched_off

# Two features, two units, three steps.
STEPS = (np.arange(6).reshape(3, 1, 2) / 10 - 0.2).astype("float32")
KERNEL = np.sin(np.arange(12)).reshape(2, 6)
RECURRENT_KERNEL = np.cos(np.arange(12)).reshape(2, 6)
GAMMA = 1 + np.arange(12).reshape(2, 6) / 20
BETA = np.arange(12).reshape(2, 6) / 50
NO_BIAS = np.zeros(6)
BIAS = np.array([0.3, -0.2, 0.1, 0.4, -0.5, 0.2])
KNOWN = [
    # Without the bias: a transcription to PyTorch of the layer of
    # https://github.com/lmnt-com/haste, in float64.
    (
        NO_BIAS,
        [0.0, 0.0],
        [
            [0.3725292762, 0.6964181616],
            [0.1349752464, 0.5684059089],
            [-0.0408197879, 0.4680123411],
        ],
    ),
    (
        NO_BIAS,
        [0.5, -0.25],
        [
            [0.534861723, 0.4424888069],
            [0.2752335655, 0.3274675606],
            [0.0846023012, 0.2360846305],
        ],
    ),
    # With the bias before the norm: a NumPy loop over the equations.
    (
        BIAS,
        [0.0, 0.0],
        [
            [-0.2122763263, 0.7390587146],
            [-0.2708497013, 0.6309777899],
            [-0.3529277088, 0.4770073532],
        ],
    ),
    (
        BIAS,
        [0.5, -0.25],
        [
            [0.4266804296, 0.5287309345],
            [0.3350662619, 0.5159613315],
            [0.2134037605, 0.3553519361],
        ],
    ),
]


def cell_with(weights, **kwargs):
    features, units = len(weights[0]), len(weights[1])
    cell = LayerNormGRUCell(units, **kwargs)
    cell.build((None, features))
    cell.set_weights(weights)
    return cell


def random_weights(features, units):
    shapes = [(features, 3 * units), (units, 3 * units), (3 * units,)]
    shapes += [(2, 3 * units), (2, 3 * units)]
    return [checks.rng(i).normal(size=shape) for i, shape in enumerate(shapes)]


def normal(*shape):
    return checks.rng(9).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("bias", "state", "expected"), KNOWN)
def test_reproduces_the_known_steps(bias, state, expected):
    cell = cell_with([KERNEL, RECURRENT_KERNEL, bias, GAMMA, BETA])
    state = np.array([state], "float32")
    for step, target in zip(STEPS, expected, strict=True):
        output, state = cell(step, state)
        np.testing.assert_allclose(output[0], target, rtol=0, atol=1e-6)


def test_config_rebuilds_the_cell():
    cell = LayerNormGRUCell(
        3,
        activation="relu",
        gamma_initializer="zeros",
        beta_initializer=keras.initializers.Constant(2.0),
        bias_regularizer="l2",
        recurrent_constraint="non_neg",
        dropout=0.1,
        recurrent_dropout=0.2,
        mc_dropout=True,
        epsilon=1e-3,
        seed=4,
    )
    again = checks.check_config(cell)
    again.build((None, 2))
    assert (np.asarray(again.gamma) == 0).all()
    assert (np.asarray(again.beta) == 2).all()
    for name in ("dropout", "recurrent_dropout", "mc_dropout", "epsilon"):
        assert getattr(again, name) == getattr(cell, name)


def test_weights_have_the_documented_shapes_and_starting_values():
    cell = LayerNormGRUCell(4)
    cell.build((None, 3))
    assert {w.name: tuple(w.shape) for w in cell.weights} == {
        "kernel": (3, 12),
        "recurrent_kernel": (4, 12),
        "bias": (12,),
        "gamma": (2, 12),
        "beta": (2, 12),
    }
    assert (np.asarray(cell.bias) == 0).all()
    assert (np.asarray(cell.gamma) == 1).all()
    assert (np.asarray(cell.beta) == 0).all()


def test_state_may_be_a_tensor_or_a_list():
    cell, x, state = LayerNormGRUCell(3), normal(2, 4), normal(2, 3)
    output, new_state = cell(x, state)
    listed_output, listed_state = cell(x, [state])
    np.testing.assert_array_equal(new_state, output)
    np.testing.assert_array_equal(listed_output, output)
    assert isinstance(listed_state, list)
    np.testing.assert_array_equal(listed_state[0], output)


def test_rows_do_not_see_each_other():
    cell, x, state = LayerNormGRUCell(3), normal(5, 4), normal(5, 3)
    together, _ = cell(x, state)
    alone, _ = cell(x[2:3], state[2:3])
    np.testing.assert_allclose(alone[0], together[2], rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "rounding"),
    [("mixed_float16", 2.0**-10), ("mixed_bfloat16", 2.0**-7)],
)
def test_half_precision_keeps_values_whose_square_overflows(dtype, rounding):
    weights = random_weights(4, 3)
    weights[3] = np.ones((2, 9))  # the random gains would magnify rounding
    x, state = 300 * normal(8, 4), normal(8, 3)
    single, _ = cell_with(weights)(x, state)
    half, _ = cell_with(weights, dtype=dtype)(x, state)
    assert np.abs(x @ weights[0]).max(-1).min() > 255  # in every row
    np.testing.assert_allclose(
        np.asarray(half, "float32"), single, rtol=0, atol=10 * rounding
    )


def test_one_feature_keeps_its_size_because_the_bias_is_before_the_norm():
    weights = random_weights(1, 4)
    small, large = np.full((1, 1), 1.0), np.full((1, 1), 10.0)
    state = np.zeros((1, 4))

    def difference(cell):
        return np.abs(cell(small, state)[0] - cell(large, state)[0]).max()

    assert difference(cell_with(weights)) > 0.1
    weights[2] = np.zeros(12)
    assert difference(cell_with(weights)) < 1e-4


def test_masks_act_like_kernels_without_the_dropped_rows():
    """One mask for all gates, and none on the state that z carries over."""
    weights = random_weights(6, 8)
    cell = cell_with(weights, dropout=0.5, recurrent_dropout=0.5, seed=1)
    x, state = normal(1, 6), normal(1, 8)
    masked, _ = cell(x, state, training=True)
    input_mask = np.asarray(cell.get_dropout_mask(x))
    state_mask = np.asarray(cell.get_recurrent_dropout_mask(state))
    assert set(np.unique(input_mask)) == {0.0, 2.0}
    assert set(np.unique(state_mask)) == {0.0, 2.0}
    kernels = [input_mask.T * weights[0], state_mask.T * weights[1]]
    expected, _ = cell_with(kernels + weights[2:])(x, state)
    np.testing.assert_allclose(masked, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_steps_share_a_mask_until_it_is_reset(rate):
    cell = LayerNormGRUCell(64, **{rate: 0.5}, seed=1)
    x, state = normal(2, 64), normal(2, 64)
    first, _ = cell(x, state, training=True)
    second, _ = cell(x, state, training=True)
    np.testing.assert_array_equal(first, second)
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    third, _ = cell(x, state, training=True)
    assert (np.asarray(third) != np.asarray(first)).any()


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_drops_in_training_or_with_mc_dropout_unless_switched_off(rate):
    x, state, weights = normal(2, 8), normal(2, 8), random_weights(8, 8)
    plain, _ = cell_with(weights)(x, state)
    for mc_dropout in (False, True):
        cell = cell_with(weights, **{rate: 0.5}, mc_dropout=mc_dropout)
        inference, _ = cell(x, state)
        training, _ = cell(x, state, training=True)
        assert (np.asarray(training) != np.asarray(plain)).any()
        assert (np.asarray(inference) != np.asarray(plain)).any() == mc_dropout
        with switched_off():
            np.testing.assert_array_equal(cell(x, state)[0], plain)


@pytest.mark.parametrize("units", [0, -2, 1.5, "3", None, True])
def test_refuses_units_that_are_no_positive_integer(units):
    with pytest.raises(ValueError, match=r"`units`.*Received: units="):
        LayerNormGRUCell(units)


@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, "half", None, True])
def test_refuses_a_rate_outside_0_to_1(name, rate):
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        LayerNormGRUCell(3, **{name: rate})


@pytest.mark.parametrize("epsilon", [0.0, -1e-5, float("nan")])
def test_refuses_an_epsilon_that_is_not_positive(epsilon):
    with pytest.raises(ValueError, match=r"`epsilon`.*Received: epsilon="):
        LayerNormGRUCell(3, epsilon=epsilon)


@pytest.mark.parametrize("name", ["use_bias", "reset_after"])
def test_refuses_what_only_the_plain_gru_can_choose(name):
    with pytest.raises(TypeError, match=name):
        LayerNormGRUCell(3, **{name: False})
