"""Every argument of a normalised recurrent layer or cell comes back."""

import inspect

import checks
import pytest

import keras_seqtools as kst

VALUES = {
    "units": 3,
    "activation": "relu",
    "initializer": "he_normal",
    "regularizer": "l1",
    "constraint": "non_neg",
    "dropout": 0.1,
    "epsilon": 1e-3,
    "seed": 7,
}


def other_than_default(parameter):
    if isinstance(parameter.default, bool):
        return not parameter.default
    return VALUES[parameter.name.split("_")[-1]]


@pytest.mark.parametrize(
    "name",
    ["LayerNormGRU", "LayerNormGRUCell", "LayerNormLSTM", "LayerNormLSTMCell"],
)
def test_config_is_flat_and_keeps_every_argument(name):
    thing = getattr(kst.layers, name)
    *parameters, _ = inspect.signature(thing).parameters.values()
    arguments = {p.name: other_than_default(p) for p in parameters}
    arguments |= {"name": "memory", "dtype": "float16"}
    if not name.endswith("Cell"):
        arguments |= {"zero_output_for_mask": True}
    config = checks.check_config(thing(**arguments)).get_config()
    default = thing(4).get_config()
    assert "cell" not in config
    for argument in arguments:
        assert config[argument] != default.get(argument)
