"""Every argument of a normalised recurrent layer or cell comes back."""

import inspect

import checks
import numpy as np
import pytest
import tensorflow as tf

import keras_seqtools as kst

VALUES = {
    "units": 3,
    "activation": "relu",
    "recurrent_activation": "hard_sigmoid",
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_normal",
    "bias_initializer": "ones",
    "gamma_initializer": "zeros",
    "beta_initializer": "he_uniform",
    "dropout": 0.1,
    "recurrent_dropout": 0.2,
    "epsilon": 1e-3,
    "seed": 7,
}
LAST_WORDS = {"regularizer": "l1", "constraint": "non_neg"}


def other_than_default(parameter):
    if isinstance(parameter.default, bool):
        return not parameter.default
    last_word = parameter.name.split("_")[-1]
    return VALUES.get(parameter.name) or LAST_WORDS[last_word]


BOTH = pytest.mark.parametrize(
    "layer_class", [kst.layers.LayerNormGRU, kst.layers.LayerNormLSTM]
)


@BOTH
@pytest.mark.parametrize("shape", [(2, 1), (2, 4), (5,), (2, 5, 2)])
def test_refuses_a_mask_that_does_not_fit(layer_class, shape):
    with pytest.raises(ValueError, match=r"`mask`.* \(2, 5\)"):
        layer_class(3)(np.ones((2, 5, 2)), mask=np.ones(shape, bool))


@BOTH
def test_takes_a_mask_with_a_last_axis_of_1(layer_class):
    layer, x = layer_class(3), checks.rng().normal(size=(2, 5, 2))
    mask = np.arange(5) < np.array([[2], [5]])
    x[~mask] = np.nan
    y = layer(x, mask=mask)
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(layer(x, mask=mask[..., None]), y)


@BOTH
@pytest.mark.parametrize("epsilon", [None, True, "1e-5"])
def test_refuses_an_epsilon_that_is_no_number(layer_class, epsilon):
    with pytest.raises(ValueError, match="a positive number"):
        layer_class(3, epsilon=epsilon)


@pytest.mark.parametrize("unroll", [False, True])
def test_refuses_a_state_of_other_units(unroll):
    layer = kst.layers.LayerNormGRU(3, unroll=unroll)
    with pytest.raises(tf.errors.InvalidArgumentError, match="size"):
        layer(np.ones((2, 5, 2)), initial_state=np.ones((2, 1), "float32"))


def named(value):
    """What a configuration says of an initializer or the like."""
    name = value["class_name"] if isinstance(value, dict) else value
    return name.lower().replace("_", "") if isinstance(name, str) else name


@pytest.mark.parametrize(
    "name",
    ["LayerNormGRU", "LayerNormGRUCell", "LayerNormLSTM", "LayerNormLSTMCell"],
)
def test_config_is_flat_and_keeps_every_argument(name):
    thing = getattr(kst.layers, name)
    *parameters, _ = inspect.signature(thing).parameters.values()
    arguments = {p.name: other_than_default(p) for p in parameters}
    if not name.endswith("Cell"):
        arguments |= {"zero_output_for_mask": True}
    made = thing(**arguments, name="memory", dtype="float16")
    config = checks.check_config(made).get_config()
    default = thing(4).get_config()
    assert "cell" not in config
    assert config["name"] == "memory"
    assert config["dtype"] != default["dtype"]
    for argument, value in arguments.items():
        assert named(config[argument]) == named(value)
        assert config[argument] != default.get(argument)
