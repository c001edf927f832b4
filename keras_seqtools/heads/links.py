"""Links: from the unbounded outputs of a network to valid parameters.

Each is finite for every finite input, and those that bend do so slowly: far
out there is still a gradient to come back by.
"""

from typing import Any

from keras import ops


def identity(raw: Any) -> Any:
    """Any real number, such as a location."""
    return raw


def positive(raw: Any, floor: float = 1e-4) -> Any:
    """Softplus, plus a floor below which likelihoods explode."""
    return ops.softplus(raw) + floor


def log_rate(raw: Any) -> Any:
    """The logarithm of a rate or a mean: beyond +-20 it grows slowly.

    The rate is `exp(raw)` from 2e-9 to 4.9e8 and in proportion to `raw` or
    its inverse beyond, so that one bad step of an optimizer does not make the
    likelihood overflow.
    """
    return _slow_beyond(raw, 20.0)


def logit(raw: Any) -> Any:
    """The logit of a probability: beyond +-10 it grows slowly.

    Float32 then tells the probability from 0 and from 1 for any input.
    """
    return _slow_beyond(raw, 10.0)


def dispersion(raw: Any) -> Any:
    """The surplus of variance of counts over a Poisson's, at least 1e-6."""
    return positive(raw, 1e-6)


def concentration(raw: Any) -> Any:
    """How concentrated a distribution is, at least 1e-4."""
    return positive(raw, 1e-4)


def degrees_of_freedom(raw: Any) -> Any:
    """More than 2, so that a Student t has a variance."""
    return ops.softplus(raw) + 2.01


def scale_tril(raw: Any, floor: float = 1e-4) -> Any:
    """Lower triangular with a positive diagonal, from square matrices.

    Every row is a positive number times a row that ends in 1 and whose other
    entries grow as logits do: no matrix is too close to singular.
    """
    raw = ops.convert_to_tensor(raw)
    eye = ops.eye(raw.shape[-1], dtype=raw.dtype)
    diagonal = positive(ops.sum(raw * eye, axis=-1), floor)
    unit = ops.tril(logit(raw), -1) + eye
    return ops.expand_dims(diagonal, -1) * unit


def _slow_beyond(raw: Any, limit: float) -> Any:
    """The identity up to a limit on either side, logarithmic beyond."""
    excess = ops.relu(ops.abs(raw) - limit)
    return ops.clip(raw, -limit, limit) + ops.sign(raw) * ops.log1p(excess)
