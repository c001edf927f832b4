"""What do the metrics and the temperature cost?

Each against what does the same, in one thread: the expected calibration error
of 1e6 x 10 probabilities against netcal and torchmetrics; a step of the
streaming one, in graph mode, against the accuracy of Keras; the CRPS of 1e5
items by 100 samples against properscoring and a sort of the samples;
`TemperatureScaling` of 1e5 x 100 logits, with its report, against the class
behind the temperature of scikit-learn; what must sort 1e6 scores against
`np.argsort` of them. Peers that are not installed are left out.

All take turns, so that a busy machine slows all; a round is a few calls of
each and gives one ratio. Shown are the median of ours in milliseconds, and the
median and the quartiles of the ratios, ours to the other. Then the passes of
the temperature over the data, and its error against a root found by SciPy in
float64.

    python examples/benchmarks/calibration.py

`--memory` shows by how much a call raises the peak of resident memory, each in
a process of its own. Needs Linux.
"""

import argparse
import functools
import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from typing import NamedTuple
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from recurrent import compare
from resident_memory import resident
from scipy.optimize import brentq
from scipy.special import softmax
from threadpoolctl import threadpool_limits

import keras_seqtools as kst
from keras_seqtools.calibration._fit_items import Items

Call = Callable[[], Any]


class Sizes(NamedTuple):
    """How much data there is of each kind."""

    predictions: int  # of CLASSES
    small_batch: int
    large_batch: int
    ensembles: int  # of SAMPLES
    logits: int  # of LOGITS
    scores: int


class Rival(NamedTuple):
    """What is compared with: a function that loads it and gives a call."""

    name: str
    load: Callable[[], Call]
    goal: float  # the ratio should not be above


class Contest(NamedTuple):
    """A call of ours, and its rivals on the same data."""

    label: str
    ours: Call
    rivals: list[Rival]


CLASSES, SAMPLES, LOGITS = 10, 100, 100
FULL = Sizes(10**6, 256, 4096, 10**5, 10**5, 10**6)
QUICK = Sizes(2000, 8, 16, 50, 500, 100)
# What, of whom, and how many times as much data as above.
MEMORY = [
    ("ece", "ours", 1),
    ("ece", "ours", 10),
    ("ece", "netcal", 1),
    ("ece", "torchmetrics", 1),
    ("crps", "ours", 1),
    ("crps", "ours", 10),
    ("crps", "properscoring", 1),
    ("temperature", "ours", 1),
    ("temperature", "ours", 10),
    ("temperature", "scikit-learn", 1),
]
TOO_SURE = 1.5  # the temperature of the logits
ROUND = 0.2  # seconds of ours


def limit_threads() -> None:
    """One for all; processor time then knows nothing of who else works."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    threadpool_limits(1)


def predictions(rows: int, classes: int, logits: bool = False) -> Any:
    """Labels, and the float32 scores of a classifier that is too sure."""
    rng = np.random.default_rng(0)
    labels = np.empty(rows, "int64")
    scores = np.empty((rows, classes), "float32")
    # A few at a time, so that next to no freed memory is used again.
    for start in range(0, rows, 1024):
        at = slice(start, start + 1024)
        z = rng.normal(0.0, 2.0, scores[at].shape)
        labels[at] = (z + rng.gumbel(size=z.shape)).argmax(axis=-1)
        z *= TOO_SURE
        scores[at] = z if logits else softmax(z, axis=-1)
    return labels, scores


def netcal_error(y: Any, p: Any) -> Call:
    ece = importlib.import_module("netcal.metrics").ECE(15)
    return lambda: ece.measure(p, y)


def torchmetrics_error(y: Any, p: Any) -> Call:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    peer = importlib.import_module("torchmetrics.functional.classification")
    tensors = torch.from_numpy(p), torch.from_numpy(y)
    return lambda: peer.multiclass_calibration_error(*tensors, CLASSES)


def arrays(sizes: Sizes) -> Contest:
    y, p = predictions(sizes.predictions, CLASSES)
    rivals = [
        Rival("netcal", lambda: netcal_error(y, p), 0.4),
        Rival("torchmetrics", lambda: torchmetrics_error(y, p), 0.8),
    ]
    ours = functools.partial(kst.metrics.expected_calibration_error, y, p)
    return Contest(f"ECE, {len(p)} x {CLASSES}", ours, rivals)


def updates(metric: Any, y: Any, p: Any) -> Call:
    """A traced step of a metric, which as in `fit` does not know the batch."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, *each.shape[1:]), each.dtype)
            for each in (y, p)
        ]
    )
    def step(labels: Any, probabilities: Any) -> None:
        metric.update_state(labels, probabilities)

    return functools.partial(step, tf.constant(y), tf.constant(p))


def stream(batch: int) -> Contest:
    y, p = predictions(batch, CLASSES)
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    ours = updates(kst.metrics.ExpectedCalibrationError(), y, p)
    rival = Rival("Keras accuracy", lambda: updates(accuracy, y, p), 1.2)
    return Contest(f"ECE, a batch of {batch}", ours, [rival])


def crps(sizes: Sizes) -> Contest:
    """Each has the samples where it expects them: first, or last."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=sizes.ensembles)
    samples = rng.normal(size=(SAMPLES, len(y)))
    ours = functools.partial(kst.metrics.crps_samples, y, samples, fair=False)

    def ensemble() -> Call:
        # Without numba it would compare all pairs, in 24 GB.
        importlib.import_module("properscoring._gufuncs")
        peer = importlib.import_module("properscoring")
        last = np.ascontiguousarray(samples.T)
        return lambda: peer.crps_ensemble(y, last)

    def sort(axis: int) -> Call:
        same = np.ascontiguousarray(samples.T) if axis else samples
        return lambda: np.sort(same, axis=axis)

    rivals = [
        Rival("properscoring", ensemble, 0.6),
        Rival("np.sort, axis 0", lambda: sort(0), 2.0),
        Rival("np.sort, axis 1", lambda: sort(1), 2.0),
    ]
    return Contest(f"CRPS, {len(y)} by {SAMPLES}", ours, rivals)


def fit_temperature(y: Any, z: Any) -> float:
    scaling = kst.calibration.TemperatureScaling()
    return float(scaling.fit(y, z, from_logits=True).temperature_)


def temperature(sizes: Sizes) -> Contest:
    y, z = predictions(sizes.logits, LOGITS, logits=True)

    def sklearn_temperature() -> Call:
        # Public is only `CalibratedClassifierCV`, around a classifier.
        from sklearn.calibration import _TemperatureScaling as Peer

        return lambda: 1.0 / Peer().fit(z, y).beta_

    rival = Rival("scikit-learn", sklearn_temperature, 0.4)
    ours = functools.partial(fit_temperature, y, z)
    return Contest(f"temperature, {len(z)} x {LOGITS}", ours, [rival])


def ranking(metric: Any, label: str, sizes: Sizes) -> Contest:
    """What needs the order of float32 scores."""
    rng = np.random.default_rng(0)
    score = rng.random(sizes.scores, "float32")
    came = rng.random(len(score)) < score
    ours = functools.partial(metric, came, score)
    rival = Rival("np.argsort", lambda: lambda: np.argsort(score), 2.0)
    return Contest(f"{label}, {len(score)}", ours, [rival])


CONTESTS: dict[str, Callable[[Sizes], Contest]] = {
    "ece": arrays,
    "small batch": lambda sizes: stream(sizes.small_batch),
    "large batch": lambda sizes: stream(sizes.large_batch),
    "crps": crps,
    "temperature": temperature,
    "adaptive": functools.partial(
        ranking, kst.metrics.adaptive_calibration_error, "adaptive ECE"
    ),
    "auroc": functools.partial(ranking, kst.metrics.auroc, "AUROC"),
    "aurc": functools.partial(ranking, kst.metrics.aurc, "AURC"),
}


def show(contest: Contest, rounds: int, length: float) -> None:
    """Prints a row for each rival."""
    calls, present = [contest.ours], []
    for rival in contest.rivals:
        try:
            calls.append(rival.load())
            present.append(rival)
        except ImportError as error:
            print(f"{contest.label:26}not against {rival.name}: {error}")
    spent = compare(rounds, length, time.process_time, calls)
    each = 1e3 * np.median(spent[:, 0])
    for i, rival in enumerate(present):
        ratios = spent[:, 0] / spent[:, 1 + i]
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        print(
            f"{contest.label:26}{each:9.3f}  {rival.name:18}{middle:7.3f}  "
            f"{low:.3f} to {high:.3f}{rival.goal:7.1f}",
            flush=True,
        )


def exact_temperature(y: Any, z: Any) -> float:
    """Where the slope of the likelihood is 0, in float64."""
    z = z.astype("float64")
    came = z[np.arange(len(z)), y].mean()

    def slope(inverse: float) -> float:
        expected = (softmax(inverse * z, axis=-1) * z).sum(axis=-1).mean()
        return float(expected - came)

    return float(1.0 / brentq(slope, 0.01, 100.0, xtol=1e-15, rtol=1e-14))


def show_temperature(sizes: Sizes) -> None:
    y, z = predictions(sizes.logits, LOGITS, logits=True)
    with mock.patch.object(
        Items, "chunks", autospec=True, side_effect=Items.chunks
    ) as chunks:
        found = fit_temperature(y, z)
    # One pass before these reads and checks.
    passes, exact = 1 + chunks.call_count, exact_temperature(y, z)
    error = abs(found / exact - 1.0)
    print(f"\nPasses of the temperature: {passes}, goal 10")
    print(f"Relative error of {found:.6f}: {error:.1g}, goal 1e-06")


def extra_memory(name: str, which: str, sizes: Sizes) -> float:
    """MiB by which a call raises the peak, after one on little data."""
    calls = []
    for each in (QUICK, sizes):
        contest = CONTESTS[name](each)
        loads = {rival.name: rival.load for rival in contest.rivals}
        calls.append(contest.ours if which == "ours" else loads[which]())
    few, many = calls
    few()
    before = resident("VmRSS")
    many()
    return resident("VmHWM") - before


def show_memory(*quick: str) -> None:
    """Prints the table of memory, each number from a process of its own."""
    print(f"{'extra memory':13}{'MiB':>24}")
    for name, which, times in MEMORY:
        again = ["--memory", name, which, str(times), *quick]
        found = subprocess.check_output([sys.executable, __file__, *again])
        print(f"{name:13}{which:14}x{times:<3}{found.decode():>7}", end="")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=9)
    add("--only", choices=CONTESTS, help="only this")
    add("--quick", action="store_true", help="little data, one round")
    add(
        "--memory",
        nargs="*",
        metavar=("WHAT", "WHOSE TIMES"),
        help="instead of time; of one: in this process, only a number",
    )
    options = parser.parse_args(arguments)
    quick = options.quick
    sizes, rounds = (QUICK, 1) if quick else (FULL, options.rounds)
    limit_threads()
    if options.memory:
        name, which, times = options.memory
        sizes = Sizes(*(int(times) * each for each in sizes))
        try:
            print(f"{extra_memory(name, which, sizes):.1f}")
        except ImportError as error:
            print(error)
    elif options.memory is not None:
        show_memory(*["--quick"] * quick)
    else:
        print(
            f"Threads: 1, by time.process_time; {rounds} rounds\n\n"
            f"{'ours':30}ms  {'against':20}ratio  quartiles        goal",
            flush=True,
        )
        for name in [options.only] if options.only else CONTESTS:
            show(CONTESTS[name](sizes), rounds, 0.0 if quick else ROUND)
        show_temperature(sizes)


if __name__ == "__main__":
    main()
