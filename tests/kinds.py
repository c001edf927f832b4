"""Every kind of randomness that a Keras model can hold, one small each."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

import keras_seqtools as kst

L = keras.layers
register = keras.saving.register_keras_serializable(package="test_kinds")


@register
class DropPath(L.Layer):
    """A user's own random layer, with a batch normalisation inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = L.BatchNormalization()
        self.seeds = keras.random.SeedGenerator(1)

    def build(self, input_shape):
        self.norm.build(input_shape)

    def call(self, x, training=False):
        x = self.norm(x)
        if not training:
            return x
        keep = keras.random.uniform(
            (keras.ops.shape(x)[0], 1, 1), seed=self.seeds
        )
        return x * keras.ops.cast(keep > 0.3, x.dtype)


@register
class DropConnect(L.Layer):
    """Drops weights, which all rows of a batch share."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = L.Dropout(0.5)

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3))

    def call(self, x, training=False):
        kernel = keras.ops.convert_to_tensor(self.kernel)
        return x @ self.drop(kernel, training=training)


@register
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


@register
class TwiceDroppingCell(L.Layer):
    """A user's own cell, which drops with one layer at two places."""

    state_size = output_size = 4

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = L.Dropout(0.5)

    def build(self, input_shape):
        self.built = True

    def call(self, x, states, training=False):
        kept = self.drop(x, training=training)
        y = kept * self.drop(states[0] + 1.0, training=training)
        return y, [keras.ops.ones_like(y)]


@register
class SelfDroppingCell(L.Layer):
    """A user's own cell, which draws itself, anew in every step."""

    state_size = output_size = 4

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(1)

    def build(self, input_shape):
        self.built = True

    def call(self, x, states, training=False):
        if training:
            x = keras.random.dropout(x, 0.5, seed=self.seeds)
        return x, [states[0] + x]


@register
class AlwaysOn(L.Dropout):
    """What users write who want samples out of `predict`."""

    def call(self, x):
        return super().call(x, training=True)


@register
class Subclassed(keras.Model):
    """Passes `training` on explicitly, before a batch normalisation."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop, self.norm = L.Dropout(0.5), L.BatchNormalization()

    def build(self, input_shape):
        self.norm.build(input_shape)

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


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """A kind of randomness: how to make it, and what to expect of it.

    Attributes:
        make: Makes a layer, or a function from tensor to tensor.
        shape: Shape of a row.
        by_row: Whether rows have the same noise in batches of any size.
        shares: Whether rows share their noise.
        off: Makes what it is without noise, unless it is that in inference.
    """

    make: Callable
    shape: tuple = (5, 4)
    by_row: bool = True
    shares: bool = False
    off: Callable | None = None

    def layer(self):
        """As a function of a tensor; called in this order, it is the same."""
        keras.utils.set_random_seed(0)
        return self.make()

    def bare(self):
        """A model of nothing else, whose outputs are sums over time."""
        x = keras.Input(self.shape)
        h = self.layer()(x)
        axes = tuple(range(1, len(h.shape) - 1))
        return keras.Model(x, keras.ops.sum(h, axes) if axes else h)

    def model(self):
        """The kind between two layers that must keep their statistics."""
        keras.utils.set_random_seed(0)
        x = keras.Input(self.shape)
        layer = self.layer()
        h = layer(L.BatchNormalization()(L.Dense(self.shape[-1])(x)))
        axes = tuple(range(1, len(h.shape) - 1))
        h = keras.ops.mean(h, axes) if axes else h
        return keras.Model(x, L.Dense(2)(L.BatchNormalization()(h)))

    def without_noise(self, model):
        """A model of the same weights that has none of the noise."""
        if self.off is None:
            return model
        plain = dataclasses.replace(self, make=self.off).model()
        plain.set_weights(model.get_weights())
        return plain

    def rows(self, number):
        shape = [size or 5 for size in self.shape]
        rng = np.random.default_rng(0)
        return rng.normal(size=(number, *shape)).astype("float32")


MC = kst.layers
KINDS = {
    "Dropout": Kind(lambda: L.Dropout(0.5)),
    "Dropout 0.3": Kind(lambda: L.Dropout(0.3)),
    "Dropout 0.01": Kind(lambda: L.Dropout(0.01)),
    "Dropout tied over time": Kind(
        lambda: L.Dropout(0.5, noise_shape=(None, 1, 4))
    ),
    "Dropout shared by rows": Kind(
        lambda: L.Dropout(0.5, noise_shape=(1, 1, 4)), shares=True
    ),
    "SpatialDropout1D": Kind(lambda: L.SpatialDropout1D(0.5)),
    "SpatialDropout2D": Kind(lambda: L.SpatialDropout2D(0.5), (3, 2, 4)),
    "SpatialDropout3D": Kind(lambda: L.SpatialDropout3D(0.5), (2, 3, 2, 4)),
    "AlphaDropout": Kind(lambda: L.AlphaDropout(0.4)),
    "AlphaDropout tied over time": Kind(
        lambda: L.AlphaDropout(0.4, noise_shape=(None, 1, 4))
    ),
    "GaussianDropout": Kind(lambda: L.GaussianDropout(0.4)),
    "GaussianNoise": Kind(lambda: L.GaussianNoise(0.4)),
    "GRU dropout": Kind(lambda: L.GRU(3, dropout=0.5)),
    "GRU recurrent": Kind(lambda: L.GRU(3, recurrent_dropout=0.5)),
    "GRU before reset": Kind(
        lambda: L.GRU(3, dropout=0.3, recurrent_dropout=0.3, reset_after=False)
    ),
    "LSTM dropout": Kind(lambda: L.LSTM(3, dropout=0.5)),
    "LSTM recurrent": Kind(lambda: L.LSTM(3, recurrent_dropout=0.5)),
    "SimpleRNN dropout": Kind(lambda: L.SimpleRNN(3, dropout=0.5)),
    "SimpleRNN recurrent": Kind(lambda: L.SimpleRNN(3, recurrent_dropout=0.5)),
    "ConvLSTM1D": Kind(
        lambda: L.ConvLSTM1D(2, 2, dropout=0.5, recurrent_dropout=0.5),
        (3, 4, 2),
    ),
    "StackedRNNCells": Kind(
        lambda: L.RNN(
            [L.GRUCell(3, dropout=0.3), L.LSTMCell(3, recurrent_dropout=0.5)]
        )
    ),
    "custom cell": Kind(lambda: L.RNN(NormalizingCell())),
    "custom cell, drops twice": Kind(
        lambda: L.RNN(TwiceDroppingCell(), return_sequences=True)
    ),
    "custom cell, draws itself": Kind(
        lambda: L.RNN(SelfDroppingCell(), return_sequences=True), by_row=False
    ),
    "Bidirectional": Kind(
        lambda: L.Bidirectional(L.LSTM(3, dropout=0.5, recurrent_dropout=0.3))
    ),
    "TimeDistributed": Kind(lambda: L.TimeDistributed(L.Dropout(0.5))),
    "TimeDistributed, any time": Kind(
        lambda: L.TimeDistributed(L.Dropout(0.5)), (None, 4)
    ),
    "attention": Kind(lambda: attention),
    "nested": Kind(lambda: nested),
    "shared": Kind(lambda: shared),
    "subclassed": Kind(Subclassed, off=L.BatchNormalization),
    "always on": Kind(lambda: AlwaysOn(0.5)),
    "custom layer": Kind(DropPath, by_row=False),
    "DropConnect": Kind(DropConnect, by_row=False, shares=True),
    "DropConnect of one feature": Kind(
        DropConnect, (5, 1), by_row=False, shares=True
    ),
    "MCDropout": Kind(lambda: MC.MCDropout(0.5), off=L.Identity),
    "MCSpatialDropout1D": Kind(
        lambda: MC.MCSpatialDropout1D(0.5), off=L.Identity
    ),
    "MCGaussianDropout": Kind(
        lambda: MC.MCGaussianDropout(0.5), off=L.Identity
    ),
    "LayerNormGRU": Kind(
        lambda: MC.LayerNormGRU(3, dropout=0.3, recurrent_dropout=0.5)
    ),
    "LayerNormGRU mc": Kind(
        lambda: MC.LayerNormGRU(3, dropout=0.5, mc_dropout=True),
        off=lambda: MC.LayerNormGRU(3),
    ),
    "LayerNormLSTM": Kind(
        lambda: MC.LayerNormLSTM(3, dropout=0.3, recurrent_dropout=0.5)
    ),
}


def everything(model):
    """All that a model remembers, seeds included."""
    return [np.array(v.numpy()) for v in model.variables] + [
        np.array(generator.state.numpy())
        for layer in model._flatten_layers()
        for generator in layer._seed_generators
    ]


def assert_untouched(model, before):
    """No variable has changed, and no layer is still switched."""
    for old, new in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(old, new)
    for layer in model._flatten_layers():
        assert "call" not in vars(layer)
        assert getattr(layer, "_dropout_mask", None) is None
        assert getattr(layer, "_recurrent_dropout_mask", None) is None
