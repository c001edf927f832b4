"""Is this a digit the network has never seen?

Ten networks, each trained on nine of scikit-learn's ten digits. Which measure
of uncertainty tells the images of the tenth digit, novel to it, from unseen
images of the nine? All are ranked by AUROC (0.5 is chance) beside the plain
largest probability of one pass without dropout.

    python examples/novel_digits.py
"""

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

import keras_seqtools as kst

SHOWN = 1  # the digit of the picture
MEASURES = (
    "p_max",
    "total_std",
    "predictive_entropy",
    "mutual_information",
    "variation_ratio",
)


def fit_model(x: Any, y: Any, epochs: int) -> keras.Model:
    """A small convolutional network, with ordinary dropout."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(9, activation="softmax"),
        ]
    )
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def without(digit: int, epochs: int, num_samples: int) -> dict[str, Any]:
    """Scores of known and novel images by a network that never saw `digit`."""
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1) / 16.0
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.5, stratify=y, random_state=0
    )
    keras.utils.set_random_seed(digit)
    known = [k for k in range(10) if k != digit]
    rows = y_train != digit
    model = fit_model(
        x_train[rows], np.searchsorted(known, y_train[rows]), epochs
    )
    u = kst.predict_uncertainty(
        model, x_test, num_samples=num_samples, seed=1, verbose=0
    )
    assert isinstance(u, kst.uncertainty.ClassificationUncertainty)
    is_novel = y_test == digit
    plain = u.deterministic  # the same network in one pass without dropout
    right = [
        (p.argmax(-1) == np.searchsorted(known, y_test))[~is_novel].mean()
        for p in (plain, u.probabilities)
    ]
    return {
        "is_novel": is_novel,
        "accuracy": right,
        "plain p_max": -plain.max(-1),
        **{name: u.score(name) for name in MEASURES},
    }


def draw(scores: dict[str, Any], digit: int, path: Path) -> None:
    from matplotlib.figure import Figure

    names = ("plain p_max", *MEASURES)
    figure = Figure(figsize=(12, 6), layout="constrained")
    for name, axes in zip(names, figure.subplots(2, 3).flat, strict=True):
        bins = np.histogram_bin_edges(scores[name], 30).tolist()
        for novel, label in ((False, "known digits"), (True, f"digit {digit}")):
            axes.hist(
                scores[name][scores["is_novel"] == novel],
                bins,
                density=True,
                alpha=0.6,
                label=label,
            )
        axes.set(title=f"{name}: {auroc(scores, name):.3f}")
    figure.suptitle(
        f"Never seen in training: digit {digit}. To the right, less sure; "
        "with the AUROC of each measure"
    )
    figure.axes[0].legend()
    figure.savefig(path, dpi=120)
    print(f"\nPicture: {path}")


def auroc(scores: dict[str, Any], name: str) -> float:
    return float(roc_auc_score(scores["is_novel"], scores[name]))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two digits only")
    parser.add_argument(
        "--picture", type=Path, default=Path("novel_digits.png")
    )
    options = parser.parse_args(arguments)
    epochs, num_samples = (5, 20) if options.quick else (15, 100)
    names = ("plain p_max", *MEASURES)
    print("AUROC, known against never seen:\n")
    print("never seen  " + "".join(f"{name:>20}" for name in names), flush=True)
    table, accuracy = [], []
    for digit in range(2 if options.quick else 10):
        scores = without(digit, epochs, num_samples)
        table.append([auroc(scores, name) for name in names])
        accuracy.append(scores["accuracy"])
        cells = "".join(f"{value:20.3f}" for value in table[-1])
        print(f"{digit:10}  {cells}", flush=True)
        if digit == SHOWN:
            shown = scores
    means = np.mean(table, axis=0)
    better = (np.array(table) > np.array(table)[:, :1]).sum(0)
    print("      mean  " + "".join(f"{value:20.3f}" for value in means))
    print(
        "better than plain"
        + "".join(
            f"{f'{n} of {len(table)}':>20}" if i else " " * 15
            for i, n in enumerate(better)
        )
    )
    plain, sampled = np.mean(accuracy, axis=0)
    print(
        f"\nAccuracy on known digits: {plain:.4f} without dropout, "
        f"{sampled:.4f} by the mean of {num_samples} passes."
    )
    draw(shown, SHOWN, options.picture)


if __name__ == "__main__":
    main()
