"""Every kind of randomness Keras has is found, switched, and left alone."""

import threading

import keras
import numpy as np
import pytest

import keras_seqtools as kst
from keras_seqtools.uncertainty._stochastic_layers import sampling
from keras_seqtools.uncertainty._stochastic_layers import stochastic_layers

L = keras.layers


class DropPath(L.Layer):
    """A user's own random layer, with a batch normalisation inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = L.BatchNormalization()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        x = self.norm(x)
        if not training:
            return x
        keep = keras.random.uniform(
            (keras.ops.shape(x)[0], 1, 1), seed=self.seeds
        )
        return x * keras.ops.cast(keep > 0.3, x.dtype)


class NormalizingCell(L.Layer):
    """A user's own cell, with dropout and batch normalisation inside."""

    state_size = output_size = 3

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.norm = L.Dense(3), L.BatchNormalization()
        self.drop = L.Dropout(0.5)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.norm.build((None, 3))

    def call(self, x, states, training=False):
        y = self.drop(self.norm(self.dense(x) + states[0]), training=training)
        return y, [y]


class Subclassed(keras.Model):
    """Passes `training` on explicitly, before a batch normalisation."""

    def __init__(self):
        super().__init__()
        self.drop, self.norm = L.Dropout(0.5), L.BatchNormalization()

    def call(self, x):
        return self.norm(self.drop(x, training=True))


def attention(x):
    return L.MultiHeadAttention(2, 4, dropout=0.5)(x, x)


def nested(x):
    inner = keras.Sequential([L.Dense(4), L.Dropout(0.5)])
    return keras.Sequential([inner, L.BatchNormalization()])(x)


def shared(x):
    drop = L.Dropout(0.5)
    return drop(L.Dense(4)(drop(x)))


KINDS = {
    "Dropout": L.Dropout(0.5),
    "SpatialDropout1D": L.SpatialDropout1D(0.5),
    "GaussianDropout": L.GaussianDropout(0.5),
    "GaussianNoise": L.GaussianNoise(0.5),
    "AlphaDropout": L.AlphaDropout(0.5),
    "MCDropout": kst.layers.MCDropout(0.5),
    "GRU dropout": L.GRU(3, dropout=0.5),
    "LSTM recurrent": L.LSTM(3, recurrent_dropout=0.5),
    "SimpleRNN": L.SimpleRNN(3, recurrent_dropout=0.5),
    "LayerNormGRU": kst.layers.LayerNormGRU(3, recurrent_dropout=0.5),
    "LayerNormGRU mc": kst.layers.LayerNormGRU(3, dropout=0.5, mc_dropout=True),
    "StackedRNNCells": L.RNN(
        [L.GRUCell(3), L.LSTMCell(3, recurrent_dropout=0.5)]
    ),
    "custom cell": L.RNN(NormalizingCell()),
    "Bidirectional": L.Bidirectional(L.LSTM(3, dropout=0.5)),
    "TimeDistributed": L.TimeDistributed(L.Dropout(0.5)),
    "attention": attention,
    "nested": nested,
    "shared": shared,
    "custom layer": DropPath(),
    "subclassed": Subclassed(),
}


def build(kind):
    """The kind of layer between two that need their statistics kept."""
    # From its configuration: a layer serves one test.
    if isinstance(kind, L.Layer) and not isinstance(kind, (keras.Model, L.RNN)):
        kind = type(kind).from_config(kind.get_config())
    x = keras.Input((5, 4))
    h = L.BatchNormalization()(L.Dense(4)(x))
    h = L.Flatten()(kind(h))
    return keras.Model(x, L.Dense(2)(L.BatchNormalization()(h)))


def everything(model):
    """All that a model remembers, seeds included."""
    return [np.array(v.numpy()) for v in model.variables] + [
        np.array(generator.state.numpy())
        for layer in model._flatten_layers()
        for generator in layer._seed_generators
    ]


X = np.random.default_rng(0).normal(size=(16, 5, 4)).astype("float32")
OPTIONS = {"num_samples": 3, "task": "regression", "verbose": 0}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_every_kind(name):
    model = build(KINDS[name])
    before = everything(model)
    u = kst.predict_uncertainty(model, X, seed=1, **OPTIONS)
    again = kst.predict_uncertainty(model, X, seed=1, **OPTIONS)
    other = kst.predict_uncertainty(model, X, seed=2, **OPTIONS)
    assert u.epistemic_std.max() > 1e-4
    np.testing.assert_array_equal(u.mean, again.mean)
    assert (u.mean != other.mean).any()
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)
    for layer in model._flatten_layers():
        assert "call" not in vars(layer)
    off = kst.predict_deterministic(model, X, verbose=0)
    np.testing.assert_array_equal(
        off, kst.predict_deterministic(model, X, verbose=0)
    )
    np.testing.assert_allclose(u.deterministic, off, rtol=1e-4, atol=1e-5)
    # The user's own calls go on as they did.
    assert np.isfinite(model.predict(X, verbose=0)).all()


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
    assert list(stochastic_layers(model).values()) == [
        {"rate": 0.2},
        {"dropout": 0.1, "recurrent_dropout": 0.3},
        {"stddev": 0.4},
    ]


def test_augmentation_is_no_posterior():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), L.RandomFlip(), L.RandomRotation(0.1)]
    )
    assert stochastic_layers(model) == {}


def test_no_trace_is_left_after_an_error():
    class Fails(L.Layer):
        def call(self, x):
            if fail:
                raise RuntimeError("on purpose")
            return x

    fail = False
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            L.GRU(3, recurrent_dropout=0.5, return_sequences=True),
            L.BatchNormalization(),
            Fails(),
            L.Dense(1),
        ]
    )
    before = everything(model)
    fail = True
    with pytest.raises(RuntimeError, match="on purpose"):
        kst.predict_uncertainty(model, X, **OPTIONS)
    fail = False
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)
    for layer in model._flatten_layers():
        assert "call" not in vars(layer)
    assert np.isfinite(model(X, training=True)).all()


def test_a_call_that_the_user_replaced_stays_replaced():
    model = keras.Sequential([keras.Input((4,)), L.Dropout(0.5)])
    drop, seen = model.layers[0], []

    def spy(x, training=False):
        seen.append(training)
        return type(drop).call(drop, x, training=training)

    drop.call = spy
    with sampling(model, is_on=True):
        model(np.ones((2, 4)), training=False)
    assert seen == [True]
    assert drop.call is spy


def test_other_threads_go_on_as_usual():
    model = keras.Sequential([keras.Input((4,)), L.Dropout(0.5)])
    x = np.ones((2, 4), "float32")
    found = []
    with sampling(model, is_on=True):
        thread = threading.Thread(target=lambda: found.append(model(x)))
        thread.start()
        thread.join()
        assert (np.asarray(model(x, training=False)) != x).any()
    np.testing.assert_array_equal(found[0], x)


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
