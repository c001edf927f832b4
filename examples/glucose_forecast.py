"""Glucose 30 minutes ahead, how uncertain that is, and the chance of a low.

Two layer-normalised GRUs and a Student t head, sampled by Monte Carlo dropout,
on 52,281 sensor readings of one person; beside them persistence, ridge
regression and gradient boosting. The last 15 % of the record are the test;
nothing is fitted to them and nothing chosen by them.

    python examples/glucose_forecast.py            # some minutes on two cores
    python examples/glucose_forecast.py --quick    # a look, about a minute
"""

import argparse
import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import glucose_baselines as baselines
import keras
import numpy as np
from glucose_baselines import LOW
from glucose_baselines import NUM_DRAWS
from glucose_baselines import QUANTILES
from glucose_baselines import Forecast
from glucose_data import Array
from glucose_data import Windows
from glucose_data import load
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

import keras_seqtools as kst

BATCH_SIZE = 256
LEARNING_RATE = 4e-3


def inputs(windows: Windows) -> list[Array]:
    return [windows.inputs, windows.last]


def fit_model(
    train: Windows, validation: Windows, epochs: int, seed: int
) -> tuple[keras.Model, kst.heads.DistributionHead]:
    keras.utils.set_random_seed(seed)
    window, last = keras.Input((36, 2)), keras.Input((1,))
    h = kst.layers.LayerNormGRU(
        48, recurrent_dropout=0.25, mc_dropout=True, return_sequences=True
    )(window)
    h = kst.layers.LayerNormGRU(64, recurrent_dropout=0.25, mc_dropout=True)(h)
    h = kst.layers.MCDropout(0.1)(h)
    # The head predicts the change and adds it to the last reading, so
    # everything it says is in mg/dL.
    head = kst.heads.StudentTHead(offset=True)
    model = kst.models.UncertaintyModel([window, last], head([h, last]))
    head.adapt(train.target, offset=train.last)
    steps = epochs * -(-len(train) // BATCH_SIZE)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
        ),
        loss=kst.losses.NegativeLogLikelihood(head),
        metrics=[kst.metrics.MeanMetric(head, "mae")],
    )
    model.fit(
        inputs(train),
        train.target,
        validation_data=(inputs(validation), validation.target),
        epochs=epochs,
        batch_size=BATCH_SIZE,
        verbose=2,
    )
    return model, head


def dropout_off(
    model: keras.Model, head: kst.heads.DistributionHead, windows: Windows
) -> Forecast:
    """What the model says in one pass without noise."""
    y_pred = kst.predict_deterministic(model, inputs(windows), verbose=0)
    return Forecast(
        mean=np.asarray(head.mean(y_pred)),
        nll=-np.asarray(head.log_prob(windows.target, y_pred)),
        quantiles=dict(
            zip(
                QUANTILES,
                np.asarray(head.quantile(y_pred, QUANTILES)),
                strict=True,
            )
        ),
        draws=np.asarray(head.sample(y_pred, NUM_DRAWS, seed=0)),
        prob_low=np.asarray(head.prob_below(y_pred, LOW)),
    )


def sampled(
    model: Any,
    head: kst.heads.DistributionHead,
    windows: Windows,
    num_samples: int,
) -> tuple[Forecast, kst.uncertainty.RegressionUncertainty]:
    """What the mixture over passes with dropout says."""
    u = model.predict_uncertainty(
        inputs(windows),
        num_samples=num_samples,
        quantiles=QUANTILES,
        levels=(0.5, 0.9),
        thresholds=(LOW,),
        return_samples=True,
        seed=1,
    )
    log_densities = np.stack(
        [head.log_prob(windows.target, y_pred) for y_pred in u.samples]
    )
    draws = head.sample(u.samples, NUM_DRAWS // num_samples, seed=0)
    forecast = Forecast(
        mean=u.mean,
        nll=np.log(num_samples) - logsumexp(log_densities, axis=0),
        quantiles={q: u.quantile(q) for q in QUANTILES},
        draws=np.reshape(draws, (NUM_DRAWS, *u.mean.shape)),
        prob_low=u.prob_below(LOW),
    )
    return forecast, u


def print_table(forecasts: Mapping[str, Forecast], test: Windows) -> None:
    """Every score of every forecast, with its interval over days."""
    print(
        f"\nTest set: {len(test):,} windows, {len(np.unique(test.days))} days."
        "\nIn brackets a 95 % interval, by a bootstrap over days. RMSE, CRPS,"
        "\npinball and 90 % interval score in mg/dL, NLL in nats of mg/dL."
        "\n`bends`: boosters given the second differences of the readings too."
    )
    columns = {
        "RMSE": ("squared_error", ".2f"),
        "NLL": ("nll", ".3f"),
        "CRPS": ("crps", ".2f"),
        "pinball": ("pinball", ".2f"),
        "interval": ("interval_score", ".1f"),
        "in 50 %": ("covered_50", ".3f"),
        "in 90 %": ("covered_90", ".3f"),
    }
    print(f"\n{'':18}" + "".join(f"{name:>22}" for name in columns))
    for name, forecast in forecasts.items():
        scores = baselines.scores(forecast, test.target)
        cells = []
        for score, digits in columns.values():
            if score not in scores:
                cells.append("-")
                continue
            values = [
                scores[score].mean(),
                *baselines.bootstrap_over_days(scores[score], test.days),
            ]
            if score == "squared_error":
                values = list(np.sqrt(values))
            mean, low, high = (format(value, digits) for value in values)
            cells.append(f"{mean} [{low}, {high}]")
        print(f"{name:18}" + "".join(f"{cell:>22}" for cell in cells))


def print_new_lows(forecasts: Mapping[str, Forecast], test: Windows) -> None:
    rows = test.last[:, 0] >= LOW
    is_low = test.target[rows, 0] < LOW
    print(
        f"\nNew lows: of {rows.sum():,} windows that end at {LOW:g} mg/dL or "
        f"above, {is_low.sum()} are below it 30 minutes later.\n"
        "AUROC of what could warn of them:"
    )
    warnings = {
        "last value": -test.last,
        "trend": -baselines.trend(test),
        **{
            f"P(<{LOW:g}), {name}": forecast.prob_low
            for name, forecast in forecasts.items()
            if forecast.prob_low is not None
        },
    }
    for name, warning in warnings.items():
        print(f"  {name:32}{roc_auc_score(is_low, warning[rows, 0]):.3f}")


def reliability(
    prob_low: Array, target: Array
) -> list[tuple[int, float, float]]:
    """Number, mean probability and frequency of lows, by probability."""
    edges = [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0]
    bins = np.digitize(prob_low, edges[1:-1])
    return [
        (int(here.sum()), prob_low[here].mean(), (target[here] < LOW).mean())
        for b in range(len(edges) - 1)
        if (here := bins == b).any()
    ]


def print_details(
    forecast: Forecast,
    u: kst.uncertainty.RegressionUncertainty,
    test: Windows,
) -> None:
    assert forecast.prob_low is not None
    print(f"\nReliability of P(<{LOW:g}):\n      n  predicted   seen")
    for n, predicted, seen in reliability(forecast.prob_low, test.target):
        print(f"{n:7,} {predicted:10.3f} {seen:6.3f}")

    print("\nCoverage of the 90 % interval, by the last reading in mg/dL:")
    lower, upper = u.interval(0.9)
    inside = (lower <= test.target) & (test.target <= upper)
    edges = [0, 70, 100, 140, 180, 250, 401]
    for low, high in itertools.pairwise(edges):
        here = (low <= test.last) & (test.last < high)
        print(
            f"  {low:3} to {high - 1:3} {here.sum():6,} windows "
            f"{inside[here].mean():.3f}"
        )

    print("\nRMSE by fifth of the predicted standard deviation, in mg/dL:")
    error = np.square(u.mean - test.target)[:, 0]
    for rows in np.array_split(np.argsort(u.std[:, 0]), 5):
        print(
            f"  predicted {u.std[rows].mean():5.1f}   "
            f"found {np.sqrt(error[rows].mean()):5.1f}"
        )


def print_what_dropout_adds(
    off: Forecast,
    on: Forecast,
    u: kst.uncertainty.RegressionUncertainty,
) -> None:
    assert off.nll is not None
    assert on.nll is not None
    share = u.epistemic_variance.mean() / u.variance.mean()
    print(
        f"\nWhat {u.num_samples} passes add to one without dropout: the NLL "
        f"goes from {off.nll.mean():.4f} to {on.nll.mean():.4f}.\n"
        f"Of the predicted variance {share:.1%} is epistemic, and that share "
        "follows the dropout rate rather than\nthe amount of data. Here the "
        "head does the work; where sampling matters see calibrated_digits.py."
    )


def draw(
    u: kst.uncertainty.RegressionUncertainty,
    forecast: Forecast,
    test: Windows,
    path: Path,
) -> None:
    """One test day with its bands, and the reliability of P(<70)."""
    from matplotlib.figure import Figure

    assert forecast.prob_low is not None
    days, counts = np.unique(test.days, return_counts=True)
    # The first full day on which something happens: it goes low.
    full = days[counts > 250]
    lows = [(test.target[test.days == day] < LOW).any() for day in full]
    rows = test.days == full[int(np.argmax(lows))]
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    hours = (test.time[rows] - test.days[rows]) / np.timedelta64(1, "h")
    for level, alpha in ((0.9, 0.2), (0.5, 0.4)):
        lower, upper = (end[rows, 0] for end in u.interval(level))
        left.fill_between(
            hours,
            lower,
            upper,
            color="tab:blue",
            alpha=alpha,
            linewidth=0,
            label=f"{level:.0%} interval",
        )
    left.plot(hours, u.mean[rows], color="tab:blue", label="mean")
    left.plot(hours, test.target[rows], "k.", markersize=3, label="sensor")
    left.axhline(LOW, color="tab:red", linewidth=1)
    left.set(
        title=f"{test.days[rows][0]}: forecasts made 30 minutes before",
        xlabel="hour of the day",
        ylabel="glucose [mg/dL]",
    )
    left.legend(loc="upper right")
    points = reliability(forecast.prob_low, test.target)
    right.plot([0, 1], [0, 1], color="gray", linewidth=1)
    right.plot([p for _, p, _ in points], [s for *_, s in points], "o-")
    for n, predicted, seen in points:
        if predicted > 0.1:  # below, the counts would cover each other
            right.annotate(
                f"{n:,}",
                (predicted, seen),
                xytext=(5, -9),
                textcoords="offset points",
            )
    right.set(
        title=f"P(below {LOW:g} mg/dL), with counts",
        xlabel="predicted",
        ylabel="seen",
    )
    figure.savefig(path, dpi=120)
    print(f"\nPicture: {path}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--picture", type=Path, default=Path("glucose_forecast.png")
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - started:3.0f} s] {what}", flush=True)

    say("reading the record")
    train, validation, test = load()
    say(f"{len(train):,} / {len(validation):,} / {len(test):,} windows")
    say("fitting the baselines")
    models = baselines.fit_all(train, validation, quick=options.quick)
    forecasts = {name: predict(test) for name, predict in models.items()}
    epochs, num_samples = (2, 10) if options.quick else (12, 100)
    say(f"fitting the model, seed {options.seed}")
    model, head = fit_model(train, validation, epochs, options.seed)
    say(f"predicting the test set, {num_samples} passes")
    off = dropout_off(model, head, test)
    on, u = sampled(model, head, test, num_samples)
    forecasts["ours, dropout off"] = off
    forecasts[f"ours, {num_samples} passes"] = on
    say("scoring")
    print_table(forecasts, test)
    print_new_lows(forecasts, test)
    print_details(on, u, test)
    print_what_dropout_adds(off, on, u)
    draw(u, on, test, options.picture)
    say("done")
    print(
        "\nOne anonymous person, 2010, sensor readings. Not a medical device. "
        "Not for treatment decisions."
    )


if __name__ == "__main__":
    main()
