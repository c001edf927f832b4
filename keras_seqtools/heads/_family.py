"""A family of distributions, and all that one asks of its parameters."""

from collections.abc import Callable
from collections.abc import Mapping
from numbers import Integral
from typing import Any
from typing import ClassVar

import numpy as np
from keras import ops

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import same_shape
from keras_seqtools.heads import _tfd as tfd
from keras_seqtools.heads._quantiles import invert_cdf


class Family:
    """What a head knows without its weights.

    Everything here is a function of `y_pred`, the tensor of parameters that a
    head emits; it may be a NumPy array from `predict`, and all of it works in
    a compiled function too.
    """

    parameters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    locations: ClassVar[tuple[str, ...]] = ()
    scales: ClassVar[tuple[str, ...]] = ()
    dispersions: ClassVar[tuple[str, ...]] = ()
    support: tuple[float, float] = (-np.inf, np.inf)
    discrete: ClassVar[bool] = False
    joint: ClassVar[bool] = False  # whether one likelihood is that of all units
    units: int

    @property
    def vector_sizes(self) -> dict[str, int]:
        """Parameters that are vectors, and their lengths."""
        return {}

    @property
    def sizes(self) -> dict[str, int]:
        """How many numbers an item needs for each parameter."""
        return {
            name: self.units * self.vector_sizes.get(name, 1)
            for name in self.parameters
        }

    @property
    def possible_target(self) -> float:
        """Some number inside the support, to stand for a target not there."""
        lowest, highest = self.support
        if lowest == -np.inf:
            return 0.0 if highest == np.inf else highest - 1.0
        if self.discrete:
            return lowest
        return lowest + 1.0 if highest == np.inf else (lowest + highest) / 2

    @property
    def possible_prediction(self) -> Any:
        """Valid parameters, `(size,)`, to stand for an item not there."""
        raw = self.split(ops.zeros(sum(self.sizes.values())))
        return ops.concatenate(
            [
                ops.reshape(self.parameters[name](value), (-1,))
                for name, value in raw.items()
            ]
        )

    def make_distribution(self, *args: Any, **parameters: Any) -> Any:
        """The TFP distribution with these parameters, each `(..., units)`."""
        raise TypeError(
            f"`{type(self).__name__}` must define `make_distribution`."
        )

    def split(self, y_pred: Any) -> dict[str, Any]:
        """The parameters by name, each of shape `(..., units)`.

        Those that are vectors have one axis more.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        self._check_size(y_pred)
        blocks, start = {}, 0
        for name, size in self.sizes.items():
            block = y_pred[..., start : start + size]
            if name in self.vector_sizes:
                shape = (
                    *ops.shape(block)[:-1],
                    self.units,
                    self.vector_sizes[name],
                )
                block = ops.reshape(block, shape)
            blocks[name] = block
            start += size
        return blocks

    def distribution(self, y_pred: Any) -> Any:
        """The `tfp.distributions` object, of batch shape `(..., units)`."""
        return self.make_distribution(**self.split(y_pred))

    def align(self, y: Any, y_pred: Any) -> Any:
        """`y` as a tensor `(..., units)`, or a `ValueError` if it is not one.

        With one unit the last axis of `y` may be missing. Nothing broadcasts.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        y = ops.cast(ops.convert_to_tensor(y), y_pred.dtype)
        expected = (*y_pred.shape[:-1], self.units)
        # Keras gives up a rank that varies between calls: then only the
        # number of elements can be checked, when they are reshaped.
        if y.shape.rank is not None:
            shape = tuple(y.shape)
            if self.units == 1 and len(shape) == len(expected) - 1:
                shape = (*shape, 1)
            if not same_shape(shape, expected):
                raise ValueError(
                    f"`{type(self).__name__}(units={self.units})` expects "
                    f"targets of shape {expected}. "
                    f"Received: shape {tuple(y.shape)}"
                )
        return ops.reshape(y, (*ops.shape(y_pred)[:-1], self.units))

    def log_prob(self, y: Any, y_pred: Any) -> Any:
        """Log-probability of targets `y`, in nats, `(..., units)`.

        NaN, never a plausible number, for a target outside the support. For
        a joint family it is that of all units, `(...)`.
        """
        y = self.align(y, y_pred)
        is_possible = self._is_possible(y)
        if self.joint:
            is_possible = ops.all(is_possible, axis=-1)
        log_prob = self._log_prob(y, **self.split(y_pred))
        return ops.where(is_possible, log_prob, np.nan)

    def log_likelihood(self, y: Any, y_pred: Any) -> Any:
        """Log-probability of all units of an item together, `(...)`."""
        log_prob = self.log_prob(y, y_pred)
        return log_prob if self.joint else ops.sum(log_prob, axis=-1)

    def cdf(self, y: Any, y_pred: Any) -> Any:
        """P(Y <= y), `(..., units)`."""
        return self._probability(self.align(y, y_pred), y_pred)

    def mean(self, y_pred: Any) -> Any:
        """Mean, `(..., units)`."""
        return self._moment("mean", y_pred)

    def variance(self, y_pred: Any) -> Any:
        """Variance, `(..., units)`."""
        return self._moment("variance", y_pred)

    def stddev(self, y_pred: Any) -> Any:
        """Standard deviation, `(..., units)`."""
        return ops.sqrt(self.variance(y_pred))

    def mode(self, y_pred: Any) -> Any:
        """Mode, `(..., units)`."""
        return self._moment("mode", y_pred)

    def quantile(self, y_pred: Any, q: Any) -> Any:
        """The smallest y with P(Y <= y) >= q, `(len(q), ..., units)`.

        `q` is a number or a sequence of them. Exact for discrete families.
        """
        return self.mixture_quantile(ops.expand_dims(y_pred, 0), q)

    def interval(self, y_pred: Any, level: float) -> tuple[Any, Any]:
        """Ends of the central interval that holds Y with probability level."""
        (level,) = check_fractions("level", level)
        ends = self.quantile(y_pred, ((1.0 - level) / 2.0, (1.0 + level) / 2.0))
        return ends[0], ends[1]

    def prob_below(self, y_pred: Any, threshold: float) -> Any:
        """P(Y < threshold), `(..., units)`."""
        threshold = float(threshold)
        # A discrete Y below 3 is at most 2; a continuous one is never 3.
        last = np.ceil(threshold) - 1.0 if self.discrete else threshold
        return self._probability(last, y_pred)

    def prob_above(self, y_pred: Any, threshold: float) -> Any:
        """P(Y > threshold), `(..., units)`."""
        return self._probability(float(threshold), y_pred, above=True)

    def sample(self, y_pred: Any, n: Any, seed: Any = None) -> Any:
        """`n` draws of Y, `(n, ..., units)`; the same for the same seed.

        For `n=()` a single one, `(..., units)`. NaN where a parameter of the
        item is not finite.
        """
        if isinstance(seed, Integral):
            seed = (0, int(seed))  # TFP's form of a seed without hidden state
        kind = self.distribution(y_pred).reparameterization_type
        if kind == tfd.FULLY_REPARAMETERIZED:
            return self._sample(n, seed, **self.split(y_pred))
        # Samplers that reject would go on for ever, and those that choose
        # among components would choose one.
        is_finite = ops.all(ops.isfinite(y_pred), axis=-1, keepdims=True)
        drawable = ops.where(is_finite, y_pred, 1.0)
        draws = self._sample(n, seed, **self.split(drawable))
        return ops.where(is_finite, draws, np.nan)

    def mixture_quantile(self, y_pred: Any, q: Any) -> Any:
        """Quantiles of the equal mixture over the first axis of `y_pred`.

        For `y_pred` of shape `(num_samples, ..., units * n_parameters)` the
        result has shape `(len(q), ..., units)`.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        precise = ops.cast(y_pred, "float64")
        tail = self._tail_function(precise)
        center, variance = self._center_and_variance(precise)
        total = ops.mean(variance, axis=0) + ops.var(center, axis=0)

        def cdf(y: Any) -> Any:
            p = ops.mean(self._cdf(y[:, None], tail), axis=1)
            return ops.reshape(p, ops.shape(y))  # TFP may lose the shape

        quantiles = invert_cdf(
            cdf,
            check_fractions("q", q),
            center=ops.mean(center, axis=0),
            width=3.0 * ops.sqrt(total),
            support=self.support,
            discrete=self.discrete,
        )
        return ops.cast(quantiles, y_pred.dtype)

    def validate(self, y: Any) -> None:
        """Raises a `ValueError` that names the first target that cannot be.

        Targets are finite, lie in the support, are integers for a discrete
        family, and with several units have them on the last axis.
        """
        y, name = np.asarray(y), type(self).__name__
        if y.dtype.kind not in "biuf":
            raise ValueError(
                f"`{name}` expects numbers as targets. "
                f"Received: y of dtype {y.dtype}"
            )
        if self.units > 1 and (y.ndim < 2 or y.shape[-1] != self.units):
            raise ValueError(
                f"`{name}` expects targets of shape (..., {self.units}). "
                f"Received: shape {y.shape}"
            )
        with np.errstate(invalid="ignore", over="ignore"):
            # As the loss will see them: TensorFlow takes what is smaller than
            # the smallest normal number for 0.
            seen = y.astype("float32")
            seen = np.where(np.abs(seen) < np.finfo("float32").tiny, 0.0, seen)
            possible = np.asarray(self._is_possible(seen))
        if not possible.all():
            first = tuple(int(i) for i in np.argwhere(~possible)[0])
            kind = "integers from" if self.discrete else "numbers between"
            raise ValueError(
                f"`{name}` expects finite {kind} {self.support[0]:g} "
                f"{'to' if self.discrete else 'and'} {self.support[1]:g} as "
                "targets, in float32. "
                f"Received: y[{', '.join(map(str, first))}] = {y[first]}"
            )

    def mark(self, y_pred: Any) -> Any:
        """`y_pred` itself, marked as the output of this family."""
        y_pred._keras_seqtools_family = (type(self).__name__, self.support)
        return y_pred

    def check_emitted(self, y_pred: Any) -> None:
        """Raises a `ValueError` if another family must have emitted it.

        The parameters of two families can have equal shapes, and then only
        nonsense would tell that a loss belongs to another head.
        """
        own = (type(self).__name__, self.support)
        emitted_by = getattr(y_pred, "_keras_seqtools_family", own)
        if emitted_by != own:
            raise ValueError(
                "The model ends in a `{}` for targets in {}, but what should "
                "read its output was made with a `{}` for targets in "
                "{}.".format(*emitted_by, *own)
            )
        self._check_size(y_pred)

    def _check_size(self, y_pred: Any) -> None:
        size = sum(self.sizes.values())
        if y_pred.shape[-1] != size:
            raise ValueError(
                f"`{type(self).__name__}(units={self.units})` emits {size} "
                f"numbers per item ({', '.join(self.parameters)}). "
                f"Received: y_pred of shape {tuple(y_pred.shape)}"
            )

    def _is_possible(self, y: Any) -> Any:
        lowest, highest = self.support
        if self.discrete:
            return (y >= lowest) & (y <= highest) & (y % 1 == 0)
        return (y > lowest) & (y < highest)

    def _log_prob(self, y: Any, *args: Any, **parameters: Any) -> Any:
        return self.make_distribution(**parameters).log_prob(y)

    def _sample(self, n: Any, seed: Any, *args: Any, **parameters: Any) -> Any:
        return self.make_distribution(**parameters).sample(n, seed=seed)

    def _moment(self, name: str, y_pred: Any) -> Any:
        distribution = self._marginals(y_pred)
        try:
            return getattr(distribution, name)()
        except NotImplementedError as error:
            raise ValueError(
                f"`{type(self).__name__}` has no {name}."
            ) from error

    def _center_and_variance(self, y_pred: Any) -> tuple[Any, Any]:
        """Where quantiles are searched first: any place and scale will do."""
        try:
            mean, variance = self.mean(y_pred), self.variance(y_pred)
        except ValueError:
            mean = ops.zeros_like(y_pred[..., : self.units])
            variance = mean
        usable = ops.isfinite(variance) & (variance > 0.0)
        return (
            ops.where(ops.isfinite(mean), mean, 0.0),
            ops.where(usable, variance, 1.0),
        )

    def _marginals(self, y_pred: Any) -> Any:
        """The distribution of each unit on its own."""
        return self.distribution(y_pred)

    def _probability(self, y: Any, y_pred: Any, above: bool = False) -> Any:
        """P(Y <= y) or P(Y > y), in float64 before it becomes what `y_pred` is.

        The cdf of a discrete family loses too many digits in float32.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        tail = self._tail_function(ops.cast(y_pred, "float64"))
        return ops.cast(self._cdf(y, tail, above), y_pred.dtype)

    def _cdf(
        self, y: Any, tail: Callable[..., Any], above: bool = False
    ) -> Any:
        """The tail, made right between integers and outside the support."""
        # `ops.cast` would take a Python number for float32 first.
        y = ops.convert_to_tensor(y, "float64")
        if self.discrete:
            y = ops.floor(y)
        p = tail(ops.clip(y, *self.support), above)
        return ops.where(y < self.support[0], float(above), p)

    def _tail_function(self, y_pred: Any) -> Callable[..., Any]:
        """The function of `y` that is P(Y <= y), inside the support.

        With `above` it is the complement, with digits where the cdf is 1.
        """
        distribution = self._marginals(y_pred)

        def tail(y: Any, above: bool) -> Any:
            try:
                if above:
                    return distribution.survival_function(y)
                return distribution.cdf(y)
            except NotImplementedError as error:
                raise ValueError(
                    f"`{type(self).__name__}` has no cdf."
                ) from error

        return tail
