"""How many times does a person see a doctor in a year?

Four laws of counts, each with and without hidden layers, on the 20,190 years
of persons that statsmodels ships from the RAND Health Insurance Experiment;
beside them what maximum likelihood by statsmodels makes of the same rows.

    python examples/doctor_visits.py            # about a minute
    python examples/doctor_visits.py --quick    # a look only
"""

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import statsmodels.api as sm

import keras_seqtools as kst

Array = np.ndarray[Any, np.dtype[Any]]
Models = dict[tuple[str, bool], keras.Model]  # by law, and whether hidden

BATCH_SIZE = 256
COUNTS = 21  # bars of the picture: 0 to 20 visits
LAWS = {
    "Poisson": (kst.heads.PoissonHead, sm.Poisson),
    "negative binomial": (kst.heads.NegativeBinomialHead, sm.NegativeBinomial),
    "zero-inflated Poisson": (
        kst.heads.ZeroInflatedPoissonHead,
        sm.ZeroInflatedPoisson,
    ),
    "zero-inflated n. b.": (
        kst.heads.ZeroInflatedNegativeBinomialHead,
        sm.ZeroInflatedNegativeBinomialP,
    ),
}
COLUMNS = {
    "nll": ("NLL", ".4f"),
    "zeros": ("zeros", ".3f"),
    "pearson": ("Pearson", ".2f"),
    "crps": ("CRPS", ".3f"),
    "coverage_90": ("in 90 %", ".3f"),
    "weights": ("weights", ".0f"),
    "statsmodels": ("statsmodels", ".4f"),
}


class Part(NamedTuple):
    """Rows of the data: regressors, visits, and whose they are."""

    x: Array
    y: Array
    person: Array


def load() -> list[Part]:
    """Training, validation and test part, standardised by the first."""
    table = sm.datasets.randhie.load_pandas()
    x, y = table.exog.to_numpy("float64"), table.endog.to_numpy("float64")
    # A person has a row a year, mostly with the same regressors. All of them
    # go to one part: else a network could learn the people of the test.
    person = people(x)
    rng = np.random.default_rng(0)
    part = rng.choice(3, person.max() + 1, p=(0.6, 0.2, 0.2))[person]
    mean, std = x[part == 0].mean(0), x[part == 0].std(0)
    return [
        Part((x[rows] - mean) / std, y[rows], person[rows])
        for rows in (part == 0, part == 1, part == 2)
    ]


def people(x: Array) -> Array:
    """A number for each row, the same where all regressors are."""
    return np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)


def fit_model(
    law: str, hidden: bool, train: Part, validation: Part, epochs: int
) -> keras.Model:
    keras.utils.set_random_seed(0)
    head_class, _ = LAWS[law]
    # One dispersion for all is the model of the textbooks.
    is_textbook = head_class.dispersions and not hidden
    head = head_class(dispersion="constant" if is_textbook else "input")
    layers = [keras.layers.Dense(64, "relu") for _ in range(2 * hidden)]
    model = keras.Sequential([keras.Input(train.x.shape[1:]), *layers, head])
    head.adapt(train.y)
    steps = epochs * -(-len(train.y) // BATCH_SIZE)
    # The few weights of a head alone want large steps, and cannot overfit.
    rate = keras.optimizers.schedules.CosineDecay(
        1e-3 if hidden else 3e-2, steps
    )
    best_epoch = keras.callbacks.EarlyStopping(
        patience=epochs, restore_best_weights=True
    )
    model.compile(
        keras.optimizers.Adam(rate),
        loss=kst.losses.NegativeLogLikelihood(head),
    )
    model.fit(
        train.x,
        train.y,
        validation_data=(validation.x, validation.y),
        epochs=epochs,
        batch_size=BATCH_SIZE,
        callbacks=[best_epoch] if hidden else [],
        verbose=0,
    )
    return model


def maximum_likelihood(law: str, train: Part, test: Part) -> float:
    """Mean NLL on the test part of what statsmodels fits to the training."""
    head_class, model_class = LAWS[law]
    x, x_test = (sm.add_constant(part.x) for part in (train, test))
    # An inflated law has regressors of its inflation: here, the same.
    inflation, inflation_test = (
        {"exog_infl": x} if "zero_logit" in head_class.parameters else {}
        for x in (x, x_test)
    )
    model = model_class(train.y, x, **inflation)
    fit = model.fit(method="bfgs", maxiter=500, disp=False)
    distribution = fit.get_distribution(x_test, **inflation_test)
    return -float(distribution.logpmf(test.y).mean())


def scores(model: keras.Model, test: Part) -> dict[str, float]:
    head, y = model.layers[-1], test.y[:, None]
    y_pred = model.predict(test.x, verbose=0)
    pearson = np.square(y - head.mean(y_pred)) / head.variance(y_pred)
    return {
        **kst.evaluate_uncertainty(
            model, test.x, test.y, levels=(0.9,), seed=1, verbose=0
        ),
        "zeros": float(np.mean(head.prob_below(y_pred, 1))),
        "pearson": float(np.mean(pearson)),
        "weights": sum(np.size(w) for w in model.trainable_variables),
    }


def nll(model: keras.Model, part: Part) -> Array:
    """Negative log-likelihood of each row."""
    y_pred = model.predict(part.x, verbose=0)
    return -np.asarray(model.layers[-1].log_likelihood(part.y, y_pred))


def standard_error(values: Array, person: Array) -> float:
    """Of the mean of `values`, where those of one person go together."""
    sums = np.bincount(person, values - values.mean())
    return float(np.sqrt(np.square(sums).sum()) / len(values))


def expected_frequencies(head: Any, y_pred: Array) -> Array:
    """The mean over the rows of the probability of 0, 1, 2, ... visits."""
    return np.array(
        [
            np.exp(head.log_prob(np.full(len(y_pred), k), y_pred)).mean()
            for k in range(COUNTS)
        ]
    )


def print_row(law: str, hidden: bool, found: Mapping[str, float]) -> None:
    cells = (
        format(found[name], digits) if name in found else ""
        for name, (_, digits) in COLUMNS.items()
    )
    print(
        f"{law:23}{'64, 64' if hidden else 'none':>7}"
        + "".join(f"{cell:>12}" for cell in cells),
        flush=True,
    )


def print_gains(models: Models, parts: Mapping[str, Part]) -> None:
    print(
        "\nWhat hidden layers take off the NLL, with its standard error over "
        f"people:\n{'':23}" + "".join(f"{name:>20}" for name in parts)
    )
    for law in LAWS:
        cells = []
        for part in parts.values():
            gain = nll(models[law, False], part) - nll(models[law, True], part)
            error = standard_error(gain, part.person)
            cells.append(f"{gain.mean():.4f} +- {error:.4f}")
        print(f"{law:23}" + "".join(f"{cell:>20}" for cell in cells))


def draw(models: Models, test: Part, path: Path) -> None:
    """Hanging rootograms: a bar that misses the axis is a misfit."""
    from matplotlib.figure import Figure

    observed = np.bincount(test.y.astype(int))[:COUNTS]
    visits = np.arange(COUNTS)
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for law, axes in zip(LAWS, panels, strict=True):
        model = models[law, False]
        y_pred = model.predict(test.x, verbose=0)
        frequencies = expected_frequencies(model.layers[-1], y_pred)
        top = np.sqrt(len(test.y) * frequencies)
        axes.bar(visits, -np.sqrt(observed), bottom=top, color="lightsteelblue")
        axes.plot(visits, top, "o-", color="tab:red", markersize=3)
        axes.axhline(0, color="black", linewidth=1)
        axes.set(title=law)
    figure.suptitle(
        "Test part, no hidden layers. Line: root of the expected frequency. "
        "Bars: root of the observed, hung from it"
    )
    figure.supxlabel("visits to a doctor in a year")
    figure.savefig(path, dpi=120)
    print(f"\nPicture: {path}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look only")
    parser.add_argument(
        "--picture", type=Path, default=Path("doctor_visits.png")
    )
    options = parser.parse_args(arguments)
    train, validation, test = load()
    epochs = 3 if options.quick else 40
    print(
        f"{len(train.y):,} rows to train, {len(validation.y):,} to validate, "
        f"{len(test.y):,} to test. All scores are of the test.\n\n"
        "NLL: nats; that of statsmodels in the last column.\n"
        f"zeros: predicted share, of {np.mean(test.y == 0):.3f} observed.\n"
        "Pearson: mean of (y - mean)^2 / variance; 1 is right.\n"
        "CRPS: visits. in 90 %: of counts, at least .9 is right.\n\n"
        f"{'':23}{'hidden':>7}"
        + "".join(f"{name:>12}" for name, _ in COLUMNS.values())
    )
    models: Models = {}
    for law, hidden in itertools.product(LAWS, (False, True)):
        model = fit_model(law, hidden, train, validation, epochs)
        found = scores(model, test)
        if not hidden:
            found["statsmodels"] = maximum_likelihood(law, train, test)
        print_row(law, hidden, found)
        models[law, hidden] = model
    print_gains(models, {"validation": validation, "test": test})
    draw(models, test, options.picture)


if __name__ == "__main__":
    main()
