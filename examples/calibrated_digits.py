"""Are the probabilities of a digit reader true, and does it know what is new?

A convolutional network with dropout, and scikit-learn's 8 by 8 pixel digits:

1. Accuracy, NLL, Brier score and ECE before and after temperature scaling, of
   one pass without dropout and of the mean of many passes with it. Beside the
   ECE stands what it would be by chance, were all probabilities true: so far
   can it fall, not to 0.
2. Ten times one digit is kept from the network. How well does each measure of
   uncertainty tell its images from unseen images of the other nine? By AUROC
   (0.5 is chance), against the largest probability of the plain pass, the same
   after temperature scaling, and an ensemble of five networks; paired.
3. Do deeper networks err less, are they calibrated worse, and does temperature
   scaling mend that? One to four convolutions, with dropout and without.

A quarter of the 1,797 images is trained on and half is for the test: trained
on most of them, a network makes too few mistakes to tell anything. Temperatures
are fitted to the validation rows, the last quarter. Each seed, and each digit
left out, has a split and a network of its own. Nothing was chosen by the test
rows, nor tuned at all.

Intervals are 95 %, by Student's t over the paired differences. Splits share
images, so that they are rather too narrow.

    python examples/calibrated_digits.py            # some ten minutes
    python examples/calibrated_digits.py --quick    # a look only
"""

import argparse
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_seqtools as kst
from keras_seqtools.calibration import TemperatureScaling

Array = np.ndarray[Any, np.dtype[Any]]
Forecasts = Mapping[str, Array]  # class probabilities, by how they were made
Scores = Mapping[tuple[str, str], Array]  # by who is asked, and the measure

PLAIN, PASSES = "plain pass", "mean of passes"
SCALED = ", temperature"
COLUMNS = ("accuracy", "NLL", "Brier", "ECE", "ECE by chance")
ASKED = ("plain", "temperature", "passes", "networks", "both")


class Rows(NamedTuple):
    """Images `(n, 8, 8, 1)` and what they show `(n,)`."""

    x: Array
    y: Array

    def without(self, digit: int) -> "Rows":
        """The other nine digits, numbered from 0 to 8."""
        known = np.delete(np.arange(10), digit)
        rows = self.y != digit
        return Rows(self.x[rows], np.searchsorted(known, self.y[rows]))


class Gain(NamedTuple):
    """By how much one is better than the other, over paired trials."""

    mean: float
    low: float
    high: float
    won: int
    trials: int

    def __str__(self) -> str:
        interval = f"[{self.low:+.4f}, {self.high:+.4f}]"
        return f"{self.mean:+.4f} {interval} {self.won}/{self.trials}"


def split(seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows for training, validation and test, all digits in each alike."""
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1) / 16.0
    parts = []
    for size in (len(x) // 4, len(x) // 4):
        x_part, x, y_part, y = train_test_split(
            x, y, train_size=size, stratify=y, random_state=seed
        )
        parts.append(Rows(x_part, y_part))
    train, validation = parts
    return train, validation, Rows(x, y)


def make_model(classes: int, depth: int = 2, rate: float = 0.5) -> keras.Model:
    model = keras.Sequential([keras.Input((8, 8, 1))])
    for _ in range(depth):
        model.add(keras.layers.Conv2D(32, 3, padding="same", activation="relu"))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dropout(rate))
    model.add(keras.layers.Dense(64, activation="relu"))
    model.add(keras.layers.Dropout(rate))
    model.add(keras.layers.Dense(classes, activation="softmax"))
    return model


def fit_model(rows: Rows, seed: int, epochs: int, **shape: Any) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = make_model(int(rows.y.max()) + 1, **shape)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(rows.x, rows.y, batch_size=64, epochs=epochs, verbose=0)
    return model


def ask(
    model: Any, rows: Rows, num_samples: int, calibrator: Any = None
) -> Any:
    return kst.predict_uncertainty(
        model,
        rows.x,
        num_samples=num_samples,
        calibrator=calibrator,
        seed=1,
        verbose=0,
    )


def gain(differences: Iterable[float]) -> Gain:
    """Of differences between paired trials, above 0 where one is better."""
    found = np.asarray(list(differences))
    reach = stats.t.ppf(0.975, len(found) - 1) * stats.sem(found)
    mean = float(found.mean())
    won = np.count_nonzero(found > 0)
    return Gain(mean, mean - reach, mean + reach, int(won), len(found))


def chance_ece(p: Array) -> float:
    """The ECE that is left, on average, if all these probabilities are true."""
    top = p.max(-1)
    rng = np.random.default_rng(0)
    worlds = [(rng.random(top.shape) < top).astype(int) for _ in range(100)]
    eces = [kst.metrics.expected_calibration_error(y, top) for y in worlds]
    return float(np.mean(eces))


def quality(y: Array, p: Array) -> Array:
    """The numbers of `COLUMNS`."""
    return np.array(
        [
            np.mean(p.argmax(-1) == y),
            kst.metrics.log_loss(y, p),
            kst.metrics.brier_score(y, p),
            kst.metrics.expected_calibration_error(y, p),
            chance_ece(p),
        ]
    )


def print_row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_head(title: str, *columns: str) -> None:
    print(f"\n{title}\n")
    print_row(*columns)
    print_row(*["---"] * len(columns))


# Before and after.


def calibrate(
    seed: int, epochs: int, num_samples: int
) -> tuple[Array, Forecasts]:
    """Labels of the test rows, and what is forecast of them."""
    train, validation, test = split(seed)
    model = fit_model(train, seed, epochs)
    u = ask(model, validation, num_samples)
    scaling = TemperatureScaling().fit(validation.y, u.deterministic)
    pooled = TemperatureScaling().fit(validation.y, u)
    u = ask(model, test, num_samples, calibrator=pooled)
    return test.y, {
        PLAIN: u.deterministic,
        PLAIN + SCALED: scaling.transform(u.deterministic),
        PASSES: u.mean_probabilities,
        PASSES + SCALED: u.probabilities,
    }


def print_calibration(found: list[dict[str, Array]]) -> None:
    """Means over the seeds, and what was gained."""
    print_head(f"Test rows, means of {len(found)} seeds.", "", *COLUMNS)
    for name in found[0]:
        mean = np.mean([row[name] for row in found], axis=0)
        print_row(name, *(f"{value:.4f}" for value in mean))
    title = "By how much the second is better: mean, interval, seeds won."
    print_head(title, "", *COLUMNS[:4])
    for before, after in (
        (PLAIN, PLAIN + SCALED),
        (PASSES, PASSES + SCALED),
        (PLAIN, PASSES),
        (PLAIN + SCALED, PASSES + SCALED),
    ):
        gains = np.array([row[before] - row[after] for row in found])
        gains[:, 0] *= -1  # more accuracy is better, and less of the others
        cells = (gain(column) for column in gains.T[:4])
        print_row(f"{before} -> {after}", *cells)


# The digit left out.


def leave_out(
    digit: int, epochs: int, num_samples: int, members: int
) -> tuple[Array, Scores]:
    """Which test rows show `digit`, and scores of networks that never did."""
    train, validation, test = split(digit)
    train, validation = train.without(digit), validation.without(digit)
    # The seeds of no two networks are the same.
    models = [
        fit_model(train, digit + 10 * member, epochs)
        for member in range(members)
    ]
    u = ask(models[0], test, num_samples)
    validated = kst.predict_deterministic(models[0], validation.x, verbose=0)
    scaling = TemperatureScaling().fit(validation.y, validated)
    asked = {
        "passes": u.scores(),
        "networks": ask([without_dropout(m) for m in models], test, 1).scores(),
        "both": ask(models, test, num_samples // members).scores(),
    }
    for who, p in {
        "plain": u.deterministic,
        "temperature": scaling.transform(u.deterministic),
    }.items():
        entropy = kst.uncertainty.entropy(p)
        asked[who] = {"p_max": -p.max(-1), "predictive_entropy": entropy}
    return test.y == digit, {
        (who, measure): score
        for who, scores in asked.items()
        for measure, score in scores.items()
    }


def without_dropout(model: keras.Model) -> keras.Model:
    """The same network, in which nothing is random."""
    plain = make_model(model.output_shape[-1], rate=0.0)
    plain.set_weights(model.get_weights())
    return plain


def print_novelty(aurocs: list[dict[tuple[str, str], float]]) -> None:
    """Means over the digits left out, and what was gained."""
    auroc = {key: np.array([row[key] for row in aurocs]) for key in aurocs[0]}
    measures = [measure for who, measure in auroc if who == "passes"]
    title = f"AUROC, known against never seen, means of {len(aurocs)} digits."
    print_head(title, "", *ASKED)
    for measure in measures:
        cells = (auroc.get((who, measure)) for who in ASKED)
        means = ("" if cell is None else f"{cell.mean():.4f}" for cell in cells)
        print_row(measure, *means)
    print_head(
        "By how much the passes of one network are better: mean, interval, "
        "digits won.",
        "",
        "than plain p_max",
        "than p_max, temperature",
        "than the networks, by the same measure",
    )
    for measure in measures:
        others = (
            ("plain", "p_max"),
            ("temperature", "p_max"),
            ("networks", measure),
        )
        own = auroc["passes", measure]
        print_row(measure, *(gain(own - auroc[other]) for other in others))


# Depth.


def deepen(
    seed: int, epochs: int, depth: int, rate: float
) -> tuple[Array, float]:
    """`quality` of the plain pass before and after, and the temperature."""
    train, validation, test = split(seed)
    model = fit_model(train, seed, epochs, depth=depth, rate=rate)
    validated, p = (
        kst.predict_deterministic(model, rows.x, verbose=0)
        for rows in (validation, test)
    )
    scaling = TemperatureScaling().fit(validation.y, validated)
    after = quality(test.y, scaling.transform(p))
    return np.stack([quality(test.y, p), after]), scaling.temperature_


def print_depth(
    rate: float, depths: Iterable[int], seeds: int, epochs: int
) -> None:
    print_head(
        f"Dropout {rate}: means of {seeds} seeds, before -> after.",
        "convolutions",
        "error",
        "NLL",
        "ECE",
        "ECE by chance",
        "seeds where ECE fell",
        "temperature",
    )
    found = {}
    for depth in depths:
        trials = [deepen(seed, epochs, depth, rate) for seed in range(seeds)]
        scores = np.array([both for both, _ in trials])
        found[depth] = scores
        before, after = scores.mean(axis=0)
        fell = np.count_nonzero(scores[:, 0, 3] > scores[:, 1, 3])
        print_row(
            depth,
            f"{1 - before[0]:.4f}",
            *(f"{before[k]:.4f} -> {after[k]:.4f}" for k in (1, 3, 4)),
            f"{fell}/{seeds}",
            f"{np.mean([temperature for _, temperature in trials]):.2f}",
        )
    first, *_, last = found
    less = found[first] - found[last]
    print(f"\nBy how much {last} convolutions are better than {first}:")
    print(f"  error       {gain(-less[:, 0, 0])}")
    print(f"  ECE before  {gain(less[:, 0, 3])}")
    print(f"  ECE after   {gain(less[:, 1, 3])}", flush=True)


def draw(
    test: tuple[Array, Forecasts],
    folds: Sequence[tuple[Array, Scores]],
    path: Path,
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 10), layout="constrained")
    above, (left, right) = figure.subplots(2, 2)
    labels, forecasts = test
    for name, axes in zip((PLAIN, PASSES), above, strict=True):
        for suffix, label in (("", "before"), (SCALED, "after")):
            p = forecasts[name + suffix]
            kst.plots.reliability(labels, p, label=label, ax=axes)
        axes.set_title(f"Before and after temperature: {name}, seed 0")
    is_novel = np.concatenate([novel for novel, _ in folds])
    for key in (
        ("plain", "p_max"),
        ("temperature", "p_max"),
        ("networks", "mutual_information"),
        ("passes", "mutual_information"),
    ):
        score = np.concatenate([scores[key] for _, scores in folds])
        kst.plots.roc(is_novel, score, label=", ".join(key), ax=right)
    right.set_title("ROC of the same, and of others")
    kst.plots.score_histogram(is_novel, score, ax=left)
    left.set_xlabel("mutual information of the passes")
    left.set_title("All digits left out, together")
    figure.savefig(path, dpi=120)
    print(f"\nPicture: {path}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look only")
    picture = Path("calibrated_digits.png")
    parser.add_argument("--picture", type=Path, default=picture)
    options = parser.parse_args(arguments)
    quick = options.quick
    epochs, num_samples = (4, 10) if quick else (40, 100)

    tests = [
        calibrate(seed, epochs, num_samples)
        for seed in range(2 if quick else 10)
    ]
    print_calibration(
        [{name: quality(y, p) for name, p in ps.items()} for y, ps in tests]
    )
    folds = [
        leave_out(digit, epochs, num_samples, members=2 if quick else 5)
        for digit in range(2 if quick else 10)
    ]
    print_novelty(
        [
            {key: kst.metrics.auroc(novel, s) for key, s in scores.items()}
            for novel, scores in folds
        ]
    )
    depths = (1, 2) if quick else (1, 2, 3, 4)
    for rate in (0.0, 0.5):
        print_depth(rate, depths, 2 if quick else 5, epochs)
    draw(tests[0], folds, options.picture)


if __name__ == "__main__":
    main()
