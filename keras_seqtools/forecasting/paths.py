"""What a forecast is: sample paths, and what follows from them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools.heads import DistributionHead
from keras_seqtools.uncertainty.results import ends_of


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Forecast:
    """Sample paths of how series go on, and what follows from them.

    Arrays are `(series, steps, units)`, in the units of the target. All of
    them describe the paths as they were drawn, so they carry Monte Carlo
    error: an end of a 90 % interval of 100 paths rests on 5 of them. A path
    that overflowed is NaN from there on, and so is what is computed of it.

    `forecast[i]` has the series `i` alone, or those of a slice.

    Attributes:
        samples: The paths, `(num_samples, series, steps, units)`.
        y_pred: What the model emitted along them,
            `(num_samples, series, steps, ...)`.
        head: The head of the model; `None` if it emits points.
        joint: Whether a path is one possible future as a whole. Those of a
            model that emits several steps at a time are not: each step was
            drawn without regard to the others.
        seed: The seed, also where none was given.
        stochastic_layers: What was random: rates, by the path of the layer.
        window: How many time steps the model read for each step to come;
            `None` if it carried on what it knew of all that came before.

    Example:

    >>> walk = keras.Sequential(
    ...     [
    ...         keras.Input((None, 1)),
    ...         keras.layers.Identity(),
    ...         keras.layers.GaussianNoise(1.0),
    ...     ]
    ... )
    >>> walk.compile(loss="mse")  # what it emits is the next value
    >>> f = kst.forecasting.forecast(walk, np.zeros((1, 5, 1)), 3, seed=1)
    >>> f.mean.shape, f.quantile((0.1, 0.9)).shape, f.sum().shape
    ((1, 3, 1), (2, 1, 3, 1), (100, 1, 1))
    """

    samples: np.ndarray
    y_pred: np.ndarray
    head: DistributionHead | None
    joint: bool
    seed: int
    stochastic_layers: Mapping[str, Mapping[str, float]]
    window: int | None

    @property
    def num_samples(self) -> int:
        return len(self.samples)

    @property
    def mean(self) -> np.ndarray:
        return self.samples.mean(0, dtype="float64")

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the paths, with ddof 0."""
        return self.samples.std(0, dtype="float64")

    def quantile(self, q: Any) -> np.ndarray:
        """Quantiles of the paths, by step.

        Of counts, the smallest one that a share of `q` of the paths does not
        exceed, so a count again.

        Args:
            q: A number in (0, 1), or several.

        Returns:
            Array `(series, steps, units)`, or `(len(q), series, steps,
            units)` for several.
        """
        check_fractions("q", q)
        is_discrete = self.head is not None and self.head.discrete
        return np.quantile(
            self.samples,
            q,
            axis=0,
            method="inverted_cdf" if is_discrete else "linear",
        )

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the central interval that holds a share of the paths."""
        lower, upper = self.quantile(ends_of(level))
        return lower, upper

    def prob_below(self, threshold: Any) -> np.ndarray:
        """Share of the paths below a threshold."""
        return self._share(self.samples < threshold)

    def prob_above(self, threshold: Any) -> np.ndarray:
        """Share of the paths above a threshold."""
        return self._share(self.samples > threshold)

    def sum(self) -> np.ndarray:
        """The sum of each path over its steps, `(num_samples, series, units)`.

        Raises a `ValueError` unless the paths are joint: the sum of steps
        that were drawn apart has a wrong spread.
        """
        if not self.joint:
            raise ValueError(
                "These paths are not joint: the model forecasts several steps "
                "at a time, and each was drawn without regard to the others, "
                "so the spread of a sum would be wrong. Use a model that "
                "forecasts one step, or one whose target is the sum."
            )
        return self.samples.sum(2, dtype="float64")

    def log_prob(self, y_true: Any) -> np.ndarray:
        """Log-density of what came, by step and unit, in nats.

        That of the mixture, over the paths, of what the model predicted along
        each: no density need be estimated from draws. For a joint head, such
        as `MultivariateNormalHead`, of all units of a step together.

        Args:
            y_true: Array `(series, steps, units)`.

        Raises:
            ValueError: If the model has no head, or shapes differ.
        """
        if self.head is None:
            raise ValueError("A model without a head predicts no density.")
        y_true = np.asarray(y_true, "float32")
        if y_true.shape != self.samples.shape[1:]:
            raise ValueError(
                f"Expected `y_true` of shape {self.samples.shape[1:]}. "
                f"Received: {y_true.shape}"
            )
        y_true = np.broadcast_to(y_true, self.samples.shape)
        log_prob = np.asarray(self.head.log_prob(y_true, self.y_pred))
        log_prob = log_prob.astype("float64")
        return np.logaddexp.reduce(log_prob, axis=0) - np.log(len(log_prob))

    def _share(self, hits: np.ndarray) -> np.ndarray:
        share = hits.mean(0)
        return np.where(np.isnan(self.samples).any(0), np.nan, share)

    def __len__(self) -> int:
        return self.samples.shape[1]

    def __getitem__(self, series: Any) -> "Forecast":
        """The forecast of some series: an index, a slice, or indices."""
        rows = np.atleast_1d(np.arange(len(self))[series])
        return dataclasses.replace(
            self, samples=self.samples[:, rows], y_pred=self.y_pred[:, rows]
        )

    def __repr__(self) -> str:
        num_samples, series, steps, units = self.samples.shape
        return (
            f"Forecast(series={series}, steps={steps}, units={units}, "
            f"num_samples={num_samples}, joint={self.joint}, seed={self.seed}, "
            f"window={self.window})"
        )
