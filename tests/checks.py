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


def check_head(make, folder, *, targets):
    """What every head promises, beyond the law of its family.

    `make` is a function of `**kwargs`; `targets` draws valid targets of a
    shape.
    """
    from keras_seqtools.losses import NegativeLogLikelihood

    for features in ((4, 3), (4, 5, 3)):
        head, x = make(units=2), rng().normal(size=features).astype("float32")
        check_shapes(make(units=2), x)
        y_pred = head(x)
        assert y_pred.shape == (*features[:-1], 2 * len(head.parameters))
        y = targets((*features[:-1], 2))
        for method in (head.log_prob, head.cdf):
            assert method(y, y_pred).shape == y.shape
        for method in (head.mean, head.variance, head.stddev, head.mode):
            assert method(y_pred).shape == y.shape
        assert head.quantile(y_pred, (0.1, 0.5, 0.9)).shape == (3, *y.shape)
        assert head.sample(y_pred, 5, seed=1).shape == (5, *y.shape)
        assert head.distribution(y_pred).batch_shape == y.shape
    check_config(make(units=2))
    check_mask_is_known(make(), x)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        assert make()(x.astype("float16")).dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")
    model = keras.Sequential([keras.Input((3,)), make(units=2)])
    x, y = x[:, 0], targets((4, 2))
    model.layers[-1].adapt(y)
    check_saved(model, x, folder)
    for jit_compile in (False, True):
        model.compile(
            "sgd",
            loss=NegativeLogLikelihood(model.layers[-1]),
            jit_compile=jit_compile,
        )
        assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    loaded = save_and_load(model, folder)
    assert np.isfinite(loaded.fit(x, y, verbose=0).history["loss"]).all()
    check_saved(loaded, x, folder)


def stream(metric, *arrays, size):
    """The result after batches of `size` rows; None stays None."""
    for start in range(0, len(arrays[0]), size):
        rows = slice(start, start + size)
        metric.update_state(*(a if a is None else a[rows] for a in arrays))
    return float(metric.result())


def check_metric(make, y_true, y_pred, folder, loss):
    """Everything Keras users take for granted of a metric.

    `make` is a function of `**kwargs`, `loss` one that takes `y_true` too.
    """
    weight = rng().integers(0, 3, y_pred.shape[:-1]).astype("float32")
    data, rows = (y_true, y_pred, weight), len(y_true)
    expected = stream(make(), *data, size=rows)
    for size in (1, 3):
        again = check_config(make())
        np.testing.assert_allclose(
            stream(again, *data, size=size), expected, rtol=1e-12
        )
        again.reset_state()
        np.testing.assert_equal(float(again.result()), float(make().result()))
        assert stream(again, *data, size=rows) == expected
    for policy, jit_compile in (
        ("mixed_float16", False),
        ("mixed_bfloat16", False),
        ("float32", True),
        ("float32", False),
    ):
        model = make_echo(y_pred.shape, policy)
        model.compile(
            keras.optimizers.SGD(0.0),
            loss,
            metrics=[make(name="plain")],
            weighted_metrics=[make(name="weighted")],
            jit_compile=jit_compile,
        )
        check_reports(make, model, data)
    check_reports(make, save_and_load(model, folder), data)


def make_echo(shape, policy):
    """A trainable model that predicts its input."""
    echo = keras.layers.Dense(
        shape[-1], use_bias=False, kernel_initializer="identity", dtype=policy
    )
    return keras.Sequential([keras.Input(shape[1:]), echo])


def check_reports(make, model, data):
    """Every epoch of `fit` reports what plain updates give."""
    y_true, y_pred, weight = data
    rows, seen = len(y_true), np.asarray(model(y_pred))
    plain = stream(make(), y_true, seen, size=rows)
    weighted = stream(make(), y_true, seen, weight, size=rows)
    assert plain != weighted
    history = model.fit(
        y_pred, y_true, sample_weight=weight, batch_size=3, epochs=2, verbose=0
    ).history
    for epoch in range(2):
        np.testing.assert_allclose(history["plain"][epoch], plain, rtol=1e-12)
        np.testing.assert_allclose(
            history["weighted"][epoch], weighted, rtol=1e-12
        )
