"""What each private Keras name does that this package relies on."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src import backend

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


def test_stateful_layers_are_found_in_nested_models():
    gru = keras.layers.GRU(2, stateful=True)
    inner = keras.Sequential([keras.Input((3, 1), batch_size=2), gru])
    outer = keras.Sequential([keras.Input((3, 1), batch_size=2), inner])
    assert internals.stateful_layers(outer) == [gru]
    assert not internals.stateful_layers(keras.layers.GRU(2))


def test_a_layer_with_other_attributes_shares_the_rest():
    layer = keras.layers.GRU(3)
    x = np.ones((2, 4, 1), "float32")
    expected = np.asarray(layer(x))
    twin = internals.with_attributes(
        layer, return_state=True, return_sequences=True
    )
    before, attributes = len(layer.variables), dict(vars(layer))
    outputs, state = twin(x)
    np.testing.assert_allclose(outputs[:, -1], expected, rtol=1e-6)
    np.testing.assert_allclose(state, expected, rtol=1e-6)
    # Nothing is said of the other, nor tracked by it.
    assert not layer.return_state
    assert len(layer.variables) == before
    assert vars(layer) == attributes
    layer.set_weights([weight + 1.0 for weight in layer.get_weights()])
    np.testing.assert_allclose(twin(x)[1], layer(x), rtol=1e-6)
    # A method that was replaced for a while would speak for the other.
    object.__setattr__(layer, "call", None)
    twin = internals.with_attributes(layer, return_state=True)
    object.__delattr__(layer, "call")
    np.testing.assert_allclose(twin(x)[1], layer(x), rtol=1e-6)


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


def test_inputs_are_described_in_their_structure():
    inputs = {
        "a": keras.Input((None, 4), name="a"),
        "b": keras.Input((3,), name="b"),
    }
    model = keras.Model(inputs, L.Dense(1)(inputs["b"]))
    specs = internals.input_specs(model)
    assert {key: tuple(spec.shape) for key, spec in specs.items()} == {
        "a": (None, None, 4),
        "b": (None, 3),
    }
    tokens = keras.Sequential(
        [keras.Input((4,), dtype="int32"), L.Embedding(3, 2)]
    )
    assert internals.input_specs(tokens).dtype == "int32"


def test_a_graph_belongs_to_a_model_that_runs_it():
    x = keras.Input((4,))
    functional = keras.Model(x, L.Dense(2)(x))
    assert internals.graph_of(functional) is functional
    sequential = keras.Sequential([L.Dense(2)])
    assert internals.graph_of(sequential) is None
    sequential.build((None, 4))
    graph = internals.graph_of(sequential)
    assert [layer.name for layer in graph.layers[1:]] == [
        layer.name for layer in sequential.layers
    ]

    class Doubles(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return 2 * super().call(inputs, training=training, mask=mask)

    class Named(keras.Model):
        pass

    x = keras.Input((4,))
    assert internals.graph_of(Doubles(x, L.Dense(2)(x))) is None
    assert internals.graph_of(Named(x, L.Dense(2)(x))) is not None
    functional.call = lambda x: x
    assert internals.graph_of(functional) is None
    assert internals.graph_of(L.Dense(2)) is None


def walk(graph, data):
    """What a graph makes of data, operation by operation."""
    inputs = internals.graph_inputs(graph, data)
    values = dict(zip(map(id, graph.inputs), inputs, strict=True))
    for node in internals.graph_nodes(graph):
        args, kwargs = node.arguments.fill_in(values)
        outputs = keras.tree.flatten(node.operation(*args, **kwargs))
        values.update(zip(map(id, node.outputs), outputs, strict=True))
    return internals.pack_outputs(
        graph, [values[id(tensor)] for tensor in graph.outputs]
    )


def test_a_walk_over_its_nodes_is_a_call_of_a_graph():
    a, b = keras.Input((5,), name="a"), keras.Input((5, 2), name="b")
    shared = L.Dense(3)
    h = L.GRU(4, return_sequences=True)(
        L.Embedding(9, 2, mask_zero=True)(a), initial_state=None
    )
    h = shared(shared(L.Dense(3)(h))) * 2.0 + keras.ops.mean(b)
    state = L.LSTM(2, return_state=True)(h)
    graph = keras.Model(
        {"b": b, "a": a}, {"z": h, "y": state, "x": (b, L.Dense(1)(state[0]))}
    )
    data = {
        "a": np.array([[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]]),
        "b": np.random.default_rng(0).normal(size=(2, 5, 2)),
    }
    found, expected = walk(graph, data), graph(data)
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(
        keras.tree.flatten(found), keras.tree.flatten(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_inputs_are_named_in_order_and_converted():
    inputs = {
        "b": keras.Input((2,), name="b"),
        "a": keras.Input((3,), name="a"),
    }
    graph = keras.Model(inputs, list(inputs.values()))
    data = {"a": np.ones((1, 3)), "b": np.zeros((1, 2), "int32")}
    found = internals.graph_inputs(graph, data)
    for tensor, like in zip(found, graph.inputs, strict=True):
        assert tensor.dtype == "float32"
        assert tensor.shape[1:] == like.shape[1:]


def test_masks_are_edges_of_a_graph():
    """So a walk hands them on by itself, as arguments of calls."""
    x = keras.Input((5,))
    graph = keras.Model(x, L.GRU(2)(L.Embedding(9, 2, mask_zero=True)(x)))
    nodes = internals.graph_nodes(graph)
    gru = next(n for n in nodes if isinstance(n.operation, L.GRU))
    leaves = keras.tree.flatten((gru.arguments.args, gru.arguments.kwargs))
    masks = [t for t in leaves if getattr(t, "dtype", None) == "bool"]
    assert len(masks) == 1


def test_draws_without_a_name_come_from_one_generator():
    keras.random.normal((1,))
    (generator,) = internals.unnamed_seed_generators()
    before = generator.state.numpy()
    keras.random.uniform((1,))
    assert (generator.state.numpy() != before).any()
    with keras.StatelessScope(state_mapping=[(generator.state, before)]):
        first = keras.random.normal((3,))
    with keras.StatelessScope(state_mapping=[(generator.state, before)]):
        again = keras.random.normal((3,))
    np.testing.assert_array_equal(first, again)
    keras.utils.clear_session()
    keras.config.disable_traceback_filtering()
    assert internals.unnamed_seed_generators() == []


def test_a_stateless_scope_throws_away_what_is_written():
    norm, drop = L.BatchNormalization(), L.Dropout(0.5)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    norm(x)
    before = norm.moving_mean.numpy(), drop.seed_generator.state.numpy()
    with keras.StatelessScope():
        norm(x, training=True)
        drop(x, training=True)
    np.testing.assert_array_equal(norm.moving_mean, before[0])
    np.testing.assert_array_equal(drop.seed_generator.state, before[1])


class Zeros:
    """A noise that is none, and tells who asked for it."""

    def __init__(self, *generators):
        self.generators, self.asked = generators, []

    def knows(self, generator):
        return any(generator is known for known in self.generators)

    def draws_for(self, generator, shape):
        return self.knows(generator)

    def mask_shape(self, inputs, noise_shape):
        return noise_shape or inputs.shape

    def dropout(self, inputs, rate, shape, seed):
        self.asked.append(("dropout", rate, tuple(shape)))
        return inputs * 0.0

    def normal(self, shape, mean, stddev, dtype, seed):
        self.asked.append(("normal", mean, stddev, dtype))
        return keras.ops.zeros(shape, dtype)

    uniform = normal


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        (L.Dropout(0.4), ("dropout", 0.4, (2, 3, 4))),
        (L.SpatialDropout1D(0.4), ("dropout", 0.4, (2, 1, 4))),
        (L.GaussianNoise(0.4), ("normal", 0.0, 0.4, "float32")),
        (L.GaussianDropout(0.5), ("normal", 1.0, 1.0, "float32")),
        (L.AlphaDropout(0.4), ("normal", 0.0, 1.0, "float32")),
    ],
)
def test_layers_look_up_where_to_draw_when_they_are_called(layer, call):
    noise, x = Zeros(layer.seed_generator), np.ones((2, 3, 4), "float32")
    with internals.drawing_from(noise):
        first = layer(x, training=True)
        again = layer(x, training=True)
    assert noise.asked == [call, call]
    np.testing.assert_array_equal(first, again)
    assert (layer(x, training=True) != first).numpy().any()
    assert len(noise.asked) == 2


@pytest.mark.parametrize(
    ("make", "draws"),
    [
        (lambda: L.GRU(3, dropout=0.5, recurrent_dropout=0.5), 6),
        (lambda: L.LSTM(3, dropout=0.5, recurrent_dropout=0.5), 8),
        (lambda: L.SimpleRNN(3, dropout=0.5, recurrent_dropout=0.5), 2),
    ],
)
def test_recurrent_layers_draw_once_a_sequence(make, draws):
    """As often as there are gates, of what does not depend on the steps."""
    layer, x = make(), np.ones((2, 7, 4), "float32")
    noise = Zeros(layer.cell.seed_generator)
    with internals.drawing_from(noise):
        layer(x, training=True)
    assert 2 <= len(noise.asked) <= draws
    assert {shape for _, _, shape in noise.asked} == {(2, 4), (2, 3)}


def test_attention_draws_for_its_scores():
    layer = L.MultiHeadAttention(2, 4, dropout=0.5)
    x = np.ones((3, 5, 4), "float32")
    layer(x, x)
    (drop,) = (
        inside
        for inside in internals.flatten_layers(layer)
        if isinstance(inside, L.Dropout)
    )
    noise = Zeros(drop.seed_generator)
    with internals.drawing_from(noise):
        layer(x, x, training=True)
    assert noise.asked == [("dropout", 0.5, (3, 2, 5, 5))]


def test_public_random_functions_draw_in_the_same_place():
    seed, x = keras.random.SeedGenerator(1), np.ones((2, 3), "float32")
    noise = Zeros(seed)
    with internals.drawing_from(noise):
        assert not keras.random.normal((2, 3), 1.0, seed=seed).numpy().any()
        assert not keras.random.uniform((2, 3), seed=seed).numpy().any()
        assert not np.any(keras.random.dropout(x, 0.5, seed=seed))
        assert keras.random.normal((2, 3), 1.0, seed=2).numpy().any()
        np.testing.assert_array_equal(
            keras.random.dropout(x, 0.0, seed=seed), x
        )
    assert [name for name, *_ in noise.asked] == ["normal", "normal", "dropout"]


def test_time_distributed_needs_the_number_of_steps():
    """Where Keras does not know it, it takes the number of rows for it."""
    layer, x = L.TimeDistributed(L.Rescaling(2.0)), np.ones((2, 5, 4))
    unknown = tf.function(layer, input_signature=[tf.TensorSpec((2, None, 4))])
    assert layer(x).shape == (2, 5, 4)
    assert unknown(x.astype("float32")).shape == (2, 2, 4)


def test_other_threads_draw_as_before():
    drop, found = L.Dropout(0.5), []
    noise, x = Zeros(drop.seed_generator), np.ones((50, 50), "float32")
    with internals.drawing_from(noise):
        thread = threading.Thread(
            target=lambda: found.append(drop(x, training=True))
        )
        thread.start()
        thread.join()
    assert noise.asked == []
    assert 0.4 < (found[0].numpy() == 0).mean() < 0.6


@pytest.mark.parametrize("error", [None, ValueError])
def test_random_functions_are_put_back(error):
    names = ("dropout", "normal", "uniform")
    before = [getattr(backend.random, name) for name in names]
    try:
        with internals.drawing_from(Zeros()):
            assert backend.random.dropout is not before[0]
            if error:
                raise error
    except ValueError:
        pass
    assert [getattr(backend.random, name) for name in names] == before


def steps_seen(loop):
    """What `loop_step` says in the body of a loop, step by step."""

    @tf.function(autograph=False)
    def run():
        outermost = tf.compat.v1.get_default_graph()
        outside = internals.loop_step(outermost)
        inside = loop(lambda: tf.cast(internals.loop_step(outermost), tf.int64))
        return outside, inside

    outside, inside = run()
    assert outside == 0
    return np.asarray(inside).ravel().tolist()


def test_steps_of_loops_are_counted():
    def while_loop(ask):
        def body(i, values, found):
            return i - 2, values, found.write(3 - i // 2, ask())

        found = tf.TensorArray(tf.int64, 3)
        return tf.while_loop(
            lambda i, *_: i > 0, body, (tf.constant(6), 1.5, found)
        )[2].stack()

    def map_fn(ask):
        return tf.map_fn(lambda _: ask(), tf.zeros(3, tf.int64))

    def with_a_limit(ask):
        return tf.while_loop(
            lambda found: True,
            lambda found: (tf.concat([found, [ask()]], 0),),
            (tf.zeros([0], tf.int64),),
            shape_invariants=(tf.TensorSpec([None], tf.int64),),
            maximum_iterations=3,
        )[0]

    def under_a_condition(ask):
        return tf.map_fn(
            lambda x: tf.cond(x > 0, ask, ask), tf.constant([1, 0, 1], tf.int64)
        )

    def keras_loop(ask):
        return keras.ops.scan(
            lambda carry, _: (carry, tf.cast(ask(), tf.int32)),
            tf.constant(0),
            tf.zeros(3, tf.int32),
        )[1]

    for loop in (
        while_loop,
        map_fn,
        with_a_limit,
        under_a_condition,
        keras_loop,
    ):
        assert steps_seen(loop) == [0, 1, 2]


def test_steps_of_loops_within_loops_are_told_apart():
    def nested(ask):
        return tf.map_fn(
            lambda _: tf.map_fn(lambda _: ask(), tf.zeros(4, tf.int64)),
            tf.zeros(3, tf.int64),
        )

    found = steps_seen(nested)
    assert len(set(found)) == 12
    assert found == sorted(found)


def test_without_a_graph_there_is_no_step():
    assert internals.loop_step(tf.compat.v1.get_default_graph()) == 0
    seen = []

    def body(i):
        seen.append(int(internals.loop_step(None)))
        return (i + 1,)

    tf.while_loop(lambda i: i < 3, body, (tf.constant(0),))
    assert seen == [0, 0, 0]


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        x = np.arange(10.0)[4 * index : 4 * (index + 1)]
        return {"a": x}, 2 * x


def of_generator():
    for index in range(3):
        yield Rows()[index]


@pytest.mark.parametrize(
    "form", ["arrays", "tf.data", "PyDataset", "generator"]
)
def test_batches_of_data_of_any_form(form):
    x, y = {"a": np.arange(10.0)}, 2 * np.arange(10.0)
    data = {
        "arrays": (x, y),
        "tf.data": (tf.data.Dataset.from_tensor_slices((x, y)).batch(4),),
        "PyDataset": (Rows(),),
        "generator": (of_generator(),),
    }[form]
    batches = internals.Batches(data, batch_size=4)
    assert batches.number == (None if form == "generator" else 3)
    if form == "generator":  # says Keras, in `predict` too
        with pytest.warns(UserWarning, match="ran out of data"):
            seen = list(batches)
    else:
        seen = list(batches)
    seen = [keras.utils.unpack_x_y_sample_weight(batch) for batch in seen]
    assert [len(y) for _, y, _ in seen] == [4, 4, 2]
    np.testing.assert_array_equal(
        np.concatenate([x["a"] for x, _, _ in seen]), x["a"]
    )
    np.testing.assert_array_equal(np.concatenate([y for _, y, _ in seen]), y)
    if form != "generator":
        assert len(list(batches)) == 3  # in their order, once more


def test_batches_stop_after_some_steps():
    batches = internals.Batches((np.arange(10.0),), batch_size=2, steps=3)
    assert batches.number == 3
    seen = [keras.utils.unpack_x_y_sample_weight(batch)[0] for batch in batches]
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(6.0))


def test_batches_carry_weights():
    x = np.arange(5.0)
    (batch,) = internals.Batches((x, x, 3 * x), batch_size=5)
    _, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
    np.testing.assert_array_equal(3 * y, weight)
