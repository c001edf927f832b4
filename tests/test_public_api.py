"""What users may import: each name by one path, and at no cost to others."""

import inspect
import subprocess
import sys

import keras
import pytest

import keras_seqtools as kst

ROOMS = [name for name in kst.__all__ if inspect.ismodule(getattr(kst, name))]
PUBLIC = {
    f"{room}.{name}": getattr(getattr(kst, room), name)
    for room in ROOMS
    for name in getattr(kst, room).__all__
} | {name: getattr(kst, name) for name in kst.__all__ if name not in ROOMS}


def test_all_is_sorted_and_complete():
    for module in (kst, *(getattr(kst, room) for room in ROOMS)):
        # Names of capitals alone come first, as in the order of the imports.
        assert module.__all__ == sorted(
            module.__all__, key=lambda name: (not name.isupper(), name)
        )
        public = {
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value))
        }
        assert public <= set(module.__all__)


def test_every_name_has_one_path():
    paths = {}
    for path, value in PUBLIC.items():
        paths.setdefault(id(value), []).append(path)
    assert [found for found in paths.values() if len(found) > 1] == []


def test_the_root_holds_verbs_only():
    for path, value in PUBLIC.items():
        assert "." in path or inspect.isfunction(value)


@pytest.mark.parametrize(
    "cls",
    [
        value
        for value in PUBLIC.values()
        if inspect.isclass(value) and hasattr(value, "get_config")
        # A base without a family of its own is never saved.
        if value is not kst.heads.DistributionHead
    ],
    ids=lambda cls: cls.__name__,
)
def test_classes_are_registered_under_their_own_name(cls):
    name = f"keras_seqtools>{cls.__name__}"
    assert keras.saving.get_registered_object(name) is cls


def test_importing_changes_nothing_and_loads_no_tfp():
    code = """
import logging, os, random, sys, warnings
import keras, numpy, tensorflow
def state():
    return (
        keras.config.floatx(), keras.config.epsilon(),
        keras.config.dtype_policy().name, keras.config.backend(),
        random.getstate(), str(numpy.random.get_state()),
        tensorflow.config.functions_run_eagerly(),
        logging.root.level, list(logging.root.handlers),
        list(warnings.filters), dict(os.environ), list(sys.path),
    )
before, modules = state(), set(sys.modules)
import keras_seqtools
assert state() == before
new = {name.split(".")[0] for name in set(sys.modules) - modules}
loaded = {"keras", "keras_seqtools", "tensorflow"}
assert new <= loaded | sys.stdlib_module_names, new
"""
    subprocess.run([sys.executable, "-c", code], check=True)
