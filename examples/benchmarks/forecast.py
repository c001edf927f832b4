"""What does a free-running forecast cost?

100 paths of 200 steps from a context of 50, of a `LayerNormGRU(64)` with a
`NormalHead`, by

- `forecast`, whose state is carried on in one compiled loop;
- the loop of an expert in one `tf.function`: the cell called step by step,
  values drawn by the head, or normal noise from a seed added by hand;
- a loop of `predict_on_batch` on a stateful model, one step at a time;
- a loop of `predict_on_batch` that runs a window of 50 anew at every step, one
  that calls the model eagerly, and one of `Model.predict`.

The last two are timed on 20 steps and scaled. All give the same distribution
of paths but the windows, which forget. A round is one run of each, so that a
busy machine slows all, in an order of its own, so that none is always the one
that finds caches cold. Each round gives one ratio. Shown are medians over the
rounds: microseconds a step, and ratios to `forecast` with their quartiles, by
processor time; then what a first call takes, which also traces.

    python examples/benchmarks/forecast.py
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_seqtools as kst

UNITS, CONTEXT, PATHS = 64, 50, 100
OURS = "forecast"

# What is timed, a function of the number of steps, and that number.
Way = tuple[Callable[[int], Any], int]


def build(**options: Any) -> keras.Model:
    """The model; with a batch size, one that keeps its state."""
    is_stateful = "batch_size" in options
    return keras.Sequential(
        [
            keras.Input((None, 1), **options),
            kst.layers.LayerNormGRU(UNITS, stateful=is_stateful),
            kst.heads.NormalHead(),
        ]
    )


def draw(y_pred: Any, rng: np.random.Generator) -> Any:
    """One value for each row of what a `NormalHead` emitted."""
    loc, scale = np.asarray(y_pred)[:, :1], np.asarray(y_pred)[:, 1:]
    return loc + scale * rng.normal(size=loc.shape).astype("float32")


def by_window(predict: Callable[[Any], Any], context: Any, steps: int) -> Any:
    """Runs the last inputs anew at every step."""
    rng = np.random.default_rng(0)
    history = np.repeat(context, PATHS, axis=0)
    for _ in range(steps):
        y = draw(predict(history[:, -CONTEXT:]), rng)
        history = np.concatenate([history, y[:, None]], axis=1)
    return history[:, CONTEXT:]


def by_state(model: keras.Model, context: Any, steps: int) -> Any:
    """Gives a stateful model one step at a time."""
    rng, paths = np.random.default_rng(0), []
    model.layers[0].reset_state()
    y_pred = model.predict_on_batch(np.repeat(context, PATHS, axis=0))
    for _ in range(steps):
        paths.append(draw(y_pred, rng)[:, None])
        y_pred = model.predict_on_batch(paths[-1])
    return np.concatenate(paths, axis=1)


def by_expert(
    model: keras.Model, context: Any, by_hand: bool
) -> Callable[[int], Any]:
    """A loop written for this model alone, its noise too or by the head."""
    gru, head = model.layers
    reader = kst.layers.LayerNormGRU(UNITS, return_state=True)
    reader.build(context.shape)
    reader.set_weights(gru.get_weights())

    @tf.function
    def run(context: Any, steps: Any) -> Any:
        output, state = reader(context)
        y_pred = tf.repeat(head(output), PATHS, axis=0)
        state = tf.repeat(state, PATHS, axis=0)
        paths = tf.TensorArray(tf.float32, steps)
        for step in tf.range(steps):
            if by_hand:
                loc, scale = y_pred[:, :1], y_pred[:, 1:]
                noise = tf.random.stateless_normal(tf.shape(loc), [0, step])
                y = loc + scale * noise
            else:
                y = head.distribution(y_pred).sample(seed=[0, step])
            paths = paths.write(step, y)
            output, (state,) = gru.cell(y, [state])
            y_pred = head(output)
        return paths.stack()

    return lambda steps: run(tf.constant(context), tf.constant(steps)).numpy()


def all_ways(steps: int) -> dict[str, Way]:
    keras.utils.set_random_seed(0)
    model, stateful = build(), build(batch_size=PATHS)
    stateful.set_weights(model.get_weights())
    context = np.sin(np.arange(CONTEXT, dtype="float32")).reshape(1, -1, 1)
    few = max(1, steps // 10)

    def ours(steps: int) -> Any:
        return kst.forecasting.forecast(
            model, context, steps, num_samples=PATHS, seed=0
        )

    def windows(predict: Callable[[Any], Any]) -> Callable[[int], Any]:
        return lambda steps: by_window(predict, context, steps)

    return {
        OURS: (ours, steps),
        "expert's compiled loop": (by_expert(model, context, False), steps),
        "the same, noise by hand": (by_expert(model, context, True), steps),
        "stateful predict_on_batch": (
            lambda steps: by_state(stateful, context, steps),
            steps,
        ),
        "window, predict_on_batch": (windows(model.predict_on_batch), steps),
        "window, eager": (windows(model), few),
        "window, predict": (
            windows(lambda x: model.predict(x, PATHS, verbose=0)),
            few,
        ),
    }


def compare(ways: dict[str, Way], rounds: int) -> Any:
    """Processor time a step, `(1 + rounds, ways)`; first calls are first."""
    each, rng = [*ways.values()], np.random.default_rng(0)
    spent = np.zeros((1 + rounds, len(ways)))
    for turn in range(1 + rounds):
        order = range(len(ways)) if turn == 0 else rng.permutation(len(ways))
        for place in order:
            function, steps = each[place]
            start = time.process_time()
            function(steps)
            spent[turn, place] = (time.process_time() - start) / steps
    return spent


def show(ways: dict[str, Way], spent: Any) -> None:
    ratios = spent[1:] / spent[1:, :1]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75), axis=0)
    print(f"{'':26}  us a step    ratio  quartiles        first call, s")
    for i, (name, (_, steps)) in enumerate(ways.items()):
        quartiles = f"{low[i]:.2f} to {high[i]:.2f}"
        print(
            f"{name:26}{1e6 * np.median(spent[1:, i]):11.0f}{middle[i]:9.2f}  "
            f"{quartiles:18}{steps * spent[0, i]:12.2f}"
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few steps")
    options = parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    steps, rounds = (4, 1) if options.quick else (200, 9)
    print(
        f"{PATHS} paths of {steps} steps from a context of {CONTEXT}, "
        f"threads: {options.threads}, rounds: {rounds}"
    )
    ways = all_ways(steps)
    show(ways, compare(ways, rounds))


if __name__ == "__main__":
    main()
