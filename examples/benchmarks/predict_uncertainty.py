"""What does `predict_uncertainty` cost?

100 passes of four models, at a reference size and on 256 rows:

- M1, an MLP 64-256-256-10 with dropout after each hidden layer, 10,000 rows;
- M2, two convolutions and a dense layer, with dropout only before the last
  layer, 2,000 images of 28x28;
- M3, a `GRU(64)` with dropout inside and a `Dense(1)`, (500, 100, 8);
- M4, four dilated causal `Conv1D(32)` with dropout between them and a number
  for each step, (500, 200, 1).

Against what one would write without it:

- `np.stack([model.predict(x) for _ in range(100)])`, at batches of 32 and of
  1024, of a model that samples in `predict`;
- one `predict` of many copies of x, at batches of 1024;
- the loop of an expert: all passes over a batch in one `tf.function` that sums
  outputs, squares and a classifier's entropies, as a graph and by XLA, at the
  batch that suits it best (256 for M4, 1024 for the others);
- for M1 and M2 the bare matrix products that follow the first dropout.

The first two only make the samples and compute nothing of them; they are timed
on fewer passes and scaled. All take turns, so that a busy machine slows all; a
round is one run of each and gives one ratio. Shown are medians over the rounds
of processor time (all threads), of wall time (others at work too) and of the
ratios to `predict_uncertainty`; then what its first call takes longer, as a
share of the first row, and how much a call for M1 raises the peak of memory.

    python examples/benchmarks/predict_uncertainty.py

measures with one thread, then with two, every model in its own process.
"""

import argparse
import dataclasses
import functools
import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from resident_memory import resident

import keras_seqtools as kst

# What is timed, a function of the number of passes, and that number.
Way = tuple[Callable[[int], Any], int]

ROWS = {"M1": 10_000, "M2": 2_000, "M3": 500, "M4": 500}
EXPERTS_BATCH = {"M1": 1024, "M2": 1024, "M3": 1024, "M4": 256}
# Widths of the dense layers that follow the first dropout.
PRODUCTS = {"M1": (256, 256, 10), "M2": (128, 10)}
PREDICT = "predict, batch 32"
GRAPH, XLA = "predict_uncertainty", "predict_uncertainty, XLA"


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much to measure: rows at most, and passes."""

    rows: int
    samples: int = 100
    looped: int = 3  # in the loops over `predict`
    copies: int = 20  # in one `predict`
    rounds: int = 5


FULL = [Effort(rows=10_000), Effort(rows=256, looped=10, copies=100)]
QUICK = [Effort(rows=40, samples=4, looped=2, copies=2, rounds=1)]


def build(name: str) -> keras.Model:
    """One of the four models, of ordinary layers."""
    if name == "M1":
        stack = [keras.Input((64,))]
        for _ in range(2):
            stack += [layers.Dense(256, "relu"), layers.Dropout(0.5)]
        stack += [layers.Dense(10, "softmax")]
    elif name == "M2":
        stack = [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, "relu"),
            layers.Dropout(0.5),
            layers.Dense(10, "softmax"),
        ]
    elif name == "M3":
        gru = layers.GRU(64, dropout=0.2, recurrent_dropout=0.2)
        stack = [keras.Input((100, 8)), gru, layers.Dense(1)]
    else:
        conv = functools.partial(layers.Conv1D, 32, 3, padding="causal")
        stack = [keras.Input((200, 1))]
        for rate in (1, 2, 4, 8):
            stack += [conv(dilation_rate=rate, activation="relu")]
            stack += [layers.Dropout(0.2)]
        stack[-1] = layers.Conv1D(1, 1)
    return keras.Sequential(stack)


class Sampling(keras.Model):
    """A model whose layers behave in `predict` as they do in training."""

    def predict_step(self, data: Any) -> Any:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self(x, training=True)


def ours(model: Any, x: Any, passes: int, **options: Any) -> Any:
    return kst.predict_uncertainty(
        model, x, num_samples=passes, seed=1, verbose=0, **options
    )


def looped(model: Any, x: Any, size: int, passes: int) -> Any:
    samples = [model.predict(x, size, verbose=0) for _ in range(passes)]
    return np.stack(samples)


def tiled(model: Any, x: Any, passes: int) -> Any:
    samples = model.predict(np.concatenate([x] * passes), 1024, verbose=0)
    return samples.reshape(passes, len(x), *samples.shape[1:])


def by_expert(model: Any, x: Any, size: int, jit_compile: bool) -> Any:
    """Mean, standard deviation and, of a classifier, the mean entropy."""
    shape = model.output_shape[1:]
    is_classifier = shape[-1] > 1

    @tf.function(jit_compile=jit_compile)
    def sums(batch: Any, passes: int) -> Any:
        total = tf.zeros((batch.shape[0], *shape))
        squares, entropies = total, total
        for _ in tf.range(passes):
            sample = model(batch, training=True)
            total += sample
            squares += sample * sample
            if is_classifier:
                entropies -= tf.math.xlogy(sample, sample)
        return total, squares, entropies

    def run(passes: int) -> Any:
        batches = [
            sums(tf.constant(x[start : start + size]), passes)
            for start in range(0, len(x), size)
        ]
        total, squares, entropies = map(
            np.concatenate, zip(*batches, strict=True)
        )
        mean = total / passes
        std = np.sqrt(np.maximum(squares / passes - mean**2, 0.0))
        entropy = entropies.sum(-1) / passes
        return (mean, std, entropy) if is_classifier else (mean, std)

    return run


def bare_products(rows: int, widths: tuple[int, ...]) -> Any:
    """Products of (rows, widths[0]) with kernels, in batches of 1024."""
    sizes = [min(1024, rows - start) for start in range(0, rows, 1024)]
    batches = [tf.random.normal((size, widths[0])) for size in sizes]
    kernels = [tf.random.normal(pair) for pair in itertools.pairwise(widths)]

    @tf.function
    def products(batch: Any, passes: int) -> Any:
        total = tf.zeros((batch.shape[0], widths[-1]))
        for _ in tf.range(passes):
            h = batch
            for kernel in kernels:
                h = tf.matmul(h, kernel)
            total += h
        return total

    return lambda passes: [products(each, passes).numpy() for each in batches]


def all_ways(name: str, effort: Effort) -> dict[str, Way]:
    """What is compared, for one of the models."""
    keras.utils.set_random_seed(0)
    model = build(name)
    sampling = Sampling(model.inputs[0], model.outputs[0])
    rows = min(ROWS[name], effort.rows)
    x = np.random.default_rng(0).normal(size=(rows, *model.input_shape[1:]))
    x = x.astype("float32")
    loop = functools.partial(looped, sampling, x)
    expert = functools.partial(by_expert, model, x, EXPERTS_BATCH[name])
    ask = functools.partial(ours, model, x)
    ways: dict[str, Way] = {
        PREDICT: (lambda n: loop(32, n), effort.looped),
        "predict, batch 1024": (lambda n: loop(1024, n), effort.looped),
        "predict of copies": (lambda n: tiled(sampling, x, n), effort.copies),
        "expert's loop": (expert(jit_compile=False), effort.samples),
        "expert's loop, XLA": (expert(jit_compile=True), effort.samples),
        GRAPH: (ask, effort.samples),
        XLA: (functools.partial(ask, jit_compile=True), effort.samples),
    }
    if name in PRODUCTS:
        products = bare_products(rows, PRODUCTS[name])
        ways["bare matrix products"] = (products, effort.samples)
    return ways


def compare(ways: dict[str, Way], effort: Effort) -> Any:
    """Processor and wall time of all the passes, (1 + rounds, ways, 2).

    First are those of the first calls, which also trace and compile.
    """
    spent = np.zeros((1 + effort.rounds, len(ways), 2))
    for turn in range(1 + effort.rounds):
        for i, (function, passes) in enumerate(ways.values()):
            start = time.process_time(), time.perf_counter()
            function(passes)
            end = time.process_time(), time.perf_counter()
            spent[turn, i] = np.subtract(end, start) * effort.samples / passes
    return spent


def show(labels: list[str], spent: Any) -> None:
    rounds, middle = spent[1:], np.median(spent[1:], 0)
    default, graph, xla = map(labels.index, (PREDICT, GRAPH, XLA))
    print(f"{'seconds':>41}{'ratio to the graph':>32}{'to XLA':>16}")
    print(f"{'CPU':>33}    wall     CPU  quartiles{'wall':>13}     CPU    wall")
    for i, label in enumerate(labels):
        ratios = rounds[:, i, None] / rounds[:, [graph, xla]]
        low, high = np.quantile(ratios[:, 0, 0], (0.25, 0.75))
        (cpu, wall), (xla_cpu, xla_wall) = np.median(ratios, 0)
        print(
            f"{label:25}{middle[i, 0]:8.3f}{middle[i, 1]:8.3f}"
            f"{cpu:8.2f}  {f'{low:.2f} to {high:.2f}':16}{wall:6.2f}"
            f"{xla_cpu:8.2f}{xla_wall:8.2f}"
        )
    for i in (graph, xla):
        cpu, wall = (spent[0, i] - middle[i]) / middle[default]
        print(f"First {labels[i]}: {cpu:.1%} more, wall {wall:.1%}")
    print(flush=True)


def extra_memory(rows: int, samples: int) -> float:
    """MiB by which a call raises the peak, for M1."""
    model, x = build("M1"), np.ones((rows, 64), "float32")
    peaks = []
    for part in (x[:256], x):  # The first call loads what TensorFlow needs.
        ours(model, part, samples)
        peaks.append(resident("VmHWM"))
    return peaks[1] - peaks[0]


def measure(name: str, threads: int, efforts: list[Effort]) -> None:
    """Prints the tables of a model. Threads are set once in a process."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for effort in efforts:
        print(
            f"{name}, {min(ROWS[name], effort.rows)} rows, {effort.samples} "
            f"passes, threads: {threads}, rounds: {effort.rounds}"
        )
        ways = all_ways(name, effort)
        show(list(ways), compare(ways, effort))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=ROWS, help="only this one")
    parser.add_argument("--threads", type=int, help="only so many")
    parser.add_argument("--memory", type=int, help="only of so many passes")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    options = parser.parse_args(arguments)
    efforts, quick = (QUICK, ["--quick"]) if options.quick else (FULL, [])
    if options.memory:
        extra = extra_memory(efforts[0].rows, options.memory)
        print(f"Memory of {options.memory} passes of M1: {extra:.1f} MiB")
    elif options.model and options.threads:
        measure(options.model, options.threads, efforts)
    else:
        for threads, name in itertools.product(
            [options.threads] if options.threads else [1, 2],
            [options.model] if options.model else ROWS,
        ):
            again("--model", name, "--threads", str(threads), *quick)
        for samples in (100, 1000):
            again("--memory", str(samples), *quick)


def again(*arguments: str) -> None:
    """This script, in a process of its own."""
    subprocess.run([sys.executable, __file__, *arguments], check=True)


if __name__ == "__main__":
    main()
