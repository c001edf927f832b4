"""Forecasts from many origins, of any kind, and their scores."""

from typing import NamedTuple

import numpy as np

from keras_seqtools.forecasting.paths import Forecast
from keras_seqtools.metrics import crps_samples


class Predicted(NamedTuple):
    """What was forecast, each `(origins, horizon, units)`."""

    mean: np.ndarray
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    crps: np.ndarray
    nll: np.ndarray


def by_model(forecast: Forecast, y_true: np.ndarray, level: float) -> Predicted:
    nll = np.full(y_true.shape, np.nan)
    if forecast.head is not None:
        nll = -forecast.log_prob(y_true)
        if forecast.head.joint:  # one for all units
            nll = np.broadcast_to(
                nll[..., None] / y_true.shape[-1], y_true.shape
            )
    return Predicted(
        forecast.mean,
        forecast.quantile(0.5),
        *forecast.interval(level),
        crps=crps_samples(
            y_true, forecast.samples, fair=forecast.num_samples > 1
        ),
        nll=nll,
    )


def score(
    predicted: Predicted, y_true: np.ndarray, usual_error: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Scores by horizon, and over all.

    Args:
        predicted: What was forecast.
        y_true: `(origins, horizon, units)`, what came.
        usual_error: The unit of `"mase"`, `(origins, 1, units)`.
    """
    error = np.abs(y_true - predicted.median)
    is_inside = (predicted.lower <= y_true) & (y_true <= predicted.upper)
    is_unknown = np.isnan(predicted.lower) | np.isnan(predicted.upper)
    unit = np.where(usual_error > 0.0, usual_error, np.nan)
    items = {
        "rmse": np.square(y_true - predicted.mean),
        "mae": error,
        "mase": error / unit,
        "nll": predicted.nll,
        "crps": predicted.crps,
        "coverage": np.where(is_unknown, np.nan, is_inside),
    }
    by_horizon = {name: values.mean((0, 2)) for name, values in items.items()}
    pooled = {name: float(values.mean()) for name, values in items.items()}
    by_horizon["rmse"] = np.sqrt(by_horizon["rmse"])
    pooled["rmse"] = float(np.sqrt(pooled["rmse"]))
    return by_horizon, pooled
