"""Random layers are found, switched in one thread alone, and left as found."""

import threading

import keras
import kinds
import numpy as np
import pytest
from keras.src import backend

import keras_seqtools as kst
from keras_seqtools.uncertainty._stochastic_layers import random_layers
from keras_seqtools.uncertainty._stochastic_layers import sampling

L = keras.layers
X = np.random.default_rng(0).normal(size=(16, 5, 4)).astype("float32")
OPTIONS = {"num_samples": 3, "task": "regression", "verbose": 0}


def test_finds_layers_with_their_rates():
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            L.Dropout(0.0),
            L.Dropout(0.2),
            L.LSTM(3, dropout=0.1, recurrent_dropout=0.3),
            L.GaussianNoise(0.4),
        ]
    )
    assert list(random_layers(model).values()) == [
        {"rate": 0.2},
        {"dropout": 0.1, "recurrent_dropout": 0.3},
        {"stddev": 0.4},
    ]


@pytest.mark.parametrize("number", [np.float16, np.float32, np.float64])
def test_finds_rates_of_any_type(number):
    model = keras.Sequential([keras.Input((4,)), L.Dropout(number(0.25))])
    assert list(random_layers(model).values()) == [{"rate": 0.25}]


def test_finds_each_kind():
    for kind in kinds.KINDS.values():
        assert random_layers(kind.bare())


def test_augmentation_is_no_posterior():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), L.RandomFlip(), L.RandomRotation(0.1)]
    )
    assert random_layers(model) == {}


class Noisy(L.Layer):
    """Draws without a seed generator of its own, so nobody can tell."""

    def call(self, x, training=False):
        if not training:
            return x
        return x + keras.random.normal(keras.ops.shape(x))


@pytest.mark.parametrize("by", ["noisy", Noisy, "layer"])
def test_takes_layers_by_name_class_or_themselves(by):
    layer = Noisy(name="noisy")
    model = keras.Sequential([keras.Input((4,)), layer])
    named = [layer if by == "layer" else by]
    assert random_layers(model) == {}
    assert random_layers(model, named) == {layer: {}}
    x = np.zeros((100, 4), "float32")
    options = {**OPTIONS, "num_samples": 100, "stochastic_layers": named}
    u = kst.predict_uncertainty(model, x, seed=1, **options)
    again = kst.predict_uncertainty(model, x, seed=1, **options)
    np.testing.assert_array_equal(u.mean, again.mean)
    np.testing.assert_allclose(u.epistemic_variance.mean(), 1.0, atol=0.05)


def test_layers_with_one_seed_do_not_draw_the_same():
    x = keras.Input((400,))
    drops = [L.Dropout(0.5, seed=7)(x) for _ in range(2)]
    model = keras.Model(x, drops[0] + 3 * drops[1])
    rows = np.ones((10, 400), "float32")
    u = kst.predict_uncertainty(model, rows, return_samples=True, **OPTIONS)
    values, counts = np.unique(u.samples, return_counts=True)
    assert values.tolist() == [0.0, 2.0, 6.0, 8.0]
    np.testing.assert_allclose(counts / u.samples.size, 0.25, atol=0.02)


def model_that_fails(fails):
    """One that raises after its random layers, once `fails` is not empty."""

    class Fails(L.Layer):
        def call(self, x):
            if fails:
                raise RuntimeError("on purpose")
            return x

    return keras.Sequential(
        [
            keras.Input((5, 4)),
            L.GRU(3, recurrent_dropout=0.5, return_sequences=True),
            L.BatchNormalization(),
            Fails(),
            L.Dense(1),
        ]
    )


def random_functions():
    names = ("dropout", "normal", "uniform", "draw_seed")
    return [getattr(backend.random, name) for name in names]


@pytest.mark.parametrize("fails", [[], ["on purpose"]])
def test_no_trace_is_left_after_an_answer_or_an_error(fails):
    switch = []
    model = model_that_fails(switch)
    before, functions = kinds.everything(model), random_functions()
    switch.extend(fails)
    if fails:
        with pytest.raises(RuntimeError, match="on purpose"):
            kst.predict_uncertainty(model, X, **OPTIONS)
    else:
        kst.predict_uncertainty(model, X, **OPTIONS)
    switch.clear()
    kinds.assert_untouched(model, before)
    assert random_functions() == functions
    assert not model.stop_predicting
    assert np.isfinite(model(X, training=True)).all()
    np.testing.assert_allclose(
        model.predict(X, verbose=0), model(X), rtol=1e-4, atol=1e-6
    )
    assert kst.predict_uncertainty(model, X, **OPTIONS).epistemic_std.any()


def test_no_trace_is_left_by_batches_that_nobody_fetches():
    model = kinds.KINDS["GRU recurrent"].model()
    before, functions = kinds.everything(model), random_functions()
    batches = kst.iter_uncertainty(model, X, batch_size=4, **OPTIONS)
    next(batches)
    assert random_functions() == functions
    kinds.assert_untouched(model, before)
    batches.close()
    assert not model.stop_predicting


def test_a_call_that_the_user_replaced_stays_replaced():
    model = keras.Sequential([keras.Input((4,)), L.Dropout(0.5)])
    drop, seen = model.layers[0], []

    def spy(x, training=False):
        seen.append(training)
        return type(drop).call(drop, x, training=training)

    drop.call = spy
    with sampling(model, random_layers(model), is_on=True):
        model(np.ones((2, 4)), training=False)
    assert seen == [True]
    assert drop.call is spy


def test_batch_normalisation_stays_in_inference():
    model = keras.Sequential(
        [keras.Input((4,)), L.Dropout(0.5), L.BatchNormalization()]
    )
    norm, seen = model.layers[1], []

    def spy(x, training=None, mask=None):
        seen.append(training)
        return type(norm).call(norm, x, training=training, mask=mask)

    norm.call = spy
    kst.predict_uncertainty(model, X[:, 0], **OPTIONS)
    assert set(seen) == {False}


def test_other_threads_go_on_as_usual():
    model = keras.Sequential([keras.Input((4,)), L.Dropout(0.5)])
    x = np.ones((2, 4), "float32")
    found = []
    with sampling(model, random_layers(model), is_on=True):
        thread = threading.Thread(target=lambda: found.append(model(x)))
        thread.start()
        thread.join()
        assert (np.asarray(model(x, training=False)) != x).any()
    np.testing.assert_array_equal(found[0], x)


def run_in_threads(functions):
    """What each function returns, all of them called at once."""
    found, start = [None] * len(functions), threading.Barrier(len(functions))

    def run(place):
        start.wait()
        try:
            found[place] = functions[place]()
        except Exception as error:
            found[place] = error

    threads = [
        threading.Thread(target=run, args=(place,))
        for place in range(len(functions))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("name", ["Dropout", "LSTM recurrent", "attention"])
def test_calls_from_several_threads_do_not_disturb_each_other(name):
    model = kinds.KINDS[name].model()
    model.predict(X, verbose=0)  # once traced
    expected = model.predict(X, verbose=0)
    before = kinds.everything(model)

    def ask(seed):
        return kst.predict_uncertainty(model, X, seed=seed, **OPTIONS).mean

    def predict():
        return np.stack([model.predict(X, verbose=0) for _ in range(20)])

    *found, predicted = run_in_threads(
        [*(lambda seed=seed: ask(seed) for seed in range(4)), predict]
    )
    close = {"rtol": 1e-5, "atol": 1e-6}
    for seed in range(4):
        np.testing.assert_allclose(found[seed], ask(seed), **close)
    np.testing.assert_allclose(predicted, np.stack(20 * [expected]), **close)
    if name != "LSTM recurrent":  # whose seeds `predict` moves on
        kinds.assert_untouched(model, before)


def test_ending_does_not_end_the_predictions_of_another_thread():
    model = keras.Sequential([keras.Input((4,)), L.Dropout(0.5), L.Dense(1)])
    x, has_begun, has_ended = X[:, 0], threading.Event(), threading.Event()

    class Slow(keras.callbacks.Callback):
        def on_predict_batch_begin(self, batch, logs=None):
            has_begun.set()
            assert has_ended.wait(60)

    def predict():
        return model.predict(x, batch_size=4, verbose=0, callbacks=[Slow()])

    def ask():
        batches = kst.iter_uncertainty(model, x, batch_size=4, **OPTIONS)
        next(batches)  # has begun before the other has
        ready.set()
        assert has_begun.wait(60)
        list(batches)
        has_ended.set()

    def predict_later():
        assert ready.wait(60)
        return predict()

    ready = threading.Event()
    found, _ = run_in_threads([predict_later, ask])
    np.testing.assert_allclose(found, model(x), rtol=1e-5)


def test_stateful_layers_keep_their_state():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(4, 5, 4)),
            L.GRU(3, stateful=True, dropout=0.5),
        ]
    )
    model(X[:4])
    state = model.layers[0].states[0].numpy()
    kst.predict_uncertainty(model, X[:4], **OPTIONS)
    np.testing.assert_array_equal(model.layers[0].states[0].numpy(), state)
    assert np.abs(state).max() > 0
