"""Imports run one way, from foundations to what stands on them."""

import ast
import pathlib

import pytest

import keras_seqtools

ROOT = pathlib.Path(keras_seqtools.__file__).parent
# What each room may import besides itself.
FOUNDATIONS = {"_validation", "_keras_internals"}
MAY_IMPORT = {
    "_validation": set(),
    "_keras_internals": set(),
    "layers": FOUNDATIONS,
    "heads": FOUNDATIONS | {"layers"},
    "losses": FOUNDATIONS | {"heads"},
    "metrics": FOUNDATIONS | {"heads"},
    "calibration": FOUNDATIONS | {"heads", "metrics"},
    "uncertainty": FOUNDATIONS | {"heads", "layers", "metrics"},
    "forecasting": FOUNDATIONS | {"heads", "layers", "metrics", "uncertainty"},
    "models": FOUNDATIONS | {"uncertainty"},
    "plots": FOUNDATIONS | {"heads", "metrics"},
}


def imported(path):
    """Dotted names of all that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)
FILES += [ROOT / "_validation.py", ROOT / "_keras_internals.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] != "tf_keras"
        is_private = name.startswith("keras.src")
        assert path.name == "_keras_internals.py" or not is_private
        if parts[0] == "keras_seqtools":
            assert parts[1] in MAY_IMPORT[room] | {room}, name


def test_every_room_has_its_rule():
    assert {path.parent.name for path in FILES} - {ROOT.name} == set(
        MAY_IMPORT
    ) - FOUNDATIONS


def test_tfp_and_matplotlib_are_imported_only_inside_functions():
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "tensorflow_probability" not in ast.unparse(node)
                assert "matplotlib" not in ast.unparse(node)


# TFP's own, in TensorFlow, and what replaces a loop of Keras on TensorFlow.
MAY_USE_TENSORFLOW = {
    "_binomial.py",
    "_layer_norm_gru_core.py",
    "_marginal_fit.py",
    "_special.py",
    "selective.py",
}


def test_layers_heads_losses_and_metrics_need_no_tensorflow_of_their_own():
    for room in ("layers", "heads", "losses", "metrics"):
        for path in (ROOT / room).glob("*.py"):
            names = {name.split(".")[0] for name in imported(path)}
            may_use = path.name in MAY_USE_TENSORFLOW
            assert may_use or "tensorflow" not in names, path
