"""Where does layer normalisation pay? Recurrent layers on three questions.

`adding`: two numbers, marked somewhere in the two halves of a series of 200,
are to be summed at its end (Hochreiter & Schmidhuber, 1997; here with marks of
0 and 1 and the plain sum). Who always answers 1 has an mse of 1/6.

`glucose`: one recurrent layer and a Student t head on the windows of
`glucose_data`, three hours in and 30 minutes ahead.

`gradients`: how much of a gradient is left so many steps back, at the start of
training; and what clipping does when there is too much of it.

All layers have the same units, optimizer, steps, batches and seeds, and else
the defaults. On the adding problem every learning rate is shown; on glucose
each layer gets its best of the same three, by the NLL of the validation rows
with a seed of its own and half the epochs. Nothing is chosen by the test rows.
Steps are equal, not seconds: `benchmarks/recurrent.py` says what one costs.

    python examples/recurrent_layers.py gradients          # about a minute
    python examples/recurrent_layers.py glucose            # some ten minutes
    python examples/recurrent_layers.py adding             # about an hour
    python examples/recurrent_layers.py adding --quick     # a look only
"""

import argparse
import itertools
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from glucose_data import Array
from glucose_data import Windows
from glucose_data import load

import keras_seqtools as kst

LAYERS = ("GRU", "LSTM", "LayerNormGRU", "LayerNormLSTM")
RATES = (1e-3, 3e-3, 1e-2)
LAGS = (1, 10, 50, 100)
CLIPS = {"clipvalue": 0.5, "clipnorm": 1.0, "global_clipnorm": 1.0}

EPILOG = """\
Keras does not clip gradients by itself. Where they can explode, ask for it:
  keras.optimizers.Adam(global_clipnorm=1.0)  all gradients, by their joint norm
  keras.optimizers.Adam(clipnorm=1.0)         each weight's, by its own norm
  keras.optimizers.Adam(clipvalue=0.5)        each number, which turns the step
"""


def make_layer(name: str, units: int, **kwargs: Any) -> keras.layers.Layer:
    module = kst.layers if name.startswith("LayerNorm") else keras.layers
    return getattr(module, name)(units, **kwargs)


def print_row(name: str, *cells: object) -> None:
    print(f"| {name:20} |" + "".join(f" {c:>7} |" for c in cells), flush=True)


def print_head(title: str, name: str, *columns: str) -> None:
    print(f"\n{title}\n")
    print_row(name, *columns)
    print_row("---", *["---:"] * len(columns))


# The adding problem.


def adding_data(
    rng: np.random.Generator, size: int, length: int
) -> tuple[Array, Array]:
    """Values and marks `(size, length, 2)`, and the sums `(size, 1)`."""
    values = rng.random((size, length), "float32")
    half, rows = length // 2, np.arange(size)
    marks = np.zeros_like(values)
    marks[rows, rng.integers(half, size=size)] = 1
    marks[rows, rng.integers(half, length, size=size)] = 1
    sums = np.sum(values * marks, axis=1, keepdims=True)
    return np.stack([values, marks], axis=-1), sums


def fit_adding(
    name: str, rate: float, seed: int, steps: int, length: int, rows: Any
) -> tuple[keras.layers.Layer, list[float]]:
    """The layer, and the mse on `rows` after every 100 steps."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    series = keras.Input((length, 2))
    layer = make_layer(name, 64, return_state=True)
    output, *_ = layer(series)
    model = keras.Model(series, keras.layers.Dense(1)(output))
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), loss="mse")

    def batches() -> Iterator[tuple[Array, Array]]:
        rng = np.random.default_rng(seed)
        while True:
            yield adding_data(rng, 64, length)

    history = model.fit(
        batches(),
        steps_per_epoch=100,
        epochs=steps // 100,
        validation_data=rows,
        validation_batch_size=500,
        shuffle=False,
        verbose=0,
    )
    return layer, history.history["val_loss"]


def solved_at(mse: Sequence[float]) -> str:
    below = np.flatnonzero(np.less(mse, 0.01))
    return f"{100 * (below[0] + 1):,}" if len(below) else "never"


def adding(layers: Sequence[str], seeds: Sequence[int], quick: bool) -> None:
    steps, length = (200, 20) if quick else (1500, 200)
    lag = length // 2
    # A seed that no training run draws its batches with.
    test = adding_data(np.random.default_rng(10_000), 1000, length)
    print_head(
        f"The adding problem, {length} long, {steps:,} batches of 64. For each "
        "seed the test mse at\nthe end, and after how many batches it was "
        f"below .01; the median gradient {lag} back.",
        "layer",
        "rate",
        *(f"mse {seed}" for seed in seeds),
        *(f"at {seed}" for seed in seeds),
        f"lag {lag}",
    )
    for name in layers:
        for rate in RATES[:1] if quick else RATES:
            curves, gradients = [], []
            for seed in seeds:
                layer, mse = fit_adding(name, rate, seed, steps, length, test)
                curves.append(mse)
                norms = gradient_by_lag(layer, test[0][:100], lag)
                gradients.append(norms[lag])
            cells = [f"{mse[-1]:.4f}" for mse in curves]
            cells += [solved_at(mse) for mse in curves]
            print_row(name, rate, *cells, f"{np.median(gradients):.0e}")


# Glucose.


def fit_glucose(
    name: str, rate: float, seed: int, epochs: int, parts: tuple[Windows, ...]
) -> tuple[float, float]:
    """RMSE and NLL on the second of `parts`, fitted to the first."""
    train, rows = parts
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    window, last = keras.Input((36, 2)), keras.Input((1,))
    head = kst.heads.StudentTHead(offset=True)
    h = make_layer(name, 48)(window)
    model = keras.Model([window, last], head([h, last]))
    head.adapt(train.target, offset=train.last)
    steps = epochs * -(-len(train) // 256)
    decay = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        keras.optimizers.Adam(decay),
        loss=kst.losses.NegativeLogLikelihood(head),
    )
    inputs = [train.inputs, train.last]
    model.fit(inputs, train.target, epochs=epochs, batch_size=256, verbose=0)
    y_pred = model.predict([rows.inputs, rows.last], verbose=0)
    error = np.asarray(head.mean(y_pred)) - rows.target
    nll = -np.mean(head.log_prob(rows.target, y_pred))
    return float(np.sqrt(np.mean(np.square(error)))), float(nll)


def glucose(layers: Sequence[str], seeds: Sequence[int], quick: bool) -> None:
    epochs, every = (2, 20) if quick else (10, 1)
    rates = RATES[:1] if quick else RATES
    train, validation, test = (
        Windows(**{name: rows[::every] for name, rows in vars(part).items()})
        for part in load()
    )
    print_head(
        f"Glucose, {epochs} epochs: RMSE in mg/dL and NLL of the test rows for "
        "each seed, and\ntheir means.",
        "layer",
        "rate",
        *(f"RMSE {seed}" for seed in (*seeds, "")),
        *(f"NLL {seed}" for seed in (*seeds, "")),
    )
    for name in layers:
        tried = [
            # With a seed that is none of those reported.
            fit_glucose(name, rate, 100, epochs // 2, (train, validation))
            for rate in rates
        ]
        rate = rates[int(np.nanargmin([nll for _, nll in tried]))]
        scores = [
            fit_glucose(name, rate, seed, epochs, (train, test))
            for seed in seeds
        ]
        rmse, nll = np.transpose([*scores, np.mean(scores, axis=0)])
        cells = [f"{x:.2f}" for x in rmse] + [f"{x:.3f}" for x in nll]
        print_row(name, rate, *cells)


# Gradients.


def gradient_by_lag(
    layer: keras.layers.Layer, series: Array, lags: int
) -> Array:
    """Norm of the gradient 0, ..., `lags` steps before the end, `(lags + 1,)`.

    The gradient of a random unit direction of the last output, by the whole
    state of the step: mean norm over the series. The layer returns its state.
    """
    with tf.GradientTape() as tape:
        _, *state = layer(series[:, :-lags])
        states = [state]
        for step in range(series.shape[1] - lags, series.shape[1]):
            _, *state = layer(series[:, step : step + 1], initial_state=state)
            states.append(state)
        direction = np.random.default_rng(0).normal(size=state[0].shape)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        loss = tf.reduce_sum(state[0] * direction.astype("float32"))
    gradients = tape.gradient(loss, states, unconnected_gradients="zero")
    # Their squares would be too small for float32.
    wide = [np.hstack(parts).astype("float64") for parts in gradients]
    return np.mean(np.linalg.norm(wide[::-1], axis=2), axis=1)


def gradients(layers: Sequence[str], seeds: Sequence[int], quick: bool) -> None:
    size, lags = (10, LAGS[:2]) if quick else (100, LAGS)
    rng = np.random.default_rng(10_000)
    series, _ = adding_data(rng, size, 2 * max(lags))
    print_head(
        "The gradient so many steps back, untrained, on the series of the "
        "adding problem:\nby the gain of the recurrent kernel (for SimpleRNN "
        "all its singular values).",
        "layer",
        *("gain", *map(str, lags)),
    )
    for name in ("SimpleRNN", *layers):
        for gain in (0.5, 1.0, 2.0):
            norms = []
            for seed in seeds:
                keras.utils.set_random_seed(seed)
                kernel = keras.initializers.Orthogonal(gain)
                layer = make_layer(
                    name, 64, recurrent_initializer=kernel, return_state=True
                )
                norms.append(gradient_by_lag(layer, series, max(lags)))
            mean = np.mean(norms, axis=0)
            print_row(name, gain, *(f"{mean[lag]:.0e}" for lag in lags))
    clipping(epochs=2 if quick else 20)


def clipping(epochs: int) -> None:
    """Train a network that explodes, with and without."""
    print_head(
        "What clipping does for SimpleRNN(64, 'relu') of gain 1.5, 50 steps "
        "long: training\nmse in an epoch.",
        "optimizer",
        *("first", "last"),
    )
    rows = adding_data(np.random.default_rng(0), 640, 50)
    rates = {keras.optimizers.SGD: 1e-2, keras.optimizers.Adam: 1e-3}
    for (make, rate), clip in itertools.product(rates.items(), ("", *CLIPS)):
        keras.utils.set_random_seed(0)
        kernel = keras.initializers.Orthogonal(1.5)
        layer = keras.layers.SimpleRNN(64, "relu", recurrent_initializer=kernel)
        model = keras.Sequential([layer, keras.layers.Dense(1)])
        optimizer = make(rate, **({clip: CLIPS[clip]} if clip else {}))
        model.compile(optimizer, loss="mse")
        history = model.fit(*rows, batch_size=64, epochs=epochs, verbose=0)
        mse = history.history["loss"]
        name = f"{make.__name__} {clip}"
        print_row(name, f"{mse[0]:.3f}", f"{mse[-1]:.3f}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    questions = {"adding": adding, "glucose": glucose, "gradients": gradients}
    parser.add_argument("question", choices=questions)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="a look only")
    options = parser.parse_args(arguments)
    ask = questions[options.question]
    ask(options.layers, options.seeds, options.quick)


if __name__ == "__main__":
    main()
