"""What `predict_uncertainty` promises, for every kind of randomness."""

import subprocess
import sys

import checks
import keras
import kinds
import numpy as np
import pytest
import tensorflow as tf
from kinds import KINDS

import keras_seqtools as kst

L = keras.layers
OPTIONS = {"task": "regression", "verbose": 0, "return_samples": True}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def samples(model, x, num_samples=4, seed=1, **options):
    u = kst.predict_uncertainty(
        model, x, num_samples=num_samples, seed=seed, **OPTIONS, **options
    )
    return u.samples


@EVERY_KIND
def test_varies_by_seed_alone_and_leaves_no_trace(kind):
    model, x = kind.model(), kind.rows(40)
    expected = kind.without_noise(model)(x, training=False)
    before = kinds.everything(model)
    u = kst.predict_uncertainty(model, x, num_samples=4, seed=1, **OPTIONS)
    again, other = samples(model, x), samples(model, x, seed=2)
    assert u.epistemic_std.max() > 1e-4
    np.testing.assert_array_equal(u.samples, again)
    assert (u.samples != other).any(axis=(0, 2)).mean() > 0.5
    kinds.assert_untouched(model, before)
    if kind is not KINDS["always on"]:
        np.testing.assert_allclose(u.deterministic, expected, **CLOSE)


@pytest.mark.slow
@EVERY_KIND
def test_is_the_same_in_batches_of_any_size(kind):
    """So batch normalisation cannot have seen the rows beside a row."""
    model, x = kind.model(), kind.rows(40)
    if not kind.by_row:
        first = samples(model, x, batch_size=16)
        np.testing.assert_array_equal(first, samples(model, x, batch_size=16))
        return
    expected = samples(model, x)
    for size in (1, 7, 16, 256):
        found = samples(model, x, batch_size=size)
        np.testing.assert_allclose(found, expected, **CLOSE)
    x[1:] = 0.0
    np.testing.assert_allclose(samples(model, x)[:, 0], expected[:, 0], **CLOSE)


@pytest.mark.slow
@EVERY_KIND
def test_is_the_same_inside_another_model(kind):
    inner, x = kind.model(), kind.rows(8)
    inputs = keras.Input(kind.shape)
    outer = keras.Model(inputs, L.Rescaling(2.0)(inner(inputs)))
    before = kinds.everything(outer)
    found = samples(outer, x)
    kinds.assert_untouched(outer, before)
    np.testing.assert_allclose(found, 2 * samples(inner, x), **CLOSE)


@pytest.mark.slow
@EVERY_KIND
def test_is_the_same_after_saving_and_loading(kind, tmp_path):
    model, x = kind.model(), kind.rows(8)
    before = samples(model, x)
    loaded = checks.save_and_load(model, tmp_path)
    np.testing.assert_allclose(samples(loaded, x), before, **CLOSE)
    np.testing.assert_array_equal(samples(model, x), before)


def assert_same_moments(a, b):
    """First and second moments agree within 5 standard errors."""
    center = np.concatenate([a, b]).mean(0)
    moments = [(a, b), (squares(a - center), squares(b - center))]
    for one, other in moments:
        error = np.sqrt((one.var(0) + other.var(0)) / len(a))
        gap = np.abs(one.mean(0) - other.mean(0))
        assert (gap <= 5 * error + 1e-6).all()


def squares(x):
    """Products of each two columns."""
    return (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)


def assert_uncorrelated(a, b):
    covariance = ((a - a.mean(0)) * (b - b.mean(0))).mean(0)
    # What it is of independent ones; that of the products themselves would
    # know nothing of rare events that did not coincide.
    error = a.std(0) * b.std(0) / np.sqrt(len(a))
    assert (np.abs(covariance) <= 5 * error + 1e-6).all()


def passes_of_keras(kind, x, number):
    """Of each row: Keras' own passes, `(number, rows, units)`."""
    if None in kind.shape:
        # Where the number of steps is not known, Keras 3.15 draws one mask for
        # all of them.
        kind = kinds.dataclasses.replace(kind, shape=x.shape[1:])
    model = kind.bare()
    for layer in model._flatten_layers():
        if isinstance(layer, L.BatchNormalization):
            layer.trainable = False  # which is inference, for this layer
    if kind.shares:
        call = tf.function(lambda: model(x, training=True))
        return np.stack([call() for _ in range(number)])
    calls = model(np.repeat(x, number, axis=0), training=True)
    return np.moveaxis(np.reshape(calls, (len(x), number, -1)), 1, 0)


@pytest.mark.slow
@EVERY_KIND
def test_passes_have_the_law_of_those_of_keras(kind):
    x, number = kind.rows(3), 4000
    expected = passes_of_keras(kind, x, number)
    found = samples(kind.bare(), x, number)
    assert found.shape == expected.shape
    assert (expected.std(0) > 1e-4).any()
    for row in range(3):
        assert_same_moments(found[:, row], expected[:, row])


@pytest.mark.slow
@EVERY_KIND
def test_passes_and_rows_have_noise_of_their_own(kind):
    x = np.repeat(kind.rows(1), 2, axis=0)
    found = samples(kind.bare(), x, 4000)
    # More than there may be passes side by side.
    for lag in range(1, 20):
        assert_uncorrelated(found[lag:, 0], found[:-lag, 0])
    if kind.shares:
        np.testing.assert_allclose(found[:, 0], found[:, 1], **CLOSE)
    else:
        assert_uncorrelated(found[:, 0], found[:, 1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "Dropout 0.01",
        "Dropout shared by rows",
        "AlphaDropout",
        "GaussianNoise",
        "GRU recurrent",
        "custom cell",
        "attention",
    ],
)
def test_compiled_by_xla_the_law_is_the_same(name):
    kind = KINDS[name]
    model, x, number = kind.bare(), kind.rows(3), 4000
    found = samples(model, x, number, jit_compile=True)
    assert_same_moments(found[:, 0], passes_of_keras(kind, x, number)[:, 0])
    for lag in range(1, 20):
        assert_uncorrelated(found[lag:, 0], found[:-lag, 0])
    expected = samples(model, x, 17, jit_compile=True)
    for size in (1, 2):
        one = samples(model, x, 17, jit_compile=True, batch_size=size)
        np.testing.assert_allclose(one, expected, **CLOSE)


def model_of_several():
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            L.SpatialDropout1D(0.3),
            L.GRU(3, dropout=0.2, recurrent_dropout=0.2),
            L.GaussianNoise(0.1),
            L.Dense(2, kernel_initializer="ones"),
        ]
    )


X = np.random.default_rng(0).normal(size=(40, 5, 4)).astype("float32")


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[16 * index : 16 * (index + 1)]


def test_is_the_same_for_data_of_any_form():
    model = model_of_several()
    expected = samples(model, X)
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(7)
    for data in (dataset, Rows()):
        np.testing.assert_allclose(samples(model, data), expected, **CLOSE)


@pytest.mark.slow
def test_is_the_same_when_run_eagerly():
    model = model_of_several()
    expected = samples(model, X)
    model.compile(run_eagerly=True)
    for size in (16, 40):
        found = samples(model, X, batch_size=size)
        np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize("num_samples", [4, 5, 17])
def test_what_rows_share_they_share_when_run_eagerly(num_samples):
    kind = KINDS["Dropout shared by rows"]
    model, x = kind.bare(), kind.rows(5)
    expected = samples(model, x, num_samples)
    model.compile(run_eagerly=True)
    for size in (1, 2, 5):
        found = samples(model, x, num_samples, batch_size=size)
        np.testing.assert_allclose(found, expected, **CLOSE)


ANOTHER_PROCESS = """
import sys
import keras
import numpy as np
import keras_seqtools as kst

x, model = np.load(sys.argv[1]), keras.models.load_model(sys.argv[2])
u = kst.predict_uncertainty(
    model, x, num_samples=4, seed=1, task="regression", verbose=0,
    return_samples=True,
)
np.save(sys.argv[3], u.samples)
"""


@pytest.mark.slow
def test_is_the_same_in_another_process(tmp_path):
    model = model_of_several()
    paths = [tmp_path / name for name in ("x.npy", "m.keras", "found.npy")]
    np.save(paths[0], X)
    model.save(paths[1])
    subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS, *map(str, paths)], check=True
    )
    np.testing.assert_allclose(np.load(paths[2]), samples(model, X), **CLOSE)
