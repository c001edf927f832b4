"""On several devices, in several precisions, eager: the same numbers."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_seqtools as kst

L = keras.layers
X = np.random.default_rng(0).normal(size=(21, 5, 4)).astype("float32")
QUIET = {"num_samples": 12, "seed": 3, "verbose": 0}

TWO_DEVICES = """
import json
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, halves)
import keras
import numpy as np
import keras_seqtools as kst

def build():
    keras.utils.set_random_seed(0)
    x, z = keras.Input((5, 4)), keras.Input((2,))
    h = keras.layers.BatchNormalization()(x)
    h = keras.layers.GRU(6, dropout=0.3, recurrent_dropout=0.2)(h)
    h = keras.layers.Concatenate()([keras.layers.Dropout(0.5)(h), z])
    return keras.Model([x, z], kst.heads.NormalHead()(h))

rng = np.random.default_rng(0)
data = [rng.normal(size=(21, 5, 4)), rng.normal(size=(21, 2))]
options = dict(num_samples=12, seed=3, levels=(0.9,), verbose=0)
alone = kst.predict_uncertainty(build(), data, **options)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = build()
shared = kst.predict_uncertainty(model, data, batch_size=8, **options)
print(json.dumps({
    "replicas": strategy.num_replicas_in_sync,
    "rows": len(shared),
    "mean": float(np.abs(alone.mean - shared.mean).max()),
    "epistemic": float(
        np.abs(alone.epistemic_std - shared.epistemic_std).max()
    ),
    "end": float(
        np.abs(alone.interval(0.9)[0] - shared.interval(0.9)[0]).max()
    ),
}))
"""


def make_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            L.GRU(6, dropout=0.3, return_sequences=True),
            L.TimeDistributed(L.Dropout(0.5)),
            L.Flatten(),
            L.Dense(1),
        ]
    )


@pytest.mark.slow
def test_two_replicas_find_what_one_finds():
    run = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["replicas"] == 2
    assert found["rows"] == 21
    for name in ("mean", "epistemic", "end"):
        assert found[name] < 1e-5


def test_eager_is_the_same():
    model = make_model()
    compiled = kst.predict_uncertainty(model, X, **QUIET)
    model.compile(loss="mse", run_eagerly=True)
    eager = kst.predict_uncertainty(model, X, **QUIET)
    np.testing.assert_allclose(eager.mean, compiled.mean, rtol=1e-5, atol=1e-6)


def test_steps_per_execution_is_the_same():
    model = make_model()
    expected = kst.predict_uncertainty(model, X, batch_size=4, **QUIET)
    model.compile(loss="mse", steps_per_execution=3)
    found = kst.predict_uncertainty(model, X, batch_size=4, **QUIET)
    np.testing.assert_array_equal(found.mean, expected.mean)


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 2e-2), ("mixed_bfloat16", 1e-1)]
)
def test_moments_of_half_precision_are_float32(policy, tolerance):
    expected = kst.predict_uncertainty(make_model(), X, **QUIET)
    keras.config.set_dtype_policy(policy)
    try:
        model = make_model()
    finally:
        keras.config.set_dtype_policy("float32")
    u = kst.predict_uncertainty(model, X, return_samples=True, **QUIET)
    assert u.mean.dtype == u.samples.dtype == "float32"
    close = {"rtol": 1e-3, "atol": 1e-6}
    np.testing.assert_allclose(u.mean, u.samples.mean(0), **close)
    np.testing.assert_allclose(u.epistemic_std, u.samples.std(0), **close)
    # And the masks are the same, so that only the rounding differs.
    np.testing.assert_allclose(u.mean, expected.mean, atol=tolerance)


def test_xla_has_the_law_of_the_rest_and_any_batch_size():
    model = make_model()
    options = {"num_samples": 2000, "seed": 1, "verbose": 0}
    plain = kst.predict_uncertainty(model, X[:3], **options)
    found = kst.predict_uncertainty(
        model, X[:3], jit_compile=True, batch_size=3, **options
    )
    again = kst.predict_uncertainty(
        model, X[:3], jit_compile=True, batch_size=2, **options
    )
    np.testing.assert_allclose(found.mean, again.mean, rtol=1e-4, atol=1e-5)
    error = 5 * np.sqrt(2) * plain.mcse
    assert (np.abs(found.mean - plain.mean) < error).all()
    np.testing.assert_allclose(
        found.epistemic_std, plain.epistemic_std, rtol=0.12
    )
