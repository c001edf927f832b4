"""What does `LayerNormGRU` cost?

A forward pass and a training step (the gradient of the mean square of the last
output, for all weights; no optimizer) of one layer, as a ratio to
`keras.layers.GRU` in graph mode, at five shapes (batch, steps, features,
units), of:

- GRU: `keras.layers.GRU` once more, which shows the noise;
- ours: `LayerNormGRU`;
- naive: `keras.layers.RNN(LayerNormGRUCell(units))`;
- torch GRU: `torch.nn.GRU`, which has no norm, where PyTorch is installed;
- torch LN: the equations of `LayerNormGRU` by hand in PyTorch, not compiled.

As in `fit`, a traced function knows the number of steps but not the batch.
All take turns, so that a busy machine slows all; a round is a few calls of
each and gives one ratio. Shown are medians over the rounds, the milliseconds
of the GRU that all are compared with, and the quartiles of ours. `--xla` adds
a table of the Keras layers compiled by XLA, against the GRU in graph mode.

    python examples/benchmarks/recurrent.py --xla

`--memory` shows by how much a training step raises the peak of resident memory
above what is resident after one at batch 1, each in a process of its own: what
allocators take from the system, not the sum of the tensors. Needs Linux.
"""

import argparse
import functools
import importlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from resident_memory import resident

import keras_seqtools as kst


class Shape(NamedTuple):
    """The sizes of a layer and its input."""

    batch: int
    steps: int
    features: int
    units: int


class Network(NamedTuple):
    """What is timed: two functions of a tensor, and how to make the tensor."""

    tensor: Callable[[Any], Any]
    forward: Callable[[Any], Any]  # to the last output
    train: Callable[[Any], Any]  # to the gradients


SHAPES = [
    Shape(32, 200, 8, 64),
    Shape(32, 1000, 8, 64),
    Shape(128, 50, 64, 64),
    Shape(32, 100, 64, 256),
    Shape(128, 50, 64, 256),
]
QUICK, LARGE = Shape(2, 6, 3, 4), Shape(64, 1000, 32, 128)
ROUND = 0.2  # seconds of the GRU that all are compared with
LAYERS: dict[str, Callable[[int], Any]] = {
    "GRU": keras.layers.GRU,
    "ours": kst.layers.LayerNormGRU,
    "naive": lambda units: keras.layers.RNN(kst.layers.LayerNormGRUCell(units)),
}
HAS_TORCH = importlib.util.find_spec("torch") is not None
TORCH = ["torch GRU", "torch LN"] if HAS_TORCH else []


def in_keras(layer: Any, shape: Shape, jit_compile: bool = False) -> Network:
    known = (None, shape.steps, shape.features)
    layer.build(known)
    traced = tf.function(
        input_signature=[tf.TensorSpec(known)], jit_compile=jit_compile
    )

    @traced
    def forward(x: Any) -> Any:
        return layer(x)

    @traced
    def train(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(layer(x, training=True)))
        return tape.gradient(loss, layer.trainable_weights)

    return Network(tf.constant, forward, train)


@functools.cache
def load_torch() -> Any:
    """PyTorch, with the threads of TensorFlow.

    Loaded late: a network in Keras would use again what the import has freed,
    and seem to need less memory.
    """
    torch = importlib.import_module("torch")
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    torch.set_num_threads(threads or torch.get_num_threads())
    return torch


def in_torch(last_output: Callable[[Any], Any], weights: list[Any]) -> Network:
    torch = load_torch()

    def forward(x: Any) -> Any:
        with torch.inference_mode():
            return last_output(x)

    def train(x: Any) -> Any:
        loss = last_output(x).square().mean()
        return torch.autograd.grad(loss, weights)

    return Network(torch.from_numpy, forward, train)


def torch_gru(shape: Shape) -> Network:
    torch = load_torch()
    gru = torch.nn.GRU(shape.features, shape.units, batch_first=True)
    return in_torch(lambda x: gru(x)[1][0], list(gru.parameters()))


def torch_layer_norm_gru(weights: list[Any]) -> Network:
    """`LayerNormGRU` with these weights, in the order of its own."""
    torch = load_torch()
    parameters = [torch.tensor(each, requires_grad=True) for each in weights]
    kernel, recurrent_kernel, bias, gamma, beta = parameters
    units = len(recurrent_kernel)
    sizes = [2 * units, units]
    norm = functools.partial(
        torch.nn.functional.layer_norm, normalized_shape=(3 * units,), eps=1e-5
    )

    def last_output(x: Any) -> Any:
        # All steps at once, with time in front so that a step is one block.
        summed = torch.nn.functional.linear(x.transpose(0, 1), kernel.T, bias)
        x_all = norm(summed, weight=gamma[0], bias=beta[0])
        norm_y = functools.partial(norm, weight=gamma[1], bias=beta[1])
        state = x.new_zeros(x.shape[0], units)
        # The gradient of `unbind` stacks those of the steps; that of x_all[t]
        # would fill a tensor of all steps at every step.
        for x_t in x_all.unbind():
            x_zr, x_h = x_t.split(sizes, -1)
            y_zr, y_h = norm_y(state @ recurrent_kernel).split(sizes, -1)
            z, r = torch.sigmoid(x_zr + y_zr).chunk(2, -1)
            candidate = torch.tanh(torch.addcmul(x_h, r, y_h))
            state = torch.lerp(candidate, state, z)
        return state

    return in_torch(last_output, parameters)


def build(name: str, shape: Shape, jit_compile: bool = False) -> Network:
    """One of the networks that are compared."""
    if name in LAYERS:
        return in_keras(LAYERS[name](shape.units), shape, jit_compile)
    if name == "torch GRU":
        return torch_gru(shape)
    layer = LAYERS["ours"](shape.units)
    layer.build((None, shape.steps, shape.features))
    return torch_layer_norm_gru(layer.get_weights())


def inputs(shape: Shape) -> Any:
    return np.random.default_rng(0).normal(size=shape[:3]).astype("float32")


def compare(
    rounds: int, length: float, clock: Any, calls: list[Callable[[], Any]]
) -> Any:
    """Seconds of a call of each, (rounds, calls).

    A round has as many calls of each as the first makes in `length` seconds.
    """
    for call in calls * 3:
        call()
    start = clock()
    calls[0]()
    number = max(1, round(length / (clock() - start)))
    spent = np.zeros((rounds, len(calls)))
    for turn, which in np.ndindex(spent.shape):
        start = clock()
        for _ in range(number):
            calls[which]()
        spent[turn, which] = (clock() - start) / number
    return spent


def show(
    shapes: list[Shape], measure: Callable[..., Any], jit_compile: bool
) -> None:
    """Prints the table of a mode, a row as soon as it is known."""
    names = [*LAYERS] if jit_compile else [*LAYERS, *TORCH]
    columns = "".join(f"{name:>{len(name) + 3}}" for name in names)
    print("\nXLA" if jit_compile else "\nGraph mode")
    print(f"{'shape':14}{'pass':8}{'GRU, ms':>8}{columns}  quartiles of ours")
    for shape in shapes:
        x, base = inputs(shape), build("GRU", shape)
        networks = [base, *(build(each, shape, jit_compile) for each in names)]
        tensors = [network.tensor(x) for network in networks]
        for which in ("forward", "train"):
            functions = [getattr(network, which) for network in networks]
            spent = measure([*map(functools.partial, functions, tensors)])
            ratios = spent[:, 1:] / spent[:, :1]
            row = f"{','.join(map(str, shape)):14}{which:8}"
            row += f"{1e3 * np.median(spent[:, 0]):8.2f}"
            for name, ratio in zip(names, np.median(ratios, 0), strict=True):
                row += f"{ratio:{len(name) + 3}.2f}"
            ours = ratios[:, names.index("ours")]
            low, high = np.quantile(ours, (0.25, 0.75))
            print(f"{row}  {low:.2f} to {high:.2f}", flush=True)


def extra_memory(name: str, shape: Shape) -> float:
    """MiB by which a training step raises the peak."""
    network, x = build(name, shape), inputs(shape)
    tensor = network.tensor(x)
    network.train(network.tensor(x[:1]))
    before = resident("VmRSS")
    network.train(tensor)
    return resident("VmHWM") - before


def show_memory(runs: int, threads: int, *quick: str) -> None:
    """Prints the table of memory, each number from a process of its own."""
    print(f"Threads: {threads or 'default'}; {QUICK if quick else LARGE}")
    print(f"\n{'MiB':10}  median  of {runs}")
    same = ["--threads", str(threads), *quick]
    for name in (*LAYERS, *TORCH):
        again = [sys.executable, __file__, "--memory", name, *same]
        mib = [float(subprocess.check_output(again)) for _ in range(runs)]
        print(f"{name:10}{np.median(mib):8.0f}  {np.round(mib)}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=9)
    add("--threads", type=int, default=1, help="0: as many as TensorFlow likes")
    add("--shape", nargs="+", help="only these, such as 32,200,8,64")
    add("--xla", action="store_true", help="XLA as well")
    add("--quick", action="store_true", help="one tiny shape, one round")
    add(
        "--memory",
        nargs="?",
        const="all",
        choices=["all", *LAYERS, *TORCH],
        help="instead of time; of one layer: in this process, only a number",
    )
    options = parser.parse_args(arguments)
    quick, threads = options.quick, options.threads
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    # It takes networks of a kind for one that is traced again and again.
    tf.get_logger().setLevel("ERROR")
    if options.memory == "all":
        show_memory(1 if quick else 3, threads, *["--quick"] * quick)
    elif options.memory:
        print(extra_memory(options.memory, QUICK if quick else LARGE))
    else:
        rounds, length = (1, 0.0) if quick else (options.rounds, ROUND)
        # Threads that wait for each other burn processor time, so that only
        # one thread can be timed by it. It knows nothing of who else works.
        clock = time.process_time if threads == 1 else time.perf_counter
        by = f"by time.{clock.__name__}; {rounds} rounds"
        print(f"Threads: {threads or 'default'}, {by}")
        measure = functools.partial(compare, rounds, length, clock)
        given = [each.split(",") for each in options.shape or []]
        shapes = [Shape(*map(int, each)) for each in given]
        shapes = shapes or ([QUICK] if quick else SHAPES)
        for jit_compile in (False, True) if options.xla else (False,):
            show(shapes, measure, jit_compile)


if __name__ == "__main__":
    main()
