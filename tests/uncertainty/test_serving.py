"""export_uncertainty: the same numbers, where there is only TensorFlow."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import keras_seqtools as kst

L = keras.layers
RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(23, 6, 4)).astype("float32")
BROKEN = np.where(np.arange(23)[:, None, None] == 6, np.nan, SERIES)
WEATHER = RNG.normal(size=(23, 3)).astype("float32")
TOKENS = RNG.integers(0, 5, (23, 6)).astype("int32")
SEED = 7

# What a service does that has never heard of Keras. It is told to answer for
# all rows, for some of them by their numbers, and with fewer passes.
SERVICE = """
import sys
forbidden = ["keras", "keras_seqtools", "tensorflow_probability", "tf_keras"]
sys.modules.update(dict.fromkeys(forbidden))  # to import one is an error
import numpy as np
import tensorflow as tf

for folder in sys.argv[1:]:
    served = tf.saved_model.load(folder).signatures["predict_uncertainty"]
    inputs = dict(np.load(folder + "/inputs.npz"))
    def ask(name, rows, num_samples):
        found = served(
            **{key: tf.constant(x[rows]) for key, x in inputs.items()},
            num_samples=tf.constant(num_samples),
            seed=tf.constant(7, tf.int64),
            first_row=tf.constant(rows.start or 0, tf.int64),
        )
        np.savez(f"{folder}/{name}.npz", **found)
    ask("all", slice(None), 9)
    ask("some", slice(5, 8), 9)
    ask("fewer", slice(None), 4)
assert all(sys.modules[name] is None for name in forbidden)
"""


def gru():
    model = keras.Sequential(
        [
            keras.Input((None, 4)),
            L.GRU(8, dropout=0.2, recurrent_dropout=0.1),
            L.BatchNormalization(),
            L.Dense(8, "relu"),
            L.Dropout(0.3),
            kst.heads.NormalHead(2),
        ]
    )
    model.layers[1].moving_mean.assign(RNG.normal(size=8))
    return model


def counts():
    return keras.Sequential(
        [
            keras.Input((6, 4)),
            L.Flatten(),
            L.Dropout(0.5),
            kst.heads.PoissonHead(),
        ]
    )


def classifier(units=3, activation="softmax"):
    return keras.Sequential(
        [
            keras.Input((6, 4)),
            L.GRU(5),
            L.Dropout(0.4),
            L.Dense(units, activation),
        ]
    )


def two_inputs():
    load = keras.Input((None, 4), name="load")
    weather = keras.Input((3,), name="weather")
    both = L.Concatenate()([L.LSTM(5, dropout=0.3)(load), weather])
    outputs = kst.heads.LaplaceHead()(L.Dropout(0.2)(both))
    return keras.Model({"load": load, "weather": weather}, outputs)


def masked():
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            L.Embedding(5, 4, mask_zero=True),
            L.GRU(4, dropout=0.3, return_sequences=True),
            kst.heads.NormalHead(),
        ]
    )


def nothing_random():
    return keras.Sequential(
        [keras.Input((6, 4)), L.Flatten(), kst.heads.NormalHead()]
    )


# Each: a model or several, its inputs by name, and what to ask for.
CASES = {
    "gru": (
        gru,
        {"x": SERIES},
        {"levels": (0.9,), "quantiles": (0.5,), "thresholds": (0, -1.25)},
    ),
    "counts": (counts, {"x": BROKEN}, {"levels": (0.8,), "thresholds": (1,)}),
    "classifier": (classifier, {"x": BROKEN}, {}),
    "two_inputs": (two_inputs, {"x_load": SERIES, "x_weather": WEATHER}, {}),
    "ensemble": (
        lambda: [classifier(2, "sigmoid"), classifier(2, "sigmoid")],
        {"x": SERIES},
        {},
    ),
    "masked": (masked, {"x": TOKENS}, {}),
    "nothing_random": (nothing_random, {"x": SERIES}, {"levels": (0.9,)}),
}


def fields(u):
    """All arrays of a result, under the names that they have when served."""
    names = [
        name
        for name in dir(u)
        if isinstance(getattr(u, name), np.ndarray)
        and not name.startswith(("class_", "mean_prob"))  # not for users
    ]
    found = {name: getattr(u, name) for name in names}
    for name, table in (
        ("quantile", "quantiles"),
        ("prob_below", "probs_below"),
        ("prob_above", "probs_above"),
    ):
        for number, array in getattr(u, table, {}).items():
            found[f"{name}_{number:g}"] = array
    return found


def assert_equal(served, expected):
    assert set(served) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(
            served[name], array, rtol=1e-5, atol=1e-5, err_msg=name
        )
        assert np.asarray(served[name]).dtype == array.dtype, name


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """By case: the folder of the answers, and how to ask in this process."""
    asked = {}
    for name, (make, inputs, options) in CASES.items():
        keras.utils.set_random_seed(0)
        folder, model = tmp_path_factory.mktemp(name), make()
        kst.uncertainty.export_uncertainty(model, folder, **options)
        np.savez(folder / "inputs.npz", **inputs)
        x = {key[2:]: value for key, value in inputs.items()}
        asked[name] = folder, model, x.get("", x), options
    folders = [str(folder) for folder, *_ in asked.values()]
    subprocess.run([sys.executable, "-c", SERVICE, *folders], check=True)
    return asked


@pytest.mark.parametrize("case", CASES)
def test_answers_without_keras_are_those_of_this_process(case, answers):
    folder, model, x, options = answers[case]
    options = {"seed": SEED, "verbose": 0, **options}
    u = kst.predict_uncertainty(model, x, num_samples=9, **options)
    fewer = kst.predict_uncertainty(model, x, num_samples=4, **options)
    assert_equal(np.load(folder / "all.npz"), fields(u))
    assert_equal(np.load(folder / "some.npz"), fields(u[5:8]))
    assert_equal(np.load(folder / "fewer.npz"), fields(fewer))


def export(model, folder, **options):
    """What was loaded, to be kept while its functions are called."""
    kst.uncertainty.export_uncertainty(model, folder, **options)
    return tf.saved_model.load(folder)


def test_defaults_are_those_of_the_docstring(tmp_path):
    model = counts()
    served = export(model, tmp_path)
    u = kst.predict_uncertainty(model, SERIES, seed=0, verbose=0)
    assert_equal(served.predict_uncertainty(SERIES), fields(u))
    file = (tmp_path / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(file).meta_graphs
    defaults = graph.signature_def["predict_uncertainty"].defaults
    assert {
        name: tf.make_ndarray(default).item()
        for name, default in defaults.items()
    } == {"num_samples": 100, "seed": 0, "first_row": 0}


def test_serve_is_the_deterministic_output(tmp_path):
    inputs = keras.Input((4,))
    hidden = kst.layers.MCDropout(0.5)(inputs)
    outputs = {
        "load": kst.heads.NormalHead()(hidden),
        "kind": L.Dense(3, "softmax")(hidden),
    }
    model, x = keras.Model(inputs, outputs), SERIES[:, 0]
    served = export(model, tmp_path)
    expected = kst.predict_deterministic(model, x, verbose=0)
    assert_equal(served.serve(x), expected)


@pytest.mark.parametrize(
    ("keys", "prefixes"),
    [
        (("kind", "load"), ("kind_", "load_")),
        (None, ("output_0_", "output_1_")),
    ],
)
def test_outputs_are_told_apart(keys, prefixes, tmp_path):
    inputs = keras.Input((4,))
    hidden = L.Dropout(0.5)(inputs)
    kind = L.Dense(3, "softmax")(hidden)
    outputs = [kind, kst.heads.NormalHead()(hidden)]
    if keys:
        outputs = dict(zip(keys, outputs, strict=True))
    model, x = keras.Model(inputs, outputs), SERIES[:, 0]
    served = export(model, tmp_path, levels=(0.9,))
    results = kst.predict_uncertainty(
        model, x, num_samples=3, seed=1, levels=(0.9,), verbose=0
    )
    expected = {
        prefix + name: array
        for prefix, u in zip(prefixes, keras.tree.flatten(results), strict=True)
        for name, array in fields(u).items()
    }
    assert_equal(served.predict_uncertainty(x, 3, 1), expected)


def test_a_list_of_inputs_has_numbers_for_names(tmp_path):
    inputs = [keras.Input((4,)), keras.Input((4,))]
    outputs = kst.heads.NormalHead()(L.Dropout(0.5)(L.Add()(inputs)))
    served = export(keras.Model(inputs, outputs), tmp_path)
    _, names = served.signatures[
        "predict_uncertainty"
    ].structured_input_signature
    assert set(names) == {"x_0", "x_1", "num_samples", "seed", "first_row"}


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dropout, self.head = L.Dropout(0.5), kst.heads.NormalHead()

    def build(self, input_shape):
        self.head.build(input_shape)

    def call(self, inputs):
        return self.head(self.dropout(inputs))


def test_subclassed_models_once_they_were_called(tmp_path):
    model, x = Subclassed(), SERIES[:, 0]
    model.build((None, 4))
    with pytest.raises(ValueError, match="must be called at least once"):
        export(model, tmp_path)
    model(x[:2])
    u = kst.predict_uncertainty(model, x, num_samples=3, seed=1, verbose=0)
    served = export(model, tmp_path)
    assert_equal(served.predict_uncertainty(x, 3, 1), fields(u))


def test_tables_of_words_are_exported(tmp_path):
    words = L.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)
    model = keras.Sequential(
        [
            keras.Input((), dtype="string"),
            words,
            L.Embedding(4, 2),
            L.Flatten(),
            L.Dropout(0.3),
            L.Dense(3, "softmax"),
        ]
    )
    x = tf.constant(["a b", "b", "c a a", "b a b"])
    u = kst.predict_uncertainty(model, x, num_samples=3, seed=1, verbose=0)
    served = export(model, tmp_path)
    assert_equal(served.predict_uncertainty(x, 3, 1), fields(u))


def test_nothing_of_the_model_changes(tmp_path):
    model = gru()
    model.compile("sgd", kst.losses.NegativeLogLikelihood(model.layers[-1]))
    model(SERIES)  # any call leaves empty masks on a recurrent cell

    def state():
        variables = [variable.numpy() for variable in model.variables]
        layers = model._flatten_layers()
        return variables, [sorted(vars(layer)) for layer in layers]

    variables, attributes = state()
    export(model, tmp_path)
    after, attributes_after = state()
    assert attributes == attributes_after
    for old, new in zip(variables, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_no_samples_are_refused_where_it_is_served(tmp_path):
    served = export(counts(), tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_samples"):
        served.predict_uncertainty(SERIES, 0)


def test_logits_are_no_probabilities(tmp_path):
    served = export(classifier(3, None), tmp_path, task="classification")
    with pytest.raises(tf.errors.InvalidArgumentError, match="from_logits"):
        served.predict_uncertainty(SERIES, 3)


def test_refuses_what_keras_would_run_wrongly(tmp_path):
    """Should Keras run it rightly one day, the refusal can go."""
    model = keras.Sequential(
        [
            keras.Input((None, 4)),
            L.Dropout(0.5),
            L.TimeDistributed(kst.heads.NormalHead()),
        ]
    )
    call = tf.function(model, input_signature=[tf.TensorSpec([None, None, 4])])
    assert call(SERIES[:3]).shape[1] == 3  # rows, and there are 6 steps
    with pytest.raises(ValueError, match="length of a sequence is not known"):
        export(model, tmp_path)


def test_refuses_what_predict_uncertainty_refuses(tmp_path):
    without_noise = keras.Sequential([keras.Input((4,)), L.Dense(2, "softmax")])
    with pytest.raises(ValueError, match="has no weights yet"):
        export(keras.Sequential([L.Dropout(0.5)]), tmp_path)
    with pytest.raises(ValueError, match="is random"):
        export(without_noise, tmp_path)
    with pytest.raises(ValueError, match="A classifier has no levels"):
        export(classifier(), tmp_path, levels=(0.9,))
