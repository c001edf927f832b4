"""What a backtest found: scores by horizon, and as a table."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from keras_seqtools.forecasting.paths import Forecast


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Backtest:
    """Scores of forecasts made at many origins, and what they were made of.

    Forecasts are `"model"`, `"persistence"` and, where there is a season,
    `"seasonal naive"`; scores are `"rmse"`, `"mae"`, `"mase"`, `"nll"`,
    `"crps"` and `"coverage"`. `print` shows them as a table.

    Attributes:
        by_horizon: The scores by forecast and name,
            `by_horizon["model"]["crps"]` say, each an array `(horizon,)`.
        pooled: The same over all horizons, each a float.
        level: The level of the interval whose coverage is given.
        forecast: The `Forecast` of the model, an origin a row.
        y_true: `(origins, horizon, units)`, what came.
        series: `(origins,)`, the number of the series.
        origin: `(origins,)`, the first time step forecast.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((None, 1)), keras.layers.Identity()]
    ... )
    >>> model.compile(loss="mse")  # so a value: the next is the last one
    >>> waves = np.tile([0.0, 4.0, 0.0, -4.0], 10) + np.arange(40) / 4
    >>> found = kst.forecasting.backtest(
    ...     model, waves, horizon=2, start=21, season_length=4
    ... )
    >>> print(found)
    Origins: 18. Paths from each: 1.
    horizon                    RMSE      MAE     MASE      NLL     CRPS  in 80 %
          1 model             4.008    4.000    4.000        -    4.000    0.000
            persistence       4.008    4.000    4.000        -    1.895    1.000
            seasonal naive    1.000    1.000    1.000        -    0.000    1.000
          2 model             5.640    4.222    4.222        -    4.222    0.000
            persistence       5.640    4.222    4.222        -    2.830    1.000
            seasonal naive    1.000    1.000    1.000        -    0.000    1.000
        all model             4.892    4.111    4.111        -    4.111    0.000
            persistence       4.892    4.111    4.111        -    2.363    1.000
            seasonal naive    1.000    1.000    1.000        -    0.000    1.000
    """

    by_horizon: Mapping[str, Mapping[str, np.ndarray]]
    pooled: Mapping[str, Mapping[str, float]]
    level: float
    forecast: Forecast
    y_true: np.ndarray
    series: np.ndarray
    origin: np.ndarray

    def __str__(self) -> str:
        names, scores = list(self.pooled), list(self.pooled["model"])
        by_name = [
            np.column_stack([*self.by_horizon[name].values()]) for name in names
        ]
        pooled = [[*self.pooled[name].values()] for name in names]
        table = np.stack([*np.stack(by_name, axis=1), pooled])
        titles = [name.upper() for name in scores[:-1]]
        titles.append(f"in {100.0 * self.level:.3g} %")
        width = max(map(len, names))
        lines = [
            f"Origins: {len(self.origin)}. Paths from each: "
            f"{self.forecast.num_samples}.",
            f"horizon {'':{width}}"
            + "".join(f"{title:>9}" for title in titles),
        ]
        formats = [
            _format(column) for column in table.reshape(-1, len(titles)).T
        ]
        for place, rows in enumerate(table, start=1):
            first = "all" if place == len(table) else str(place)
            for name, row in zip(names, rows, strict=True):
                cells = zip(row, formats, strict=True)
                lines.append(
                    f"{first:>7} {name:{width}}"
                    + "".join(f"{_cell(*cell):>9}" for cell in cells)
                )
                first = ""
        return "\n".join(lines)

    def __repr__(self) -> str:
        origins, horizon, units = self.y_true.shape
        return (
            f"Backtest(origins={origins}, horizon={horizon}, units={units}, "
            f"level={self.level})"
        )


def _format(values: np.ndarray) -> str:
    """Four digits of the largest value, and as many places for all."""
    largest = max(np.abs(values[np.isfinite(values)]), default=0.0)
    if largest and not 1e-3 <= largest < 1e7:
        return ".2e"
    return f".{max(3 - math.floor(math.log10(largest or 1.0)), 0)}f"


def _cell(value: float, digits: str) -> str:
    return "-" if math.isnan(value) else format(value, digits)
