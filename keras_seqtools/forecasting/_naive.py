"""Forecasts without a model: what was seen last, or a season ago."""

from collections.abc import Sequence

import numpy as np

from keras_seqtools.forecasting._predicted import Predicted
from keras_seqtools.metrics import crps_samples
from keras_seqtools.uncertainty.results import ends_of


def lags(season_length: int, horizon: int) -> np.ndarray:
    """How far back the same season was last seen, by step of the forecast.

    With a season of one step that is the last value: persistence.
    """
    return season_length * -(-np.arange(1, horizon + 1) // season_length)


def usual_error(past: np.ndarray, season_length: int) -> np.ndarray:
    """Mean absolute error one season ahead, `(units,)`."""
    return np.abs(past[season_length:] - past[:-season_length]).mean(0)


def forecasts(
    each: Sequence[np.ndarray],
    start: int,
    origins: Sequence[np.ndarray],
    horizon: int,
    season_length: int,
    level: float,
) -> dict[str, Predicted]:
    """The naive forecasts of several series, by name.

    Arguments are those of `by_season`.
    """
    seasons = {"persistence": 1}
    if season_length > 1:
        seasons["seasonal naive"] = season_length
    found = {}
    for name, length in seasons.items():
        of_each = [
            by_season(y, start, origin, horizon, length, level)
            for y, origin in zip(each, origins, strict=True)
        ]
        found[name] = Predicted(
            *map(np.concatenate, zip(*of_each, strict=True))
        )
    return found


def by_season(
    y: np.ndarray,
    start: int,
    origin: np.ndarray,
    horizon: int,
    season_length: int,
    level: float,
) -> Predicted:
    """Values of the season before, with the errors that these used to have.

    Args:
        y: One series, `(time, units)`.
        start: Integer: the errors are those at all steps before.
        origin: `(origins,)`, the first steps to forecast.
        horizon: Integer, how many.
        season_length: Integer.
        level: Float in (0, 1), of the interval.
    """
    lag = lags(season_length, horizon)
    steps = origin[:, None] + np.arange(horizon)
    value = y[steps - lag]
    found = y[steps] - value
    lower, upper, crps = (np.empty(value.shape) for _ in range(3))
    for step, back in enumerate(lag):
        errors = y[back:start] - y[: start - back]
        low, high = np.quantile(errors, ends_of(level), axis=0)
        lower[:, step] = value[:, step] + low
        upper[:, step] = value[:, step] + high
        for unit in range(y.shape[1]):
            draws = np.broadcast_to(
                errors[:, unit, None], (len(errors), len(origin))
            )
            crps[:, step, unit] = crps_samples(found[:, step, unit], draws)
    nll = np.full(value.shape, np.nan)
    return Predicted(value, value, lower, upper, crps, nll)
