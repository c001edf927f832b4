"""Links: from the unbounded outputs of a network to valid parameters.

Each is finite, and has a gradient that never dies, for every finite input.
"""

from typing import Any

from keras import ops


def identity(raw: Any) -> Any:
    """Any real number, such as a location."""
    return raw


def positive(raw: Any) -> Any:
    """Softplus, plus a floor of 1e-4 below which likelihoods explode."""
    return ops.softplus(raw) + 1e-4


def log_rate(raw: Any) -> Any:
    """The logarithm of a rate: the identity up to 20, logarithmic above.

    The rate is `exp(raw)` up to 4.9e8 and grows linearly from there, so that
    one bad step of an optimizer does not make the likelihood overflow.
    """
    return ops.minimum(raw, 20.0) + ops.log1p(ops.relu(raw - 20.0))


def degrees_of_freedom(raw: Any) -> Any:
    """More than 2, so that a Student t has a variance."""
    return ops.softplus(raw) + 2.01
