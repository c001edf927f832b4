"""Always-on dropout: active everywhere, with the law of keras.layers'."""

import checks
import keras
import numpy as np
import pytest

from keras_seqtools.layers import MCDropout
from keras_seqtools.layers import MCGaussianDropout
from keras_seqtools.layers import MCSpatialDropout1D

LAYERS = [MCDropout, MCSpatialDropout1D, MCGaussianDropout]


@pytest.mark.parametrize("layer", LAYERS)
def test_contract(layer, tmp_path):
    checks.check_layer(
        lambda **kwargs: layer(0.3, seed=1, **kwargs),
        (6, 4),
        tmp_path,
        random=True,
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_samples_in_fit_evaluate_predict_and_plain_calls(layer):
    x = np.ones((32, 5, 8), "float32")
    model = keras.Sequential(
        [keras.Input((5, 8)), keras.layers.Dense(8), layer(0.5)]
    )
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    calls = [
        lambda: model(x),
        lambda: model(x, training=False),
        lambda: model.predict(x, verbose=0),
        lambda: model.evaluate(x, x, verbose=0),
        lambda: model.fit(x, x, verbose=0).history["loss"],
    ]
    for call in calls:
        assert (np.asarray(call()) != np.asarray(call())).any()


def test_keeps_1_minus_rate_of_the_units_scaled_up():
    rate, n = 0.3, 200_000
    y = np.asarray(MCDropout(rate, seed=1)(np.ones((1, n), "float32")))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    sd = np.sqrt(rate * (1 - rate) / n)
    assert abs(kept.mean() - (1 - rate)) < 5 * sd


def test_rows_and_calls_have_their_own_masks():
    layer, x = MCDropout(0.5, seed=1), np.ones((2, 64), "float32")
    first, second = np.asarray(layer(x)), np.asarray(layer(x))
    assert (first[0] != first[1]).any()
    assert (first != second).any()


def test_spatial_masks_are_tied_over_time_and_differ_between_rows():
    x = np.ones((3, 7, 64), "float32")
    y = np.asarray(MCSpatialDropout1D(0.5, seed=1)(x))
    assert (y == y[:, :1]).all()
    assert (y[0] != y[1]).any()


def test_gaussian_noise_has_the_moments_of_dropout():
    rate, n = 0.2, 200_000
    y = np.asarray(MCGaussianDropout(rate, seed=1)(np.ones((1, n), "float32")))
    sd = np.sqrt(rate / (1 - rate))
    assert abs(y.mean() - 1) < 5 * sd / np.sqrt(n)
    assert abs(y.std() - sd) < 5 * sd / np.sqrt(2 * n)


def test_rate_0_changes_nothing():
    x = checks.rng().normal(size=(3, 4, 5)).astype("float32")
    for layer in LAYERS:
        np.testing.assert_array_equal(layer(0.0)(x), x)


def test_masks_pass_through():
    x = np.array([[1, 2, 0, 0]])
    embedding = keras.layers.Embedding(5, 3, mask_zero=True)
    for layer in LAYERS:
        model = keras.Sequential([embedding, layer(0.1)])
        np.testing.assert_array_equal(model(x)._keras_mask, x != 0)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, "half", None, True])
def test_refuses_a_rate_outside_0_to_1(layer, rate):
    with pytest.raises(ValueError, match=r"`rate`.*\[0, 1\).*Received: rate="):
        layer(rate)
