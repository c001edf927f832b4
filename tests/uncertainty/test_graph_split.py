"""A split model is the same model, with what is not random done once."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seqtools as kst
from keras_seqtools.uncertainty._graph_split import SplitModel
from keras_seqtools.uncertainty._noise import NoiseWithoutRowsError
from keras_seqtools.uncertainty._noise import RowNoise
from keras_seqtools.uncertainty._noise import philox_key
from keras_seqtools.uncertainty._sampler import deterministic
from keras_seqtools.uncertainty._sampler import generators
from keras_seqtools.uncertainty._sampler import noisy
from keras_seqtools.uncertainty._stochastic_layers import random_layers

L = keras.layers
ROWS = 6
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def sequential():
    return keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(8, "relu"),
            L.BatchNormalization(),
            L.Dropout(0.5),
            L.Dense(3),
        ]
    )


def residual():
    x = keras.Input((4,))
    h = L.Dense(8, "relu")(x)
    return keras.Model(x, L.Dense(3)(h + L.Dropout(0.5)(L.Dense(8)(h))))


def skips_and_operations():
    x = keras.Input((4,))
    a = L.Dense(4, "relu")(x)
    b = keras.ops.tanh(a * 2.0)
    h = L.Dropout(0.5)(L.Dense(4)(b)) + a
    h = keras.ops.concatenate([h, b, x], axis=-1)
    return keras.Model(x, L.Dense(3)(h))


def dictionaries():
    """Of its outputs, one has no noise."""
    x = {name: keras.Input((4,), name=name) for name in ("left", "right")}
    left, right = L.Dense(4)(x["left"]), L.Dense(4)(x["right"])
    noisy = L.Dense(3)(L.Dropout(0.5)(left) + right)
    return keras.Model(x, {"noisy": noisy, "still": L.Dense(2)(right)})


def shared_layers():
    """A layer and a dropout, each at both sides of the first noise."""
    x = keras.Input((4,))
    dense, drop = L.Dense(4), L.Dropout(0.5)
    return keras.Model(x, drop(dense(drop(dense(x)))))


def nested():
    """A backbone without noise, then a model with it inside another."""
    x = keras.Input((4,))
    backbone = keras.Sequential([L.Dense(8, "relu"), L.BatchNormalization()])
    inner = keras.Sequential([L.Dense(4), L.Dropout(0.5)])
    head = keras.Sequential([L.Dense(5), inner, L.Dense(3)])
    return keras.Model(x, head(backbone(x)))


def mask_across():
    x = keras.Input((5,))
    h = L.Embedding(6, 4, mask_zero=True)(x)
    h = L.GRU(4, return_sequences=True)(h)
    return keras.Model(x, L.LSTM(3)(L.Dropout(0.5)(h)))


def attention():
    x = keras.Input((5, 4))
    h = L.Dense(4)(x)
    h = L.MultiHeadAttention(2, 4, dropout=0.5)(h, h, use_causal_mask=True)
    return keras.Model(x, L.Dense(3)(h))


def noise_first():
    x = keras.Input((4,))
    return keras.Model(x, L.Dense(3)(L.Dense(4)(L.Dropout(0.5)(x))))


def nested_with_mask():
    """The mask enters a model that has its noise behind a recurrence."""
    inner = keras.Sequential(
        [
            keras.Input((5, 4)),
            L.GRU(4, return_sequences=True),
            L.Dropout(0.5),
            L.LSTM(3),
        ]
    )
    x = keras.Input((5,))
    return keras.Model(x, inner(L.Embedding(6, 4, mask_zero=True)(x)))


def nested_of_several():
    """An inner model of two inputs and two outputs."""
    a, b = keras.Input((4,)), keras.Input((3,))
    inner = keras.Model([a, b], [L.Dropout(0.5)(L.Dense(4)(a)), L.Dense(2)(b)])
    x = keras.Input((4,))
    first, second = inner([L.Dense(4)(x), L.Dense(3)(x)])
    return keras.Model(x, [first, second, L.Concatenate()([first, second])])


def parallel():
    """One noisy model on two branches."""
    x = keras.Input((4,))
    inner = keras.Sequential([L.Dense(4), L.Dropout(0.5)])
    return keras.Model(x, inner(x) - inner(L.Dense(4)(x)))


def called_by_name():
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4), L.Dropout(0.5)])
    x = keras.Input((4,))
    return keras.Model(x, L.Dense(3)(inner(inputs=L.Dense(4)(x))))


def output_is_input():
    x = keras.Input((4,))
    return keras.Model(x, [x, L.Dropout(0.5)(x)])


@keras.saving.register_keras_serializable(package="test_graph_split")
class Positions(L.Layer):
    """A table of weights, without an axis for rows or with one of size 1."""

    def __init__(self, lead=(), **kwargs):
        super().__init__(**kwargs)
        self.lead = tuple(lead)

    def build(self, input_shape):
        self.table = self.add_weight(
            shape=(*self.lead, *input_shape[1:]), initializer="ones"
        )

    def call(self, x):
        return keras.ops.convert_to_tensor(self.table)

    def get_config(self):
        return {**super().get_config(), "lead": self.lead}


def noise_that_rows_share():
    """Passes must not share it, even if they run side by side."""
    x = keras.Input((5, 4))
    return keras.Model(x, x + L.Dropout(0.5)(Positions((1,))(x)))


def noise_without_rows():
    x = keras.Input((5, 4))
    return keras.Model(x, x + L.Dropout(0.5)(Positions()(x)))


GRAPHS = (
    sequential,
    residual,
    skips_and_operations,
    dictionaries,
    shared_layers,
    nested,
    mask_across,
    attention,
    noise_first,
    nested_with_mask,
    nested_of_several,
    parallel,
    called_by_name,
    output_is_input,
    noise_that_rows_share,
    noise_without_rows,
)


def every_graph(test):
    # Keras warns where a mask enters a nested model, though it does arrive.
    known = "ignore:Layer .* was passed an input with a mask:UserWarning"
    test = pytest.mark.filterwarnings(known)(test)
    return pytest.mark.parametrize("make", GRAPHS)(test)


def data_for(model, rows=ROWS):
    rng = np.random.default_rng(0)

    def draw(tensor):
        shape = (rows, *tensor.shape[1:])
        if any(isinstance(layer, L.Embedding) for layer in model.layers):
            tokens = rng.integers(1, 6, shape)
            return np.where(np.arange(shape[1]) < 3, tokens, 0)
        return rng.normal(size=shape).astype("float32")

    if isinstance(model, keras.Sequential):
        return draw(model.inputs[0])
    return keras.tree.map_structure(draw, model.input)


def run(model, x, split, fold=1, sample=0):
    """Outputs without noise, and those of some passes, `(fold, rows, ...)`."""
    random = random_layers(model)
    model = SplitModel(model, random, split)
    x = keras.tree.map_structure(tf.convert_to_tensor, x)
    with deterministic(model.model, random):
        once, folded = model.precompute(x, fold)
        point = model.complete(x, once)
    noise = RowNoise(
        philox_key(1, 0),
        tf.constant(sample),
        fold,
        tf.constant(0, tf.int64),
        ROWS,
        *generators(model.model),
    )
    with noisy(model.model, random, noise):
        passes = model.complete(x, folded)
    return point, keras.tree.map_structure(
        lambda leaf: np.reshape(leaf, (-1, ROWS, *leaf.shape[1:])), passes
    )


def assert_close(a, b):
    keras.tree.assert_same_structure(a, b)
    for found, expected in zip(
        keras.tree.flatten(a), keras.tree.flatten(b), strict=True
    ):
        np.testing.assert_allclose(found, expected, **CLOSE)


@every_graph
def test_is_the_same_model(make):
    model = make()
    x = data_for(model)
    point, passes = run(model, x, split=True)
    assert_close(point, model.predict(x, verbose=0))
    unsplit_point, unsplit = run(model, x, split=False)
    assert_close(unsplit_point, point)
    assert_close(unsplit, passes)
    assert any(
        (np.asarray(a) != b).any()
        for a, b in zip(
            keras.tree.flatten(point), keras.tree.flatten(passes), strict=True
        )
    )


@every_graph
def test_passes_side_by_side_are_those_one_after_another(make):
    model = make()
    x = data_for(model)
    if make in (noise_without_rows, noise_that_rows_share):
        with pytest.raises(NoiseWithoutRowsError):
            run(model, x, split=True, fold=3)
        return
    _, folded = run(model, x, split=True, fold=3)
    singly = [run(model, x, split=False, sample=s)[1] for s in range(3)]
    together = keras.tree.map_structure(
        lambda *passes: np.concatenate(passes), *singly
    )
    for found, expected in zip(
        keras.tree.flatten(folded), keras.tree.flatten(together), strict=True
    ):
        # What no noise reaches may be kept once for all passes.
        np.testing.assert_allclose(
            np.broadcast_to(found, expected.shape), expected, **CLOSE
        )


@every_graph
def test_the_model_of_the_user_is_left_as_it_was(make, tmp_path):
    model = make()
    x = data_for(model)
    layers = model._flatten_layers()
    before = [len(layer._inbound_nodes) for layer in layers]
    outputs = model(x)
    task = keras.tree.map_structure(lambda _: "regression", outputs)
    kst.predict_uncertainty(model, x, task=task, num_samples=4, verbose=0)
    layers = model._flatten_layers()
    assert [len(layer._inbound_nodes) for layer in layers] == before
    loaded = checks.save_and_load(model, tmp_path)
    assert_close(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


class Counts(L.Layer):
    """Counts its calls, when run eagerly."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return x


def test_what_no_noise_reaches_runs_once_a_batch():
    before, inside, after, beside = (Counts() for _ in range(4))
    x = keras.Input((4,))
    h = before(L.Dense(4)(x))
    inner = keras.Sequential([L.Dense(4), inside, L.Dropout(0.5)])
    h = L.Concatenate()([after(inner(h)), beside(h)])
    model = keras.Model(x, L.Dense(1)(h))
    model.compile(run_eagerly=True)
    for layer in (before, inside, after, beside):
        layer.calls = 0
    x = np.ones((8, 4), "float32")
    u = kst.predict_uncertainty(
        model, x, num_samples=17, batch_size=4, task="regression", verbose=0
    )
    assert u.num_samples == 17
    for layer in (before, inside, beside):
        assert layer.calls == 2
    assert after.calls == 2 * (17 + 1)


@pytest.mark.parametrize("base", [keras.Model, keras.Sequential])
def test_a_model_with_a_call_of_its_own_is_not_split(base):
    class Doubles(base):
        def call(self, inputs, training=None, mask=None):
            return 2 * super().call(inputs, training=training, mask=mask)

    layers = [L.Dense(4), L.Dropout(0.5), L.Dense(1)]
    if base is keras.Sequential:
        model = Doubles([keras.Input((4,)), *layers])
    else:
        x = h = keras.Input((4,))
        for layer in layers:
            h = layer(h)
        model = Doubles(x, h)
    assert SplitModel(model, random_layers(model)).graph is None
    x = np.ones((3, 4), "float32")
    u = kst.predict_uncertainty(model, x, task="regression", verbose=0)
    np.testing.assert_allclose(u.deterministic, model(x), **CLOSE)
    halved = layers[2](layers[1](layers[0](x)))
    np.testing.assert_allclose(u.deterministic, 2 * halved, **CLOSE)
    # So too where it is inside of another model.
    inputs = keras.Input((4,))
    outer = keras.Model(inputs, L.Rescaling(3.0)(model(inputs)))
    u = kst.predict_uncertainty(outer, x, task="regression", verbose=0)
    np.testing.assert_allclose(u.deterministic, 3 * model(x), **CLOSE)


def test_a_call_that_the_user_replaced_is_called():
    model = sequential()
    original = model.call
    model.call = lambda x, training=None, mask=None: 2 * original(x)
    assert SplitModel(model, random_layers(model)).graph is None
    x = data_for(model)
    u = kst.predict_uncertainty(model, x, task="regression", verbose=0)
    np.testing.assert_allclose(u.deterministic, 2 * original(x), **CLOSE)


def test_row_sizes_are_of_the_noisy_part_and_of_all():
    x = keras.Input((20, 30))
    h = L.Conv1D(50, 3, padding="same")(x)
    h = L.GlobalAveragePooling1D()(h)
    model = keras.Model(x, L.Dense(70)(L.Dropout(0.5)(h)))
    split = SplitModel(model, random_layers(model))
    assert split.row_sizes() == (70, 20 * 50, True)
    assert SplitModel(model, {}, split=False).row_sizes() is None
    x = keras.Input((None, 30))
    model = keras.Model(x, L.Dropout(0.5)(x))
    # An unknown size could be one of time, not of rows.
    assert not SplitModel(model, random_layers(model)).row_sizes()[2]
