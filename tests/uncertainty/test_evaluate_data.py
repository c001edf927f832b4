"""evaluate_uncertainty on data of every form, in batches of any size."""

import gc
import weakref

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special

import keras_seqtools as kst

L = keras.layers
X = checks.rng().normal(size=(60, 4)).astype("float32")
Y = checks.rng(1).normal(size=(60, 1)).astype("float32")
WEIGHT = checks.rng(2).integers(0, 3, 60).astype("float32")
OPTIONS = {"num_samples": 12, "seed": 1, "verbose": 0}


def model_ending_in(*layers):
    return keras.Sequential([keras.Input((4,)), L.Dropout(0.3), *layers])


def series_model(*layers):
    return keras.Sequential(
        [
            keras.Input((None, 4)),
            L.Masking(),
            L.GRU(3, return_sequences=True, dropout=0.2),
            *layers,
        ]
    )


def assert_close(scores, others):
    """All but the CRPS, whose draws depend on the batches."""
    assert list(scores) == list(others)
    for name, score in scores.items():
        rtol = 0.1 if name == "crps" else 1e-5
        np.testing.assert_allclose(score, others[name], rtol=rtol)


@pytest.mark.parametrize(
    ("layer", "y"),
    [
        (kst.heads.NormalHead(), Y),
        (kst.heads.PoissonHead(), np.abs(np.round(Y))),
        (L.Dense(3, "softmax"), np.arange(60) % 3),
    ],
)
def test_the_size_of_batches_changes_the_crps_alone(layer, y):
    model = model_ending_in(layer)
    scores, others = (
        kst.evaluate_uncertainty(
            model, X, y, WEIGHT, batch_size=size, **OPTIONS
        )
        for size in (60, 7)
    )
    assert_close(scores, others)


def test_every_batch_has_draws_of_its_own():
    model = keras.Sequential([keras.Input((4,)), kst.heads.NormalHead()])
    x, y = np.ones((20, 4)), np.ones(20)
    rows = kst.evaluate_uncertainty(
        model, x, y, batch_size=5, per_row=True, **OPTIONS
    )
    assert len(np.unique(rows["crps"])) == 20
    assert len(np.unique(rows["nll"])) == 1


class Pairs(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * (index + 1))
        return X[rows], Y[rows], WEIGHT[rows]


def test_weighted_batches_in_any_form():
    model = model_ending_in(kst.heads.NormalHead())
    expected = kst.evaluate_uncertainty(
        model, X, Y, WEIGHT, batch_size=16, **OPTIONS
    )
    dataset = tf.data.Dataset.from_tensor_slices((X, Y, WEIGHT)).batch(16)
    pairs = Pairs()
    generator = (pairs[i] for i in range(4))
    assert kst.evaluate_uncertainty(model, dataset, **OPTIONS) == expected
    assert kst.evaluate_uncertainty(model, pairs, **OPTIONS) == expected
    found = kst.evaluate_uncertainty(model, generator, steps=4, **OPTIONS)
    assert found == expected
    model.run_eagerly = True
    assert_close(kst.evaluate_uncertainty(model, dataset, **OPTIONS), expected)


def series():
    x = checks.rng().normal(size=(20, 5, 4)).astype("float32")
    x[:7, 3:] = 0.0
    x[7:9] = 0.0
    mask = (x != 0.0).any(-1)
    return x, checks.rng(1).normal(size=(20, 5, 1)), mask


def test_masks_and_weights_of_steps():
    x, y, mask = series()
    model = series_model(kst.heads.NormalHead())
    rows = kst.evaluate_uncertainty(model, x, y, per_row=True, **OPTIONS)
    for values in rows.values():
        assert values.shape == (20, 5)
        np.testing.assert_array_equal(np.isnan(values), ~mask)
    for weight in (
        checks.rng(2).random((20, 5)),
        checks.rng(2).random(20),
        checks.rng(2).random((20, 1)),
    ):
        scores = kst.evaluate_uncertainty(model, x, y, weight, **OPTIONS)
        full = np.broadcast_to(weight.reshape(20, -1), (20, 5)) * mask
        for name in ("nll", "crps"):
            mean = np.nansum(rows[name] * full) / full.sum()
            np.testing.assert_allclose(scores[name], mean, rtol=1e-5)
    hidden = np.where(mask[..., None], y, np.nan)
    found = kst.evaluate_uncertainty(model, x, hidden, weight, **OPTIONS)
    assert found == scores
    hidden[12, 1] = np.nan
    with pytest.raises(ValueError, match=r"batch 1.*y\[2, 1, 0\] = nan"):
        kst.evaluate_uncertainty(model, x, hidden, batch_size=10, **OPTIONS)


def test_masked_steps_of_classes():
    x, _, mask = series()
    model = series_model(L.Dense(3, "softmax"))
    y = checks.rng(1).integers(0, 3, (20, 5))
    scores = kst.evaluate_uncertainty(model, x, y, **OPTIONS)
    u = kst.predict_uncertainty(model, x, **OPTIONS)
    p, y = u.probabilities, np.where(mask, y, -1)
    assert kst.evaluate_uncertainty(model, x, y, **OPTIONS) == scores
    ece = kst.metrics.expected_calibration_error(y, p, mask=mask)
    np.testing.assert_allclose(scores["ece"], ece, rtol=1e-6)
    correct = (p.argmax(-1) == y)[mask].mean()
    np.testing.assert_allclose(scores["accuracy"], correct)


def test_batches_of_sequences_of_several_lengths():
    model = series_model(kst.heads.NormalHead())
    x, y, _ = series()
    batches = [(x[:10], y[:10]), (x[10:, :4], y[10:, :4])]
    dataset = tf.data.Dataset.from_generator(
        lambda: batches,
        output_signature=(
            tf.TensorSpec((None, None, 4)),
            tf.TensorSpec((None, None, 1)),
        ),
    )
    found = kst.evaluate_uncertainty(model, dataset, steps=2, **OPTIONS)
    # Steps after the last do not reach a GRU, which runs forwards.
    weight = np.ones((20, 5))
    weight[10:, 4:] = 0.0
    y[10:, 4:] = np.nan
    expected = kst.evaluate_uncertainty(
        model, x, y, weight, batch_size=10, **OPTIONS
    )
    assert np.isfinite(list(found.values())).all()
    assert_close(found, expected)


def two_outputs(as_dict):
    x = keras.Input((4,))
    h = L.Dropout(0.3)(x)
    outputs = {
        "z": kst.heads.NormalHead(name="later")(h),
        "b": L.Dense(3, "softmax", name="a_class")(h),
    }
    return keras.Model(x, outputs if as_dict else list(outputs.values()))


@pytest.mark.parametrize("as_dict", [False, True])
def test_several_outputs(as_dict):
    model, classes = two_outputs(as_dict), np.arange(60) % 3
    y = {"z": Y, "b": classes} if as_dict else [Y, classes]
    found = kst.evaluate_uncertainty(model, X, y, WEIGHT, **OPTIONS)
    u = kst.predict_uncertainty(model, X, return_samples=True, **OPTIONS)
    if not as_dict:
        found, u = (dict(zip("zb", pair, strict=True)) for pair in (found, u))
        by_name = {"a_class": classes, "later": Y}
        again = kst.evaluate_uncertainty(model, X, by_name, WEIGHT, **OPTIONS)
        assert again == list(found.values())
    assert set(found["z"]) > {"nll", "pit_distance"}
    assert set(found["b"]) == {"nll", "accuracy", "brier", "ece"}
    correct = u["b"].predicted_class == classes
    accuracy = np.average(correct, weights=WEIGHT)
    np.testing.assert_allclose(found["b"]["accuracy"], accuracy)
    error = np.average(np.square(u["z"].mean - Y)[:, 0], weights=WEIGHT)
    np.testing.assert_allclose(found["z"]["rmse"], np.sqrt(error), rtol=1e-5)
    weights = {"z": WEIGHT, "b": WEIGHT} if as_dict else [WEIGHT, WEIGHT]
    dataset = tf.data.Dataset.from_tensor_slices(
        keras.tree.lists_to_tuples((X, y, weights))
    )
    again = kst.evaluate_uncertainty(model, dataset.batch(60), **OPTIONS)
    assert (again if as_dict else dict(zip("zb", again, strict=True))) == found
    for wrong in ([Y], [Y, classes, Y], {"z": Y}):
        with pytest.raises(ValueError, match="`y` must have"):
            kst.evaluate_uncertainty(model, X, wrong, **OPTIONS)


@pytest.mark.parametrize("units", [1, 3])
def test_logits_keep_their_digits(units):
    """A sigmoid of 20 is 1 in float32, and would be infinitely wrong."""
    model = model_ending_in(L.Dense(units))
    options = {"task": "classification", "from_logits": True, **OPTIONS}
    x, y = 200.0 * X, np.arange(60) % (2 if units == 1 else 3)
    scores = kst.evaluate_uncertainty(model, x, y, **options)
    u = kst.predict_uncertainty(
        model, x, task="regression", return_samples=True, **OPTIONS
    )
    logits = u.samples.astype("float64")
    if units == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    log_p = special.log_softmax(logits, axis=-1)[:, np.arange(60), y]
    nll = np.log(12) - special.logsumexp(log_p, axis=0)
    assert nll.max() > 150.0
    np.testing.assert_allclose(scores["nll"], nll.mean(), rtol=1e-5)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.drop, self.head = L.Dropout(0.3), kst.heads.NormalHead()

    def call(self, x):
        return self.head(self.drop(x))


@pytest.mark.parametrize("make", [Subclassed, series_model])
def test_targets_that_would_have_to_be_bent_are_refused(make):
    model = make() if make is Subclassed else make(kst.heads.NormalHead())
    x = checks.rng().normal(size=(6, 3, 4)).astype("float32")
    model(x)
    # A first call lets sizes vary in what is compiled.
    for time in (3, 2):
        kst.evaluate_uncertainty(
            model, x[:, :time], np.zeros((6, time, 1)), **OPTIONS
        )
    for shape in ((6,), (6, 1), (6, 1, 3), (6, 3, 3), (6, 2), (6, 1, 1)):
        with pytest.raises(ValueError, match="targets of shape"):
            kst.evaluate_uncertainty(model, x, np.zeros(shape), **OPTIONS)


def test_a_model_for_batches_of_one_size():
    """Rows are added to fill the last batch, and do not count."""
    model = keras.Sequential(
        [
            keras.Input((5, 4), batch_size=8),
            L.GRU(3, stateful=True, return_sequences=True, dropout=0.2),
            kst.heads.NormalHead(),
        ]
    )
    x, y, _ = series()
    weight = checks.rng(2).random((20, 5))
    rows = kst.evaluate_uncertainty(
        model, x, y, weight, per_row=True, **OPTIONS
    )
    scores = kst.evaluate_uncertainty(model, x, y, weight, **OPTIONS)
    for name in ("nll", "crps"):
        assert rows[name].shape == (20, 5)
        mean = np.average(rows[name], weights=weight)
        np.testing.assert_allclose(scores[name], mean, rtol=1e-5)


def test_nothing_keeps_the_model_alive():
    model = model_ending_in(kst.heads.NormalHead())
    kst.evaluate_uncertainty(model, X, Y, **OPTIONS)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_layers_of_a_users_own_and_shared_masks():
    class Noise(L.Layer):
        def call(self, x, training=False):
            return x + keras.random.normal((4,)) if training else x

    model = keras.Sequential(
        [keras.Input((4,)), Noise(), kst.heads.NormalHead()]
    )
    scores = [
        kst.evaluate_uncertainty(
            model, X, Y, stochastic_layers=names, **OPTIONS
        )["nll"]
        for names in ((), Noise)
    ]
    assert scores[0] != scores[1]
    model = model_ending_in(kst.heads.NormalHead())
    x = np.ones((9, 4))
    rows = kst.evaluate_uncertainty(
        model,
        x,
        Y[:1].repeat(9, 0),
        consistent_masks=True,
        per_row=True,
        **OPTIONS,
    )
    np.testing.assert_allclose(rows["nll"], rows["nll"][0], rtol=1e-6)
