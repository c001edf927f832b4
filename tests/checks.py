"""The contracts that every layer, head, loss and metric here must pass."""

import json
import os

import keras
import numpy as np
import pytest
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

    `make` is a function of `**kwargs`, `units` among them unless the family
    has but one; `targets` draws valid targets of a shape.
    """
    units = make().units
    head = check_config(make())
    for features in ((4, 3), (4, 5, 3)):
        x = rng().normal(size=features).astype("float32")
        check_shapes(make(), x)
        head = make()
        y, y_pred = targets((*features[:-1], units)), head(x)
        assert y_pred.shape == (*features[:-1], sum(head.sizes.values()))
        check_methods(head, y, y_pred)
    check_mask_is_known(make(), x)
    x, y = x[:, 0], targets((4, units))
    check_head_in_a_model(make, x, y, folder)
    check_head_on_series(make, targets)


def check_methods(head, y, y_pred):
    """Every method answers in the shape of the targets, or says it cannot."""
    joint = y.shape[:-1] if head.joint else y.shape
    log_prob = head.log_prob(y, y_pred)
    assert log_prob.shape == joint
    assert np.isfinite(log_prob).all()
    assert head.log_likelihood(y, y_pred).shape == y.shape[:-1]
    assert head.mode(y_pred).shape == y.shape
    assert head.sample(y_pred, 5, seed=1).shape == (5, *y.shape)
    assert head.distribution(y_pred).batch_shape == joint
    others = {
        head.mean: (),
        head.variance: (),
        head.stddev: (),
        head.quantile: ((0.1, 0.5, 0.9),),
        head.interval: (0.5,),
        head.prob_below: (2.0,),
        head.prob_above: (2.0,),
        lambda y_pred: head.cdf(y, y_pred): (),
    }
    for method, arguments in others.items():
        if type(head).__name__ == "CategoricalHead":
            with pytest.raises(ValueError, match="`CategoricalHead` has no"):
                method(y_pred, *arguments)
        else:
            value = np.asarray(method(y_pred, *arguments))
            assert value.shape[-y.ndim :] == y.shape
            assert np.isfinite(value).all()


def check_head_in_a_model(make, x, y, folder):
    """Fitted, evaluated, saved, loaded, fitted again, cloned and exported."""
    from keras_seqtools.losses import NegativeLogLikelihood

    model = keras.Sequential([keras.Input((3,)), make()])
    head = model.layers[-1]
    for jit_compile in (True, False):
        model.compile(
            keras.optimizers.SGD(1e-4),
            loss=NegativeLogLikelihood(head),
            jit_compile=jit_compile,
        )
        expected = -np.mean(head.log_likelihood(y, model(x)))
        before = [w.numpy() for w in model.trainable_weights]
        loss = model.fit(x, y, verbose=0).history["loss"]
        np.testing.assert_allclose(loss, [expected], rtol=1e-5, atol=1e-6)
        for old, new in zip(before, model.trainable_weights, strict=True):
            assert np.isfinite(new.numpy()).all()
            assert (old != new.numpy()).any()
    expected = -np.mean(head.log_likelihood(y, model(x)))
    np.testing.assert_allclose(
        model.evaluate(x, y, verbose=0), expected, rtol=1e-5, atol=1e-6
    )
    check_saved(model, x, folder)
    loaded = save_and_load(model, folder)
    loss = loaded.fit(x, y, verbose=0).history["loss"]
    np.testing.assert_allclose(loss, [expected], rtol=1e-5, atol=1e-6)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(x), model(x))
    model.export(os.path.join(folder, "exported"), verbose=False)
    exported = tf.saved_model.load(os.path.join(folder, "exported"))
    np.testing.assert_allclose(
        exported.serve(x), model(x), rtol=1e-5, atol=1e-6
    )


def check_head_on_series(make, targets):
    """Masks and weights count, and half precision stops at the head."""
    from keras_seqtools.losses import NegativeLogLikelihood

    tokens = np.array([[1, 2, 3, 0, 0], [4, 1, 0, 0, 0], [2, 2, 1, 4, 3]])
    y = targets((3, 5, make().units))
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = keras.Sequential(
                [
                    keras.Input((5,)),
                    keras.layers.Embedding(5, 3, mask_zero=True),
                    make(),
                ]
            )
        finally:
            keras.config.set_dtype_policy("float32")
        assert model(tokens).dtype == "float32"
        head = model.layers[-1]
        nll = -np.asarray(head.log_likelihood(y, model(tokens)))
        model.compile(
            keras.optimizers.SGD(1e-4),
            loss=NegativeLogLikelihood(head),
            run_eagerly=True,
        )
        for weight in (rng().random(3), rng().random((3, 5))):
            full = np.broadcast_to(weight.reshape(3, -1), (3, 5))
            counted = tokens != 0
            np.testing.assert_allclose(
                model.evaluate(tokens, y, sample_weight=weight, verbose=0),
                (nll * full * counted).sum() / counted.sum(),
                rtol=1e-5,
            )
        history = model.fit(tokens, y, sample_weight=weight, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        for w in model.weights:
            assert np.isfinite(w.numpy()).all()


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
