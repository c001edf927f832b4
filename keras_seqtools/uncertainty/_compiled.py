"""What is compiled for a model, kept for as long as the model lives."""

import weakref
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seqtools._keras_internals import compilation
from keras_seqtools._keras_internals import flatten_layers

_kept: Any = weakref.WeakKeyDictionary()


class Compiled:
    """A function of tensors, traced once for any number of rows.

    Args:
        function: To be compiled.
        any_rows: Whether the number of rows is left open.
        any_size: Whether the size of another axis is left open once it turns
            out to vary, at one trace more.
        jit_compile: Whether to compile by XLA.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        any_rows: bool = True,
        any_size: bool = True,
        jit_compile: bool = False,
    ) -> None:
        self.compiled = tf.function(
            function, jit_compile=jit_compile, autograph=False
        )
        self.any_rows = any_rows
        self.any_size = any_size
        self.traced: tuple[Any, Any] | None = None

    def __call__(self, *args: Any) -> Any:
        specs = tf.nest.map_structure(self._spec, args)
        traced = self.traced
        if traced is None or not _is_within(specs, traced[0]):
            if traced is not None and self.any_size:
                specs = _common(specs, traced[0])
            traced = specs, self.compiled.get_concrete_function(*specs)
            self.traced = traced
        return traced[1](*args)

    def _spec(self, tensor: Any) -> Any:
        shape = list(tensor.shape)
        if shape and self.any_rows:
            shape[0] = None
        return tf.TensorSpec(shape, tensor.dtype)


def compiled_for(
    models: Sequence[keras.Model],
    key: Hashable,
    make: Callable[[Sequence[keras.Model]], Callable[..., Any]],
    wrap: Callable[[Callable[..., Any]], Any],
    others: Sequence[Any] = (),
) -> Any:
    """`wrap` of the function that `make(models)` makes, or that of before.

    A new one is made where layers or variables have come or gone, and after
    `Model.compile`, as for `Model.predict`. What is kept names all of it by
    weak references, for it must not keep it alive; `others` are more of them.
    """
    references = tuple(weakref.ref(model) for model in models)
    parts = [part for model in models for part in flatten_layers(model)]
    parts += [made for model in models if (made := compilation(model))]
    variables = tuple(
        variable.path for model in models for variable in model.variables
    )
    kept = _kept.setdefault(models[0], {})
    for old in [old for old in kept if _has_died(old)]:
        del kept[old]
    full_key = (*references, *map(weakref.ref, parts), *others), variables, key
    if full_key not in kept:

        def function(*args: Any) -> Any:
            return make([reference() for reference in references])(*args)

        kept[full_key] = wrap(function)
        for model in models[1:]:  # with the first, all of it goes
            weakref.finalize(model, kept.pop, full_key, None).atexit = False
    return kept[full_key]


def _has_died(full_key: Any) -> bool:
    return any(reference() is None for reference in full_key[0])


def _is_within(specs: Any, traced: Any) -> bool:
    try:
        pairs = tf.nest.map_structure(
            lambda new, old: new.is_subtype_of(old), specs, traced
        )
    except (TypeError, ValueError):  # another structure
        return False
    return all(tf.nest.flatten(pairs))


def _common(specs: Any, traced: Any) -> Any:
    try:
        common = tf.nest.map_structure(
            lambda new, old: new.most_specific_common_supertype([old]),
            specs,
            traced,
        )
    except (TypeError, ValueError):
        return specs
    return specs if None in tf.nest.flatten(common) else common
