"""Do dilations let causal convolutions forecast better than they would without?

1,000 series of 138 steps, each the product of a fast and a slow sine that
start together somewhere on the circle, plus noise of standard deviation 0.1.
From the first 128 steps the last ten are to be forecast: 800 series to learn
from, 200 for every number printed.

1. Four causal convolutions, not dilated and dilated by 1, 2, 4 and 8, so that
   they see 17 steps or 61, beside recurrent layers, by mean squared error.
   `CausalSlice` keeps the last ten outputs: each is a forecast ten steps
   ahead, and the first of them has not seen the last nine inputs. Every model
   is shown at two learning rates and with every seed; nothing stops early,
   nothing is chosen by the 200.
2. The same models fed their own forecasts, up to 800 steps from the end of
   the series, against what really follows: the sines go on, with fresh noise.
   Of the two rates here is the one with the smaller error on the 800.
3. The dilated stack with a normal head, 100 sample paths a series. `direct`
   emits ten steps at a time, as above, and draws each without regard to the
   others; `next step` emits one and is fed each draw, so that its paths are
   joint. How good are mean, 80 % band and density, near and far?

    python examples/causal_convolutions.py            # some twenty minutes
    python examples/causal_convolutions.py --quick    # a look only
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import NamedTuple

import keras
import numpy as np

import keras_seqtools as kst
from keras_seqtools.forecasting import Forecast
from keras_seqtools.forecasting import forecast

Array = np.ndarray[Any, np.dtype[Any]]

SEEN, AHEAD, FAR = 128, 10, 800
TRAINED = 800  # series; the others are the validation
SD = 0.1
FAST, SLOW = 20 * np.pi / 137, np.pi / 137  # radians a step
RATES = (0.001, 0.005)
LEVEL = 0.8
SPANS = {"1-10": (0, 10), "11-80": (10, 80), "81-800": (80, FAR)}


def stack(dilated: bool, activation: str | None) -> keras.layers.Layer:
    dilations = (1, 2, 4, 8) if dilated else (1, 1, 1, 1)
    return kst.layers.CausalConvStack(32, 5, dilations, activation)


# Made only once the seed is set.
MODELS: dict[str, Callable[[], keras.layers.Layer]] = {
    "conv": lambda: stack(False, None),
    "conv, dilated": lambda: stack(True, None),
    "conv, relu": lambda: stack(False, "relu"),
    "conv, relu, dilated": lambda: stack(True, "relu"),
    "SimpleRNN(12)": lambda: keras.layers.SimpleRNN(12, return_sequences=True),
    "GRU(32)": lambda: keras.layers.GRU(32, return_sequences=True),
    "LSTM(32)": lambda: keras.layers.LSTM(32, return_sequences=True),
    "LayerNormGRU(32)": lambda: kst.layers.LayerNormGRU(
        32, return_sequences=True
    ),
}


class Series(NamedTuple):
    """What is seen, what follows, and that without noise: `(n, time, 1)`."""

    seen: Array
    future: Array
    signal: Array

    @property
    def ahead(self) -> Array:
        return self.future[:, :AHEAD]


def make_series() -> tuple[Series, Series]:
    """The series to learn from, and the others."""
    # The legacy generator, because these data are known by its draws.
    rng = np.random.RandomState(1)
    draws = [
        (rng.uniform(0, 2 * np.pi), rng.normal(0, SD, SEEN + AHEAD))
        for _ in range(1000)
    ]
    start = np.array([start for start, _ in draws])[:, None]
    noise = np.array([noise for _, noise in draws])
    later = np.random.default_rng(0).normal(0, SD, (1000, FAR - AHEAD))
    steps = np.arange(SEEN + FAR)
    signal = np.sin(start + FAST * steps) * np.sin(start + SLOW * steps)
    values = signal + np.hstack([noise, later])
    parts = values[:, :SEEN], values[:, SEEN:], signal[:, SEEN:]
    columns = [part[..., None] for part in parts]
    return (
        Series(*(column[:TRAINED] for column in columns)),
        Series(*(column[TRAINED:] for column in columns)),
    )


def train(
    model: keras.Model, loss: Any, rate: float, x: Array, y: Array, epochs: int
) -> None:
    model.compile(keras.optimizers.Adam(rate), loss=loss)
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)


def fit_points(
    name: str,
    series: Series,
    rate: float = 0.001,
    seed: int = 0,
    epochs: int = 100,
) -> keras.Model:
    """One of `MODELS`, for the mean squared error."""
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((None, 1)), MODELS[name](), keras.layers.Dense(1)]
    model = keras.Sequential([*layers, kst.layers.CausalSlice(AHEAD)])
    train(model, "mse", rate, series.seen, series.ahead, epochs)
    return model


def fit_normal(
    series: Series, next_step: bool, seed: int = 0, epochs: int = 100
) -> keras.Model:
    """The dilated stack with a normal head."""
    keras.utils.set_random_seed(seed)
    head = kst.heads.NormalHead()
    model = keras.Sequential(
        [keras.Input((None, 1)), stack(True, "relu"), head]
    )
    x, y = series.seen, series.ahead
    if next_step:
        values = np.hstack([x, y])
        x, y = values[:, :-1], values[:, 1:]
    else:
        model.add(kst.layers.CausalSlice(AHEAD))
    head.adapt(y)
    loss = kst.losses.NegativeLogLikelihood(head)
    train(model, loss, 0.001, x, y, epochs)
    return model


def score(model: keras.Model, series: Series) -> float:
    """The loss of a model that emits ten steps."""
    size = len(series.seen)
    return float(
        model.evaluate(series.seen, series.ahead, batch_size=size, verbose=0)
    )


def least_squares(seen: Array) -> Array:
    """What follows, if nothing but the two frequencies is known.

    A product of sines is the sum of two cosines.
    """
    steps = np.arange(SEEN + FAR)[:, None]
    angles = steps * [FAST - SLOW, FAST + SLOW]
    waves = np.hstack([np.cos(angles), np.sin(angles)])
    weights, *_ = np.linalg.lstsq(waves[:SEEN], seen[..., 0].T, rcond=None)
    return (waves[SEEN:] @ weights).T[..., None]


def oracle_nll(series: Series) -> Array:
    """NLL of each value, if only the noise is not known."""
    error = (series.future - series.signal) / SD
    return 0.5 * np.square(error) + np.log(SD * np.sqrt(2 * np.pi))


def print_row(name: str, *cells: object) -> None:
    print(f"| {name:20} |" + "".join(f" {c:>7} |" for c in cells), flush=True)


def print_head(title: str, *columns: str) -> None:
    print(f"\n{title}\n")
    print_row("", *columns)
    print_row("---", *["---:"] * len(columns))


def by_span(values: Array) -> list[float]:
    return [float(values[:, slice(*span)].mean()) for span in SPANS.values()]


def compare(
    parts: tuple[Series, Series], seeds: list[int], quick: bool
) -> dict[str, keras.Model]:
    """Print the first table; of each model the better one of the first seed."""
    learned, others = parts
    epochs, rates = (2, RATES[:1]) if quick else (100, RATES)
    print_head(
        f"Validation mse of the ten steps, {epochs} epochs.",
        "weights",
        "rate",
        *(f"seed {seed}" for seed in seeds),
    )
    kept = {}
    for name in MODELS:
        errors = {}
        for rate in rates:
            models = [
                fit_points(name, learned, rate, seed, epochs) for seed in seeds
            ]
            errors[score(models[0], learned)] = models[0]
            print_row(
                name,
                f"{models[0].count_params():,}",
                rate,
                *(f"{score(model, others):.4f}" for model in models),
            )
        kept[name] = errors[min(errors)]
    return kept


def print_points(models: dict[str, keras.Model], series: Series) -> None:
    print_head("Mse, fed with its own forecasts, by steps ahead.", *SPANS)
    points = {
        name: forecast(model, series.seen, FAR).mean
        for name, model in models.items()
    }
    points |= {
        "last value": series.seen[:, -1:],
        "always 0": np.zeros(1),
        "least squares": least_squares(series.seen),
        "noise alone": series.signal,
    }
    for name, point in points.items():
        errors = by_span(np.square(point - series.future))
        cells = (f"{e:.4f}" if e < 100 else f"{e:.0e}" for e in errors)
        print_row(name, *cells)
    print("\nleast squares: told both frequencies. noise alone: the sines.")


def print_paths(forecasts: dict[str, Forecast], series: Series) -> None:
    print_head(
        "Sample paths of a normal head: mse of their mean, share in and width "
        "of the 80 %\nband, NLL in nats; by steps ahead.",
        "steps",
        "mse",
        "in 80 %",
        "width",
        "NLL",
        "oracle",
    )
    oracle = by_span(oracle_nll(series))
    for name, paths in forecasts.items():
        lower, upper = paths.interval(LEVEL)
        columns = (
            np.square(paths.mean - series.future),
            (lower <= series.future) & (series.future <= upper),
            upper - lower,
            -paths.log_prob(series.future),
        )
        rows = zip(SPANS, *map(by_span, columns), oracle, strict=True)
        for span, mse, inside, width, *nll in rows:
            print_row(
                name,
                span,
                f"{mse:.4f}",
                *(f"{value:.3f}" for value in (inside, width, *nll)),
            )


def draw(forecasts: dict[str, Forecast], series: Series, path: Path) -> None:
    """The first of the series, near and far."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    grid = figure.subplots(len(forecasts), 2, sharey=True, sharex="col")
    for row, (name, paths) in zip(grid, forecasts.items(), strict=True):
        for axes, steps in zip(
            row, (slice(0, 80), slice(FAR - 80, FAR)), strict=True
        ):
            ahead = np.arange(FAR)[steps] + 1
            for level, alpha in ((LEVEL, 0.25), (0.5, 0.45)):
                lower, upper = (
                    end[0, steps, 0] for end in paths.interval(level)
                )
                axes.fill_between(
                    ahead,
                    lower,
                    upper,
                    color="tab:blue",
                    alpha=alpha,
                    linewidth=0,
                    label=f"{level:.0%} of the paths",
                )
            mean, signal, came = (
                values[0, steps, 0]
                for values in (paths.mean, series.signal, series.future)
            )
            axes.plot(ahead, mean, color="tab:blue", label="their mean")
            axes.plot(ahead, signal, "k--", linewidth=1, label="no noise")
            axes.plot(ahead, came, "k.", markersize=3, label="came")
        before = series.seen[0, -30:, 0]
        row[0].plot(np.arange(-29, 1), before, "k.", markersize=3)
        row[0].set_ylabel(name)
    for axes in row:
        axes.set_xlabel("steps ahead")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=5
    )
    figure.savefig(path, dpi=120)
    print(f"\nPicture: {path}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look only")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    picture = Path("causal_convolutions.png")
    parser.add_argument("--picture", type=Path, default=picture)
    options = parser.parse_args(arguments)
    quick = options.quick
    learned, others = make_series()
    if quick:
        others = Series(*(part[:20] for part in others))
    models = compare((learned, others), options.seeds, quick)
    print_points(models, others)
    epochs, num_samples = (2, 10) if quick else (100, 100)
    forecasts = {}
    for name, next_step in (("direct", False), ("next step", True)):
        model = fit_normal(learned, next_step, options.seeds[0], epochs)
        forecasts[name] = forecast(
            model, others.seen, FAR, num_samples=num_samples, seed=1
        )
    print_paths(forecasts, others)
    draw(forecasts, others, options.picture)


if __name__ == "__main__":
    main()
