"""Docstrings tell the truth: examples run, defaults are the signature's."""

import doctest
import importlib
import inspect
import pkgutil
import re

import keras
import numpy as np
import pytest
import test_public_api

import keras_seqtools as kst

MODULES = [
    module.name
    for module in pkgutil.walk_packages(kst.__path__, "keras_seqtools.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    result = doctest.testmod(
        importlib.import_module(name),
        extraglobs={"keras": keras, "kst": kst, "np": np},
    )
    assert result.failed == 0


CALLABLES = pytest.mark.parametrize(
    ("path", "value"),
    [(p, v) for p, v in test_public_api.PUBLIC.items() if callable(v)],
)


@CALLABLES
def test_public_names_have_a_docstring_with_an_example(path, value):
    text = inspect.getdoc(value)
    if not path.startswith("uncertainty.") or inspect.isfunction(value):
        assert ">>>" in text
    assert "kst." in text or "Attributes:" in text


@CALLABLES
def test_arguments_and_their_defaults(path, value):
    text = inspect.getdoc(value)
    if "Args:" not in text:
        return
    arguments = text.split("Args:\n")[1].split("\n\n")[0]
    entries = dict(
        re.findall(
            r"^    \*{0,2}(\w+): (.*?)(?=^    \*{0,2}\w+:|\Z)",
            arguments + "\n",
            flags=re.MULTILINE | re.DOTALL,
        )
    )
    parameters = inspect.signature(
        value.__init__ if inspect.isclass(value) else value
    ).parameters
    expected = [name for name in parameters if name != "self"]
    if "Further arguments of `DistributionHead`" in entries.get("kwargs", ""):
        expected = [name for name in expected if name in entries]
    assert list(entries) == expected
    for name, entry in entries.items():
        default = (
            parameters[name].default if name in parameters else inspect._empty
        )
        stated = re.search(r"Defaults\s+to\s+`([^`]+)`", entry)
        if default is inspect.Parameter.empty:
            assert stated is None, name
        else:
            assert stated is not None, name
            assert eval(stated[1]) == default, name
