"""Which sequence model? Nine speakers by how they say two vowels, one table.

Convolutions, SimpleRNN, LSTM, GRU and LayerNormGRU of the same units; sizes and
regularisation of the GRU; and causal against both ways. On JapaneseVowels (Kudo
et al., 1999), which `sktime` ships: 12 coefficients of each step of a recorded
/ae/, 7 to 29 steps, 270 series to learn from and 370 to test with.

Series are padded on the left to one length and the padding is masked. A model
is its layers, a read-out and a softmax. `last` reads the output of the last
step, and of a backward layer that of the first; `mean` reads the mean of the
outputs of all steps. The convolutions see 15 steps back.

Each seed has weights and a split of its own: a fifth of the training series is
kept to stop the training, by its NLL. All models have the same optimizer, rate
and batches, which suit some more than others; rate, dropout and penalty are not
tuned. Dropout is of the inputs, the states and the last output.

All seeds share the test series: where .97 are right, the standard error of 370
is .009, and differences of that size mean nothing.

    python examples/sequence_models.py            # some ten minutes
    python examples/sequence_models.py --quick    # a look only, a minute
"""

import argparse
import functools
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from calibrated_digits import Array
from calibrated_digits import print_head
from calibrated_digits import print_row
from calibrated_digits import quality
from sklearn.model_selection import train_test_split
from sktime.datasets import load_japanese_vowels

import keras_seqtools as kst

SPEAKERS, FEATURES = 9, 12
PADDING = -99.0  # far from all data


class Rows(NamedTuple):
    """Padded series `(n, time, 12)` and who speaks `(n,)`."""

    x: Array
    y: Array


class Design(NamedTuple):
    """What a model is made of, between the masked series and the softmax."""

    layer: str = "GRU"
    units: tuple[int, ...] = (64,)
    read: str = "last"
    both_ways: bool = False
    dropout: float = 0.0
    l2: float = 0.0


LAYERS = ("CausalConvStack", "SimpleRNN", "LSTM", "GRU", "LayerNormGRU")
DESIGNS = {
    "no layer, mean": Design(units=(), read="mean"),
    **{
        f"{layer} 64, {read}": Design(layer, read=read)
        for read in ("mean", "last")
        for layer in LAYERS
    },
    "GRU 64 64, last": Design(units=(64, 64)),
    "GRU 32 32, last": Design(units=(32, 32)),
    "GRU 64, last, L2": Design(l2=1e-3),
    "GRU 64, last, dropout": Design(dropout=0.3),
    "GRU 64 both ways, last": Design(both_ways=True),
    "GRU 32 both ways, last": Design(units=(32,), both_ways=True),
}


@functools.cache
def read_part(part: str) -> tuple[list[Array], Array]:
    """Series `(time, 12)` of their own lengths, and the speakers from 0."""
    frames, speakers = load_japanese_vowels(part, return_type="df-list")
    return [frame.to_numpy() for frame in frames], speakers.astype(int) - 1


def pad(series: Sequence[Array]) -> Array:
    return keras.utils.pad_sequences(series, dtype="float32", value=PADDING)


def split(seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows for training, validation and test, scaled by the first."""
    series, y = read_part("train")
    train, validation, y_train, y_validation = train_test_split(
        series, y, test_size=0.2, stratify=y, random_state=seed
    )
    test, y_test = read_part("test")
    steps = np.concatenate(train)
    mean, std = steps.mean(axis=0), steps.std(axis=0)

    def rows(series: Sequence[Array], y: Array) -> Rows:
        return Rows(pad([(steps - mean) / std for steps in series]), y)

    return (
        rows(train, y_train),
        rows(validation, y_validation),
        rows(test, y_test),
    )


def make_layer(
    design: Design, units: int, return_sequences: bool
) -> keras.layers.Layer:
    module = kst.layers if design.layer == "LayerNormGRU" else keras.layers
    penalty = keras.regularizers.L2(design.l2) if design.l2 else None
    layer = getattr(module, design.layer)(
        units,
        return_sequences=return_sequences,
        dropout=design.dropout,
        recurrent_dropout=design.dropout,
        kernel_regularizer=penalty,
        recurrent_regularizer=penalty,
    )
    return keras.layers.Bidirectional(layer) if design.both_ways else layer


def make_model(design: Design) -> keras.Model:
    model = keras.Sequential([keras.Input((None, FEATURES))])
    model.add(keras.layers.Masking(PADDING))
    is_last = design.read == "last"
    if design.layer == "CausalConvStack":
        (filters,) = design.units
        model.add(kst.layers.CausalConvStack(filters, 3, dilations=(1, 2, 4)))
        if is_last:
            model.add(kst.layers.CausalSlice(1))
    else:
        for depth, units in enumerate(design.units, start=1):
            is_read = is_last and depth == len(design.units)
            model.add(make_layer(design, units, return_sequences=not is_read))
    if len(model.output_shape) == 3:  # all steps, or the one of the slice
        model.add(keras.layers.GlobalAveragePooling1D())
    model.add(keras.layers.Dropout(design.dropout))
    model.add(keras.layers.Dense(SPEAKERS, activation="softmax"))
    return model


def fit_model(
    design: Design, train: Rows, validation: Rows, seed: int, epochs: int
) -> tuple[keras.Model, list[float]]:
    """The model of the best epoch, and the seconds of each but the first."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = make_model(design)
    model.compile(
        keras.optimizers.Adam(3e-3, global_clipnorm=1.0),
        loss="sparse_categorical_crossentropy",
        # The loss without the penalty.
        metrics=[keras.metrics.SparseCategoricalCrossentropy(name="nll")],
    )
    ends: list[float] = []
    model.fit(
        *train,
        validation_data=tuple(validation),
        batch_size=32,
        epochs=epochs,
        callbacks=[
            keras.callbacks.EarlyStopping(
                "val_nll",
                mode="min",
                min_delta=1e-3,
                patience=15,
                restore_best_weights=True,
            ),
            # Processor time, which knows nothing of who else works.
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: ends.append(time.process_time())
            ),
        ],
        verbose=0,
    )
    return model, np.diff(ends).tolist()


def spread(values: Array) -> str:
    return f"{values.mean():.3f} [{values.min():.3f}, {values.max():.3f}]"


def compare(names: Sequence[str], seeds: Sequence[int], epochs: int) -> None:
    parts = {seed: split(seed) for seed in seeds}
    print_head(
        f"370 test series: mean [least, most] of {len(seeds)} seeds.",
        "",
        "parameters",
        "accuracy",
        "NLL",
        "ECE",
        "ECE by chance",
        "epochs",
        "ms an epoch",
    )
    for name in names:
        scores, seconds = defaultdict(list), []
        for seed, (train, validation, test) in parts.items():
            model, took = fit_model(
                DESIGNS[name], train, validation, seed, epochs
            )
            seconds.append(took)
            plain = kst.predict_deterministic(model, test.x, verbose=0)
            scores[name].append(quality(test.y, plain))
            if DESIGNS[name].dropout:
                u = kst.predict_uncertainty(model, test.x, seed=1, verbose=0)
                passes = quality(test.y, u.probabilities)
                scores["its mean of 100 passes"].append(passes)
        for who, found in scores.items():
            accuracy, nll, _, ece, by_chance = np.transpose(found)
            print_row(
                who,
                f"{model.count_params():,}",
                *map(spread, (accuracy, nll, ece)),
                f"{by_chance.mean():.3f}",
                f"{np.mean([len(took) + 1 for took in seconds]):.0f}",
                f"{1000 * np.median(np.concatenate(seconds)):.0f}",
            )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", nargs="+", choices=DESIGNS, default=[*DESIGNS])
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--threads", type=int, default=1, help="0: as many as TensorFlow likes")
    add("--quick", action="store_true", help="a look only")
    options = parser.parse_args(arguments)
    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    seeds = options.seeds[:1] if options.quick else options.seeds
    compare(options.models, seeds, epochs=2 if options.quick else 300)


if __name__ == "__main__":
    main()
