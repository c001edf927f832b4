"""What each private Keras name does that this package relies on."""

import keras
import numpy as np

from keras_seqtools import _keras_internals as internals

L = keras.layers


def test_masks_travel_with_the_tensor():
    tokens = np.array([[1, 2, 0]])
    embedded = L.Embedding(3, 2, mask_zero=True)(tokens)
    np.testing.assert_array_equal(internals.get_mask(embedded), tokens != 0)
    assert internals.get_mask(L.Dense(2)(np.ones((1, 3)))) is None


def test_losses_and_metrics_read_the_mask_of_a_tensor():
    y = keras.ops.ones((1, 3))
    masked = internals.set_mask(
        y + 0.0, keras.ops.array([[True, False, False]])
    )
    target = keras.ops.array([[1.0, 9.0, 9.0]])
    loss = keras.losses.MeanSquaredError(reduction="sum")
    assert (
        float(
            loss(
                target[..., None],
                internals.set_mask(masked[..., None], masked._keras_mask),
            )
        )
        == 0.0
    )


def test_layers_are_found_at_any_depth_once():
    shared = L.Dense(4)
    inner = keras.Sequential([shared, L.TimeDistributed(L.Dropout(0.1))])
    rnn = L.Bidirectional(L.RNN([L.GRUCell(3), L.LSTMCell(3)]))
    model = keras.Sequential([keras.Input((5, 4)), shared, inner, rnn])
    found = internals.flatten_layers(model)
    assert len(found) == len({id(layer) for layer in found})
    kinds = [type(layer).__name__ for layer in found]
    assert kinds.count("Dense") == 1
    assert kinds.count("Dropout") == 1
    assert kinds.count("GRUCell") == kinds.count("LSTMCell") == 2


def test_seed_generators_belong_to_the_layer_that_draws():
    assert len(internals.seed_generators(L.Dropout(0.1))) == 1
    assert internals.seed_generators(L.Dense(3)) == []
    gru = L.GRU(3, dropout=0.1)
    assert internals.seed_generators(gru) == []
    assert len(internals.seed_generators(gru.cell)) == 1
    attention = L.MultiHeadAttention(1, 2, dropout=0.1)
    attention(np.ones((1, 3, 4)), np.ones((1, 3, 4)))
    assert internals.seed_generators(attention) == []
    inside = internals.flatten_layers(attention)
    assert sum(len(internals.seed_generators(layer)) for layer in inside) == 1


def test_takes_training():
    assert internals.takes_training(L.Dropout(0.1))
    assert not internals.takes_training(L.Flatten())


def test_call_context_holds_training_while_a_model_runs():
    class Asks(L.Layer):
        def call(self, x):
            seen.append(internals.call_context(self).get_value("training"))
            return x

    seen = []
    model = keras.Sequential([keras.Input((2,)), Asks()])
    seen.clear()
    for training in (True, False):
        model(np.ones((1, 2)), training=training)
    assert seen == [True, False]


def test_an_explicit_training_stays_for_the_layers_that_come_after():
    """The leak for which calls are wrapped; without it, less would do."""

    class Leaks(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop, self.norm = L.Dropout(0.1), L.BatchNormalization()

        def call(self, x):
            return self.norm(self.drop(x, training=True))

    model = Leaks()
    model(np.ones((4, 2)))
    before = model.norm.moving_mean.numpy()
    model(np.ones((4, 2)), training=False)
    assert (model.norm.moving_mean.numpy() != before).any()


def test_dropout_masks_of_cells_are_kept_until_reset():
    cell = L.GRUCell(3, recurrent_dropout=0.5)
    x, h = np.ones((1, 2), "float32"), [np.ones((1, 3), "float32")]
    first = cell(x, h, training=True)[0].numpy()
    np.testing.assert_array_equal(cell(x, h, training=True)[0], first)
    internals.reset_dropout_masks([cell, L.Dense(2)])
    draws = []
    for _ in range(5):
        draws.append(cell(x, h, training=True)[0].numpy())
        internals.reset_dropout_masks([cell])
    assert any((draw != first).any() for draw in draws)


def test_preprocessing_layers():
    assert internals.is_preprocessing(L.RandomFlip())
    assert not internals.is_preprocessing(L.GaussianNoise(0.1))


def test_operations_backwards():
    inner = keras.Sequential(
        [keras.Input((4,)), L.Dense(3, name="b"), L.Reshape((3, 1), name="c")]
    )
    x = keras.Input((4,), name="in")
    model = keras.Model(x, L.Flatten(name="d")(inner(L.Dense(4, name="a")(x))))
    names = [
        operation.name
        for operation in internals.operations_backwards(model)
        if not isinstance(operation, L.InputLayer)
    ]
    assert names == ["d", "c", "b", "a"]

    class Subclassed(keras.Model):
        def call(self, x):
            return x

    assert list(internals.operations_backwards(Subclassed())) == []
