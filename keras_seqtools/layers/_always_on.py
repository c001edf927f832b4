"""The one switch that silences layers which otherwise always sample."""

import contextlib
import contextvars
from collections.abc import Iterator

_sampling = contextvars.ContextVar("keras_seqtools_sampling", default=True)


def always_on() -> bool:
    """Whether layers that always sample do so in this thread, now."""
    return _sampling.get()


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Layers that always sample are deterministic inside.

    Read while a function is traced, so only for functions that the caller
    traces inside: one that was traced before keeps what it saw then.
    """
    token = _sampling.set(False)
    try:
        yield
    finally:
        _sampling.reset(token)
