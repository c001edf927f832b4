"""The contracts that every layer, head, loss and metric here must pass."""

import json
import os

import keras
import numpy as np
import tensorflow as tf


def rng(seed=0):
    return np.random.default_rng(seed)


def save_and_load(model, folder):
    path = os.path.join(folder, "model.keras")
    model.save(path)
    return keras.models.load_model(path)


def check_config(thing):
    """The configuration is JSON, and rebuilds an equal thing."""
    config = thing.get_config()
    json.dumps(keras.saving.serialize_keras_object(thing))
    again = type(thing).from_config(config)
    assert json.dumps(again.get_config()) == json.dumps(config)
    return again


def check_layer(make, input_shape, folder, *, random=False, jit=True):
    """Everything Keras users take for granted of a layer.

    `make` is a function of `**kwargs`, `random` says that calls differ. A
    random layer must be given a seed by `make`: a loaded layer replays it.
    """
    x = rng().normal(size=(4, *input_shape)).astype("float32")
    check_config(make())
    check_shapes(make(), x)
    check_half_precision(make(dtype="mixed_float16"), x)
    if make().supports_masking and len(input_shape) == 2:
        check_mask_is_known(make(), x)
    model = keras.Sequential([keras.Input(input_shape), make()])
    check_saved(model, x, folder)
    first = keras.layers.Dense(input_shape[-1])  # a layer may have no weight
    check_fits(keras.Sequential([keras.Input(input_shape), first, make()]), x)
    if jit:
        compiled = tf.function(model.layers[-1], jit_compile=True)
        if random:
            assert np.isfinite(compiled(x)).all()
        else:
            np.testing.assert_allclose(
                compiled(x), model(x), rtol=1e-4, atol=1e-5
            )


def check_shapes(layer, x):
    """Symbolic and eager output agree, with and without known sizes."""
    eager = layer(x)
    for unknown in (x.shape, (None, *x.shape[1:])):
        symbolic = layer(keras.KerasTensor(unknown, "float32"))
        assert symbolic.dtype == eager.dtype
        assert len(symbolic.shape) == len(eager.shape)
        for claimed, real in zip(symbolic.shape, eager.shape, strict=True):
            assert claimed in (None, real)
    assert symbolic.shape[1:] == tuple(eager.shape[1:])


def check_half_precision(layer, x):
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert all(weight.dtype == "float32" for weight in layer.weights)
    assert np.isfinite(np.asarray(y, "float32")).all()


def check_mask_is_known(layer, x):
    """A mask reaches the layer and is answered, not dropped on the way."""
    x = x.copy()
    x[:, -1] = 0.0
    inputs = keras.Input(x.shape[1:])
    masked = keras.layers.Masking()(inputs)
    outputs = layer(masked)  # Keras warns, and so fails, on a lost mask
    y = np.asarray(keras.Model(inputs, outputs)(x), "float32")
    assert np.isfinite(y).all()


def check_saved(model, x, folder):
    """The first prediction after loading equals the first before."""
    loaded = save_and_load(model, folder)
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert loaded.count_params() == model.count_params()


def check_fits(model, x, loss="mse", y=None):
    """One training step runs and moves every trainable weight."""
    y = np.ones(model.compute_output_shape(x.shape)) if y is None else y
    before = [w.numpy() for w in model.trainable_weights]
    model.compile(keras.optimizers.SGD(0.1), loss=loss)
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    after = [w.numpy() for w in model.trainable_weights]
    assert all(np.isfinite(w).all() for w in after)
    assert all((a != b).any() for a, b in zip(after, before, strict=True))
