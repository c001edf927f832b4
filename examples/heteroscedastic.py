"""Noise that changes along x: four heads, from one sigma to a free shape.

490 points about the line 2.7 x, whose noise has a standard deviation between 1
and 15. A normal distribution with constant sigma, one with flexible sigma, a
mixture of normals and a spline flow are fitted to them, and scored beside
least squares and the true sigma, which no model is told.

Training stops where the likelihood of the validation rows is best, so that
their NLL is optimistic: it can be below that of the true sigma. The test rows
are used for nothing but the table. The noise is normal: what shape the freer
heads find in it is chance, and costs them on the test rows.

    python examples/heteroscedastic.py            # about a minute
    python examples/heteroscedastic.py --quick    # a look only
"""

import argparse
import math
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

import keras_seqtools as kst

SLOPE = 2.7
LEVEL = 0.9

# Made only once the seed is set: a head draws its own where it is made.
MODELS: dict[str, Callable[[], kst.heads.DistributionHead]] = {
    "constant sigma": lambda: kst.heads.NormalHead(dispersion="constant"),
    "flexible sigma": lambda: kst.heads.NormalHead(),
    "normal mixture": lambda: kst.heads.NormalMixtureHead(components=3),
    "spline flow": lambda: kst.heads.SplineFlowHead(bins=5),
}

Array = NDArray[Any]


class Rows(NamedTuple):
    """Points, and the standard deviation of their noise, each `(n, 1)`."""

    x: Array
    y: Array
    sd: Array


class Forecast(NamedTuple):
    """A distribution for every row: what a head emits, and the head."""

    head: kst.heads.DistributionHead
    predict: Callable[[Rows], Array]
    parameters: Any  # their number

    def nll(self, rows: Rows) -> float:
        log_prob = self.head.log_prob(rows.y, self.predict(rows))
        return -float(np.mean(log_prob))

    def interval(self, rows: Rows) -> tuple[Array, Array]:
        lower, upper = self.head.interval(self.predict(rows), LEVEL)
        return np.asarray(lower), np.asarray(upper)


def make_data() -> Rows:
    """All 490 points, by growing x."""
    up = np.arange(1, 15, 0.1)
    parts = [np.arange(1, 12, 0.1)[::-1], np.full(30, 1.0), up]
    parts += [np.full(50, 15.0), up[::-1], np.full(20, 1.0)]
    sd = np.concatenate(parts)
    # The legacy generator, because these data are known by its draws.
    noise = np.random.RandomState(4710).normal(0.0, sd)
    few = np.random.RandomState(99).uniform(-1, 1, 110)
    many = np.random.RandomState(97).uniform(1, 6, len(sd) - len(few))
    x = np.sort(np.concatenate([few, many]))
    y = SLOPE * x + noise
    return Rows(x[:, None], y[:, None], sd[:, None])


def split(rows: Rows) -> tuple[Rows, Rows, Rows]:
    """Rows for training, validation and test."""
    table = np.hstack(rows)
    rest, test = train_test_split(table, test_size=0.25, random_state=47)
    train, validation = train_test_split(rest, test_size=0.2, random_state=22)
    return (
        Rows(*np.hsplit(train, 3)),
        Rows(*np.hsplit(validation, 3)),
        Rows(*np.hsplit(test, 3)),
    )


def normal(predict: Callable[[Rows], list[Array]], parameters: Any) -> Forecast:
    """Normal distributions of a mean and a sigma known without a network."""
    head = kst.heads.NormalHead()
    return Forecast(head, lambda rows: np.hstack(predict(rows)), parameters)


def truth() -> Forecast:
    return normal(lambda rows: [SLOPE * rows.x, rows.sd], "-")


def least_squares(train: Rows) -> Forecast:
    line = np.polynomial.Polynomial.fit(train.x[:, 0], train.y[:, 0], 1)
    sd = np.std(train.y - line(train.x), ddof=2)  # two for the line
    return normal(lambda rows: [line(rows.x), np.full_like(rows.x, sd)], 3)


def fit_model(
    name: str, train: Rows, validation: Rows, epochs: int = 500, seed: int = 0
) -> Forecast:
    """One of `MODELS`, a straight line if its sigma is constant."""
    keras.utils.set_random_seed(seed)
    head = MODELS[name]()
    standardize = keras.layers.Normalization()
    standardize.adapt(train.x)
    model = keras.Sequential([keras.Input((1,)), standardize])
    if head.dispersion != "constant":
        model.add(keras.layers.Dense(32, "relu"))
        model.add(keras.layers.Dense(32, "relu"))
    model.add(head)
    head.adapt(train.y)
    model.compile(
        keras.optimizers.Adam(0.02), loss=kst.losses.NegativeLogLikelihood(head)
    )
    stop = keras.callbacks.EarlyStopping(patience=60, restore_best_weights=True)
    model.fit(
        train.x,
        train.y,
        validation_data=(validation.x, validation.y),
        epochs=epochs,
        batch_size=len(train.x),  # few rows: every step sees them all
        callbacks=[stop],
        verbose=0,
    )
    parameters = sum(math.prod(w.shape) for w in model.trainable_weights)
    return Forecast(
        head, lambda rows: model.predict(rows.x, verbose=0), parameters
    )


def print_row(name: str, forecast: Forecast, parts: tuple[Rows, ...]) -> None:
    test = parts[-1]
    lower, upper = forecast.interval(test)
    inside = (lower <= test.y) & (test.y <= upper)
    print(
        f"{name:15}"
        + "".join(f"{forecast.nll(rows):12.3f}" for rows in parts)
        + f"{inside.mean():12.3f}{(upper - lower).mean():12.1f}"
        + f"{forecast.parameters:>12}",
        flush=True,
    )


def draw(forecasts: Mapping[str, Forecast], rows: Rows, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat
    x = rows.x[:, 0]
    for axes, (name, forecast) in zip(panels, forecasts.items(), strict=True):
        lower, upper = (end[:, 0] for end in forecast.interval(rows))
        mean = np.asarray(forecast.head.mean(forecast.predict(rows)))
        axes.plot(x, rows.y, "k.", markersize=3, alpha=0.5)
        axes.fill_between(
            x, lower, upper, color="tab:blue", alpha=0.3, label="90 % interval"
        )
        axes.plot(x, mean, color="tab:blue", label="mean")
        for end in truth().interval(rows):
            axes.plot(x, end, "k--", linewidth=1)
        axes.set_title(name)
    axes.plot([], [], "k--", linewidth=1, label="true 90 % interval")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    figure.savefig(path, dpi=120)
    print(f"\nPicture: {path}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look only")
    parser.add_argument("--seed", type=int, default=0)
    picture = Path("heteroscedastic.png")
    parser.add_argument("--picture", type=Path, default=picture)
    options = parser.parse_args(arguments)
    rows = make_data()
    parts = train, validation, _ = split(rows)
    print("NLL by rows; 90 % interval on the test rows: coverage, mean width.")
    columns = ("train", "validation", "test", "in 90 %", "width", "parameters")
    print(f"\n{'':15}" + "".join(f"{name:>12}" for name in columns))
    print(f"{'rows':15}" + "".join(f"{len(part.x):12}" for part in parts))
    print_row("least squares", least_squares(train), parts)
    epochs = 20 if options.quick else 500
    forecasts = {}
    for name in MODELS:
        fit = fit_model(name, train, validation, epochs, options.seed)
        forecasts[name] = fit
        print_row(name, fit, parts)
    print_row("true sigma", truth(), parts)
    draw(forecasts, rows, options.picture)


if __name__ == "__main__":
    main()
