"""What does a head cost?

A training step of `GRU(48)` on 256 series of 36 steps, with each head and its
likelihood, against the same network with one output and the mean squared
error. The two take turns, step by step, so that a busy machine slows both;
a round is several steps of each and gives one ratio. Shown are the median and
the quartiles of the rounds; the first row is the network against itself. The
last rows are the network in tf_keras, whose GRU is another one, and there with
TensorFlow Probability's own layer for distributions.

    python examples/benchmarks/heads.py
"""

import argparse
import importlib.util
import itertools
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_seqtools as kst

Step = Callable[[], Any]

BATCH, STEPS = 256, 36
TURNS = 10  # of each of the two, in a round
# What a head must be told beyond its class.
ARGUMENTS: dict[str, dict[str, int]] = {
    "CategoricalHead": {"num_classes": 10},
    "DiscretizedLogisticMixtureHead": {"low": 0, "high": 9},
    "MultivariateNormalHead": {"units": 2},
}
HEADS = [
    name
    for name in kst.heads.__all__
    if name.endswith("Head") and name != "DistributionHead"
]


def targets(head: kst.heads.DistributionHead | None) -> Any:
    """Numbers that the head, or the mean squared error, can be given."""
    rng = np.random.default_rng(0)
    if head is None or head.support == (-np.inf, np.inf):
        y = rng.normal(size=(BATCH, head.units if head else 1))
    elif head.discrete:
        y = np.minimum(rng.poisson(3.0, (BATCH, 1)), 9)
    else:
        y = rng.uniform(0.1, 0.9, (BATCH, 1))
    return y.astype("float32")


def stepper(library: Any, last: Any, loss: Any, y: Any) -> Step:
    """A function that takes one training step of a compiled network.

    `library` is Keras 3 or tf_keras, `last` what follows the GRU.
    """
    model = library.Sequential(
        [library.layers.InputLayer((STEPS, 1)), library.layers.GRU(48), *last]
    )
    model.compile(library.optimizers.Adam(1e-4), loss)
    model.make_train_function()
    x = np.random.default_rng(1).normal(size=(BATCH, STEPS, 1))
    data = tf.data.Dataset.from_tensor_slices((x.astype("float32"), y))
    # As in `fit`, the size of a batch is not known to the compiled function.
    iterator = iter(data.batch(BATCH).cache().repeat())
    return lambda: model.train_function(iterator)


def plain(library: Any) -> Step:
    last = [library.layers.Dense(1)]
    return stepper(library, last, "mean_squared_error", targets(None))


def with_head(name: str) -> Step:
    head = getattr(kst.heads, name)(**ARGUMENTS.get(name, {}))
    loss = kst.losses.NegativeLogLikelihood(head)
    return stepper(keras, [head], loss, targets(head))


def with_tfp(tf_keras: Any) -> Step:
    """A normal distribution as TFP's own guide builds it."""
    import tensorflow_probability as tfp

    def normal(raw: Any) -> Any:
        scale = 1e-4 + tf.math.softplus(raw[..., 1:])
        return tfp.distributions.Normal(raw[..., :1], scale)

    last = [tf_keras.layers.Dense(2), tfp.layers.DistributionLambda(normal)]
    return stepper(tf_keras, last, lambda y, p: -p.log_prob(y), targets(None))


def compare(step: Step, base: Step, rounds: int, clock: Any) -> Any:
    """Times of a step and of what it is compared with, for each round."""
    for warm_up in (step, base) * 3:
        warm_up()
    spent = np.zeros((rounds, 2))
    for turn, _ in itertools.product(range(rounds), range(TURNS)):
        for which, function in enumerate((step, base)):
            start = clock()
            function()
            spent[turn, which] += (clock() - start) / TURNS
    return spent


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--threads", type=int, default=1, help="0: as many as TensorFlow likes"
    )
    options = parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    # Threads that wait for each other burn processor time, so that only one
    # thread can be timed by it. It knows nothing of who else is at work.
    clock = time.process_time if options.threads == 1 else time.perf_counter
    print(
        f"Threads: {options.threads or 'default'}, by time.{clock.__name__}; "
        f"{options.rounds} rounds of {TURNS} steps of each.\n\n"
        f"{'':34}ms a step   ratio  quartiles       to",
        flush=True,
    )
    keras.utils.set_random_seed(0)

    def show(label: str, step: Step, base: Step, to: str) -> None:
        spent = compare(step, base, options.rounds, clock)
        each, ratios = 1e3 * np.median(spent[:, 0]), spent[:, 0] / spent[:, 1]
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        numbers = f"{each:9.2f}{middle:8.3f}  {low:.3f} to {high:.3f}"
        print(f"{label:34}{numbers}  {to}", flush=True)

    mse = plain(keras)
    show("mse", plain(keras), mse, "mse")
    for name in HEADS:
        show(name, with_head(name), mse, "mse")
    if not importlib.util.find_spec("tf_keras"):
        print("tf_keras is not installed: nothing to compare with.")
        return
    tf_keras = importlib.import_module("tf_keras")
    tf_keras_mse, tfp_layer = plain(tf_keras), with_tfp(tf_keras)
    show("tf_keras mse", tf_keras_mse, mse, "mse")
    show("DistributionLambda", tfp_layer, tf_keras_mse, "tf_keras mse")
    show("NormalHead", with_head("NormalHead"), tfp_layer, "DistributionLambda")


if __name__ == "__main__":
    main()
