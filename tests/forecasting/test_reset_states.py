"""ResetStates: a model reads each series as if it were the only one."""

import checks
import keras
import numpy as np
import pytest

from keras_seqtools.forecasting import ResetStates
from keras_seqtools.forecasting import StatefulBatches
from keras_seqtools.layers import LayerNormGRU

# More of them than rows, so that none is cut and rows take up several.
LENGTHS = [12, 20, 7, 16, 9]


def make_series(seed=0):
    rng = checks.rng(seed)
    return [rng.normal(size=n).astype("float32") for n in LENGTHS]


def make_model(batch_size, rate=0.1, layer=keras.layers.LSTM):
    """With its recurrent layer inside another model."""
    stateful = batch_size is not None
    inner = keras.Sequential(
        [
            keras.Input((None, 1), batch_size=batch_size),
            layer(4, return_sequences=True, stateful=stateful),
        ]
    )
    inputs = keras.Input((None, 1), batch_size=batch_size)
    model = keras.Model(inputs, keras.layers.Dense(1)(inner(inputs)))
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def alone(model, series):
    """Predictions of a stateless copy for one series after the other."""
    copy = make_model(None)
    copy.set_weights(model.get_weights())
    return [copy(one[None, :, None])[0, :, 0].numpy() for one in series]


def alone_loss(model, series):
    errors = np.concatenate(alone(model, series)) - np.concatenate(series)
    return np.mean(errors**2)


def states(model):
    return [
        np.array(state)
        for layer in model._flatten_layers()
        for state in getattr(layer, "states", None) or []
    ]


def test_predictions_are_those_of_each_series_alone():
    series = make_series()
    codes = [100 * i + np.arange(n) for i, n in enumerate(LENGTHS)]
    batches = StatefulBatches(series, codes, batch_size=2, steps=5)
    assert batches.fresh[1:].any()
    model = make_model(2)
    for _ in range(2):
        p = model.predict(batches, verbose=0, callbacks=[ResetStates(batches)])
        assert not np.any(states(model))
    y, weight = (
        np.concatenate([batch[part] for batch in batches]) for part in (1, 2)
    )
    order = np.argsort(y[weight > 0][:, 0])
    expected = np.concatenate(alone(model, series))
    np.testing.assert_allclose(
        p[weight > 0][order, 0], expected, rtol=1e-5, atol=1e-6
    )
    # Without it, states leak.
    p = model.predict(batches, verbose=0)
    assert np.abs(p[weight > 0][order, 0] - expected).max() > 1e-2


def test_losses_are_means_over_the_steps_of_the_series():
    series, others = make_series(), make_series(1)[:3]
    model = make_model(2, rate=0.0)
    batches = StatefulBatches(series, series, batch_size=2, steps=5)
    validation = StatefulBatches(others, others, batch_size=2, steps=4)
    assert len(batches) != len(validation)
    assert validation.fresh[1:].any()
    reset = ResetStates(batches, validation)
    fit = {"epochs": 3, "shuffle": False, "verbose": 0, "callbacks": [reset]}
    history = model.fit(batches, validation_data=validation, **fit).history
    loss, val_loss = alone_loss(model, series), alone_loss(model, others)
    np.testing.assert_allclose(history["loss"], [loss] * 3, rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], [val_loss] * 3, rtol=1e-5)
    assert not np.any(states(model))
    # The same callback, outside of `fit`.
    model.predict(batches, verbose=0)
    evaluated = model.evaluate(batches, verbose=0, callbacks=[reset])
    np.testing.assert_allclose(evaluated, loss, rtol=1e-5)


def test_other_validation_data_start_from_zero_states():
    series = make_series()
    batches = StatefulBatches(series, series, batch_size=2, steps=5)
    model = make_model(2, rate=0.0)
    x = checks.rng(2).normal(size=(2, 9, 1)).astype("float32")
    history = model.fit(
        batches,
        validation_data=(x, x),
        shuffle=False,
        callbacks=[ResetStates(batches)],
        epochs=2,
        verbose=0,
    ).history
    np.testing.assert_allclose(
        history["val_loss"], [alone_loss(model, x[..., 0])] * 2, rtol=1e-5
    )


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_fit_leaves_nothing_behind():
    series = make_series()
    batches = StatefulBatches(series, series, batch_size=2, steps=5)
    model, reset = make_model(2), ResetStates(batches)
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            batches,
            shuffle=False,
            verbose=0,
            callbacks=[reset, Interrupt()],
        )
    assert np.any(states(model))
    loss = model.evaluate(batches, verbose=0, callbacks=[reset])
    np.testing.assert_allclose(loss, alone_loss(model, series), rtol=1e-5)


def test_refuses_epochs_and_models_that_it_cannot_serve():
    series = make_series()
    batches = StatefulBatches(series, series, batch_size=2, steps=5)
    fit = {
        "shuffle": False,
        "verbose": 0,
        "callbacks": [ResetStates(batches)],
    }
    with pytest.raises(ValueError, match="steps_per_epoch"):
        make_model(2).fit(batches, steps_per_epoch=2, **fit)
    with pytest.raises(ValueError, match="stateful=True"):
        make_model(None).fit(batches, **fit)
    model = make_model(2)
    model.compile("sgd", "mse", steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution=1"):
        model.fit(batches, **fit)
    # Where all rows begin at once there is nothing to do in between.
    one = StatefulBatches(series[1], series[1], batch_size=2, steps=5)
    model.fit(one, **{**fit, "callbacks": [ResetStates(one)]})


def make_stream(seed, length=20_000):
    """Rare signs; the label of a step is the last sign, however long ago."""
    rng = checks.rng(seed)
    signs = np.where(rng.random(length) < 0.03, rng.choice([-1, 1], length), 0)
    signs[0] = 1
    last = np.maximum.accumulate(np.where(signs, np.arange(length), 0))
    return signs.astype("float32"), (signs[last] > 0).astype("float32")


def least_loss(groups, labels):
    """Of all that is certain, but for steps that only their group tells apart.

    Within a group the best answer is the frequency of label 1, seen afterwards.
    Group 0 is certain.
    """
    loss = 0.0
    for group in set(groups[groups > 0]):
        p = labels[groups == group].mean()
        share = np.mean(groups == group)
        loss -= share * (p * np.log(p) + (1 - p) * np.log(1 - p))
    return loss


class ResetEveryBatch(keras.callbacks.Callback):
    def on_test_batch_begin(self, batch, logs=None):
        self.model.layers[0].reset_state()


def test_the_whole_past_beats_the_best_of_all_windows():
    steps = 10
    train = StatefulBatches(*make_stream(0), batch_size=32, steps=steps)
    signs, labels = make_stream(1)
    test = StatefulBatches(signs, labels, batch_size=32, steps=steps)
    model = keras.Sequential(
        [
            keras.Input((steps, 1), batch_size=32),
            LayerNormGRU(8, return_sequences=True, stateful=True),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    model.fit(
        train,
        epochs=6,
        shuffle=False,
        callbacks=[ResetStates(train)],
        verbose=0,
    )
    loss = model.evaluate(test, callbacks=[ResetStates(test)], verbose=0)

    # All windows without a sign are one and the same input: no model of a
    # window can do better on this very stream than to know their frequency.
    seen = np.convolve(np.abs(signs), np.ones(steps))[: len(signs)]
    of_windows = least_loss((seen < 0.5).astype(int), labels)
    np.testing.assert_allclose(of_windows, 0.97**steps * np.log(2), rtol=0.05)
    assert loss < of_windows / 2

    # With a reset at every batch only what came since then is known.
    x, y, weight = map(np.concatenate, zip(*test, strict=True))
    seen = np.cumsum(np.abs(x[..., 0]), axis=1)
    groups = np.where(seen < 0.5, 1 + np.arange(steps), 0)
    real = weight > 0
    of_resets = least_loss(groups[real], y[real][:, 0])
    reset_loss = model.evaluate(test, callbacks=[ResetEveryBatch()], verbose=0)
    assert reset_loss > of_resets > of_windows
