"""The loss against TFP in float64, and what must not change it."""

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_seqtools.heads import DiscretizedLogisticMixtureHead
from keras_seqtools.heads import NormalHead
from keras_seqtools.heads import PoissonHead
from keras_seqtools.heads import StudentTHead
from keras_seqtools.losses import NegativeLogLikelihood


def parameters(shape, seed=1):
    loc = checks.rng(seed).normal(size=(*shape, 1))
    scale = 0.5 + checks.rng(seed + 1).random((*shape, 1))
    return np.concatenate([loc, scale], axis=-1).astype("float32")


def reference(y, y_pred):
    """`-log p` of each item, in float64, by TFP."""
    loc, scale = np.asarray(y_pred, "float64")[..., :1], y_pred[..., 1:]
    law = tfd.Normal(loc, np.asarray(scale, "float64"))
    return -np.asarray(law.log_prob(np.asarray(y, "float64")))[..., 0]


@pytest.mark.parametrize(
    ("reduction", "reduce"),
    [
        ("sum_over_batch_size", np.mean),
        ("mean", np.mean),
        ("sum", np.sum),
        ("none", np.asarray),
        (None, np.asarray),
    ],
)
def test_equals_tfp(reduction, reduce):
    y_pred, y = parameters((6, 4)), checks.rng(5).normal(size=(6, 4, 1))
    loss = NegativeLogLikelihood(NormalHead(), reduction=reduction)
    np.testing.assert_allclose(
        loss(y, y_pred), reduce(reference(y, y_pred)), rtol=1e-5
    )


def test_sums_over_units():
    y_pred = np.concatenate(
        [parameters((6,))[:, [0]]] * 2 + [parameters((6,))[:, [1]]] * 2, -1
    )
    y = checks.rng(5).normal(size=(6, 1))
    one = NegativeLogLikelihood(NormalHead())(y, parameters((6,)))
    two = NegativeLogLikelihood(NormalHead(units=2))(
        np.concatenate([y, y], -1), y_pred
    )
    np.testing.assert_allclose(two, 2 * one, rtol=1e-6)


# As many rows as time steps, so that only care tells them apart.
@pytest.mark.parametrize("time", [4, 7])
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"]
)
@pytest.mark.parametrize("shape", ["row", "row, 1", "item", "item, 1"])
@pytest.mark.parametrize("masked", [False, True])
def test_weights_and_masks(time, reduction, shape, masked):
    y_pred = parameters((4, time))
    y = checks.rng(5).normal(size=(4, time, 1))
    weight = checks.rng(6).random((4, time if "item" in shape else 1))
    full = np.broadcast_to(weight, (4, time))
    mask = checks.rng(7).random((4, time)) < 0.7
    counted = mask if masked else np.ones_like(mask)
    total = (reference(y, y_pred) * full * counted).sum()
    divisor = {
        "sum": 1.0,
        "sum_over_batch_size": counted.sum(),
        "mean_with_sample_weight": (full * counted).sum(),
    }[reduction]
    if shape == "row":
        weight = weight[:, 0]
    if shape == "item, 1":
        weight = weight[..., None]
    y_pred = tf.constant(y_pred)
    if masked:
        y_pred._keras_mask = tf.constant(mask)
    loss = NegativeLogLikelihood(NormalHead(), reduction=reduction)
    np.testing.assert_allclose(
        loss(y, y_pred, sample_weight=weight), total / divisor, rtol=1e-5
    )


def masked_model(time, head):
    return keras.Sequential(
        [
            keras.Input((time, 3)),
            keras.layers.Masking(),
            keras.layers.GRU(4, return_sequences=True),
            head,
        ]
    )


@pytest.mark.parametrize("time", [4, 7])
@pytest.mark.parametrize("head", [NormalHead, StudentTHead, PoissonHead])
@pytest.mark.parametrize("garbage", [1e30, -1e30, np.nan, np.inf])
def test_hidden_targets_change_no_bit_of_loss_or_gradient(time, head, garbage):
    model = masked_model(time, head())
    loss = NegativeLogLikelihood(model.layers[-1])
    x = checks.rng().normal(size=(4, time, 3)).astype("float32")
    x[1, 2:] = 0.0  # masked from here
    weight = np.ones((4, time), "float32")
    weight[2, 1] = 0.0
    y = checks.rng(1).poisson(3.0, (4, time, 1)).astype("float32")
    spoiled = y.copy()
    spoiled[1, 2:] = garbage
    spoiled[2, 1] = garbage

    def loss_and_gradients(y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x), sample_weight=weight)
        return [value, *tape.gradient(value, model.trainable_variables)]

    clean, spoiled = loss_and_gradients(y), loss_and_gradients(spoiled)
    for a, b in zip(clean, spoiled, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a).all()


def test_hidden_targets_change_nothing_in_fit():
    x = checks.rng().normal(size=(8, 8, 3)).astype("float32")
    x[:, 5:] = 0.0
    y = checks.rng(1).normal(size=(8, 8, 1))
    weight = np.ones(8)
    weight[3] = 0.0

    def weights_after_fit(y):
        keras.utils.set_random_seed(3)
        model = masked_model(8, NormalHead())
        loss = NegativeLogLikelihood(model.layers[-1])
        model.compile("adam", loss=loss)
        model.fit(x, y, sample_weight=weight, epochs=2, verbose=0)
        return model.get_weights()

    spoiled = y.copy()
    spoiled[:, 5:] = np.nan
    spoiled[3] = 1e30
    before, after = weights_after_fit(y), weights_after_fit(spoiled)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nan_targets_show_unless_they_mean_missing():
    y_pred, y = parameters((5,)), checks.rng(5).normal(size=(5, 1))
    y[2] = np.nan
    assert np.isnan(NegativeLogLikelihood(NormalHead())(y, y_pred))
    known = ~np.isnan(y[:, 0])
    np.testing.assert_allclose(
        NegativeLogLikelihood(NormalHead(), ignore_nan=True)(y, y_pred),
        reference(y[known], y_pred[known]).mean(),
        rtol=1e-6,
    )


def test_nothing_counted_is_0():
    y_pred, y = parameters((3,)), np.full((3, 1), np.nan)
    loss = NegativeLogLikelihood(NormalHead(), ignore_nan=True)
    assert loss(y, y_pred) == 0.0


@pytest.mark.parametrize("shape", [(5,), (4, 2), (1, 4), (4, 1, 1)])
def test_refuses_targets_that_would_broadcast(shape):
    with pytest.raises(ValueError, match=r"targets of shape \(4, 1\)"):
        NegativeLogLikelihood(NormalHead())(np.zeros(shape), parameters((4,)))


@pytest.mark.parametrize("shape", [(3,), (4, 2), (4, 7, 2), (2, 4, 7)])
def test_refuses_weights_that_would_broadcast(shape):
    loss = NegativeLogLikelihood(NormalHead())
    with pytest.raises(
        ValueError, match=r"`sample_weight`.*\(4, 7\) or its first"
    ):
        loss(np.zeros((4, 7)), parameters((4, 7)), np.ones(shape))


def test_refuses_the_output_of_another_family():
    class OtherHead(NormalHead):
        """Emits as many numbers as a `NormalHead`, which mean other things."""

    x = np.ones((4, 3), "float32")
    loss = NegativeLogLikelihood(NormalHead())
    with pytest.raises(ValueError, match=r"ends in a `OtherHead`"):
        loss(np.zeros(4), OtherHead()(x))
    model = keras.Sequential([keras.Input((3,)), OtherHead()])
    model.compile("sgd", loss=loss)
    with pytest.raises(ValueError, match=r"ends in a `OtherHead`"):
        model.fit(x, np.zeros(4), verbose=0)
    with pytest.raises(ValueError, match="emits 2 numbers"):
        loss(np.zeros(4), np.zeros((4, 1), "float32"))
    with pytest.raises(TypeError, match=r"`head`"):
        NegativeLogLikelihood("normal")


def test_targets_with_and_without_their_last_axis_on_one_model():
    model = masked_model(5, NormalHead())
    model.compile("sgd", loss=NegativeLogLikelihood(model.layers[-1]))
    x = checks.rng().normal(size=(6, 5, 3)).astype("float32")
    y = checks.rng(1).normal(size=(6, 5, 1))
    with_axis = model.evaluate(x, y, verbose=0)
    assert model.evaluate(x, y[..., 0], verbose=0) == with_axis


def test_config_and_its_own_copy_of_the_head(tmp_path):
    head = StudentTHead(units=2)
    loss = NegativeLogLikelihood(head, ignore_nan=True, reduction="sum")
    again = checks.check_config(loss)
    assert again.head is not head
    assert not again.head.built
    assert (again.ignore_nan, again.head.units) == (True, 2)


class Subclassed(keras.Model):
    def __init__(self, head=None, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(4)
        self.head = NormalHead() if head is None else head

    def call(self, x):
        return self.head(self.hidden(x))

    def get_config(self):
        return {"name": self.name}


keras.saving.register_keras_serializable(package="test_losses")(Subclassed)


def models():
    yield keras.Sequential([keras.Input((3,)), NormalHead()])
    x = keras.Input((3,))
    yield keras.Model(x, NormalHead()(keras.layers.Dense(4)(x)))
    model = Subclassed()
    model(np.ones((1, 3), "float32"))
    yield model


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_save_load_fit_save(kind, tmp_path):
    model = list(models())[kind]
    head = model.layers[-1]
    x, y = checks.rng().normal(size=(16, 3)), checks.rng(1).normal(size=16)
    head.adapt(y)
    model.compile("adam", loss=NegativeLogLikelihood(head))
    model.fit(x, y, verbose=0)
    for _ in range(2):
        loaded = checks.save_and_load(model, tmp_path)
        np.testing.assert_array_equal(
            loaded.predict(x, verbose=0), model.predict(x, verbose=0)
        )
        assert loaded.evaluate(x, y, verbose=0) == model.evaluate(
            x, y, verbose=0
        )
        loaded.fit(x, y, verbose=0)
        model = loaded


def test_padding_with_what_is_no_exposure_changes_nothing():
    x, e = checks.rng().normal(size=(4, 5, 3)), np.ones((4, 5, 1))
    y = checks.rng().poisson(2.0, (4, 5, 1)).astype("float32")
    x[:, 3:] = 0.0

    def train(padding):
        keras.utils.set_random_seed(0)
        features, exposure = keras.Input((5, 3)), keras.Input((5, 1))
        head = PoissonHead(exposure=True)
        masked = keras.layers.Masking()(features)
        model = keras.Model([features, exposure], head([masked, exposure]))
        model.compile("sgd", loss=NegativeLogLikelihood(head))
        e[:, 3:] = y[:, 3:] = padding
        losses = model.fit([x, e], y, epochs=3, verbose=0).history["loss"]
        return losses, model.get_weights()

    usual, weights = train(1.0)
    for padding in (0.0, np.nan):
        losses, found = train(padding)
        assert losses == usual
        for one, other in zip(found, weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_refuses_a_head_of_another_range():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            DiscretizedLogisticMixtureHead(0, 9),
        ]
    )
    loss = NegativeLogLikelihood(DiscretizedLogisticMixtureHead(0, 5))
    with pytest.raises(ValueError, match=r"\(0.0, 9.0\).*\(0.0, 5.0\)"):
        loss(np.zeros((2, 1)), model(np.zeros((2, 3))))
