"""Maps of class probabilities in models: as a layer, and after many passes."""

import dataclasses
import pickle

import checks
import keras
import numpy as np
import pytest
import tensorflow as tf
from recalibrators import CASES
from recalibrators import assert_same
from recalibrators import draw_form

import keras_seqtools as kst

every = pytest.mark.parametrize(("make", "classes"), CASES)
forms = pytest.mark.parametrize("from_logits", [False, True])


@forms
@every
@pytest.mark.parametrize("shape", [(50,), (20, 4)])
def test_layer_is_transform(make, classes, from_logits, shape, tmp_path):
    y, x = draw_form(classes, from_logits, shape=shape)
    calibrator = make().fit(y, x, from_logits=from_logits)
    expected = calibrator.transform(x)
    layer = checks.check_config(calibrator.as_layer())
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    loaded = checks.save_and_load(model, tmp_path)
    clone = keras.models.clone_model(model)
    for each in (model, loaded, clone):
        np.testing.assert_allclose(
            each.predict(x, verbose=0), expected, rtol=0.0, atol=1e-6
        )
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_allclose(compiled(x), expected, rtol=0.0, atol=1e-6)
    assert layer(x).dtype == "float32"
    assert not layer.weights


@every
def test_layer_in_a_model_that_is_trained(make, classes, tmp_path):
    """Behind a half-precision model it computes in full; it does not move."""
    y, x = draw_form(classes, True)
    calibrator = make().fit(y, x, from_logits=True)
    dense = keras.layers.Dense(classes, dtype="mixed_float16")
    model = keras.Sequential(
        [keras.Input((classes,)), dense, calibrator.as_layer()]
    )
    assert model(x).dtype == "float32"
    np.testing.assert_allclose(
        model(x), calibrator.transform(dense(x)), atol=1e-6
    )
    loss = "binary_crossentropy"
    if classes > 1:
        loss = "sparse_categorical_crossentropy"
    model.compile("sgd", loss)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    np.testing.assert_allclose(
        model(x), calibrator.transform(dense(x)), atol=1e-6
    )
    checks.check_saved(model, x, tmp_path)


def test_layer_passes_a_mask_on_and_checks_the_classes():
    y, x = draw_form(3, False, shape=(10, 4))
    layer = kst.calibration.TemperatureScaling().fit(y, x).as_layer()
    checks.check_mask_is_known(layer, x.astype("float32"))
    with pytest.raises(
        ValueError, match="axis -1 of input shape to have value 3"
    ):
        layer(np.full((5, 4), 0.25))


def sampled_model(classes, time=None):
    inputs = keras.Input((4,) if time is None else (time, 4))
    masked = inputs if time is None else keras.layers.Masking()(inputs)
    hidden = keras.layers.Dropout(0.5)(masked)
    activation = "sigmoid" if classes == 1 else "softmax"
    outputs = keras.layers.Dense(classes, activation=activation)(hidden)
    return keras.Model(inputs, outputs)


def draw_labels(result):
    """Labels of which most are as predicted."""
    predicted = result.predicted_class
    if result.per_label:
        predicted = predicted[..., 0]
    other = checks.rng(2).integers(0, 2, predicted.shape)
    return np.where(
        checks.rng(3).random(predicted.shape) < 0.7, predicted, other
    )


@every
def test_fits_and_follows_the_mean_of_many_passes(make, classes):
    model = sampled_model(classes)
    x = 3.0 * checks.rng(1).normal(size=(40, 4)).astype("float32")
    settings = {"num_samples": 5, "seed": 1, "verbose": 0}
    result = kst.predict_uncertainty(model, x, **settings)
    y = draw_labels(result)
    fitted = make().fit(y, result)
    expected = make().fit(y, result.probabilities)
    np.testing.assert_array_equal(
        fitted.transform(result), expected.transform(result.probabilities)
    )
    calibrated = kst.predict_uncertainty(
        model, x, calibrator=fitted, **settings
    )
    np.testing.assert_allclose(
        calibrated.probabilities, fitted.transform(result), rtol=1e-6
    )
    # Of what was calibrated already, the mean before that is taken.
    assert_same(make().fit(y, calibrated), fitted, result)
    with pytest.raises(ValueError, match="fitted to the mean of 5 passes"):
        fitted.as_layer()
    with pytest.raises(ValueError, match=r"calibrator=\.\.\."):
        pickle.loads(pickle.dumps(fitted)).as_layer()


@every
def test_uses_the_mask_of_a_result(make, classes):
    x = 3.0 * checks.rng(1).normal(size=(20, 4, 4)).astype("float32")
    x[:, 2:] = 0.0
    result = kst.predict_uncertainty(
        sampled_model(classes, 4), x, num_samples=3, seed=1, verbose=0
    )
    y = draw_labels(result)
    fitted = make().fit(y, result)
    assert_same(
        fitted, make().fit(y[:, :2], result.probabilities[:, :2]), result
    )
    # Together with one that is given.
    rows = np.arange(20) < 12
    assert_same(
        make().fit(y, result, mask=rows),
        make().fit(y[:12, :2], result.probabilities[:12, :2]),
        result,
    )


def test_a_result_of_a_single_pass_may_end_in_a_layer():
    x = checks.rng(1).normal(size=(40, 4)).astype("float32")
    result = kst.predict_uncertainty(
        sampled_model(3), x, num_samples=2, seed=1, verbose=0
    )
    single = dataclasses.replace(result, num_samples=1)
    y = draw_labels(result)
    layer = kst.calibration.MatrixScaling().fit(y, single).as_layer()
    assert layer(result.probabilities).shape == (40, 3)


def test_refuses_a_result_for_logits():
    x = checks.rng(1).normal(size=(40, 4)).astype("float32")
    result = kst.predict_uncertainty(
        sampled_model(3), x, num_samples=2, seed=1, verbose=0
    )
    y = draw_labels(result)
    calibrator = kst.calibration.TemperatureScaling()
    with pytest.raises(ValueError, match="holds probabilities"):
        calibrator.fit(y, result, from_logits=True)
    calibrator.fit(*draw_form(3, True), from_logits=True)
    with pytest.raises(ValueError, match="holds probabilities"):
        calibrator.transform(result)


def test_a_layer_is_refused_in_a_model_that_is_sampled():
    y, p = draw_form(3, False)
    layer = kst.calibration.TemperatureScaling().fit(y, p).as_layer()
    x = np.ones((2, 4), "float32")
    model = keras.Sequential([sampled_model(3), layer])
    model.build((None, 4))
    for ask in (kst.predict_uncertainty, kst.evaluate_uncertainty):
        with pytest.raises(ValueError, match="calibrates by itself"):
            ask(model, x, verbose=0)
    assert kst.predict_deterministic(model, x, verbose=0) is not None
    plain = keras.Sequential([keras.layers.Dense(3, "softmax"), layer])
    plain.build((None, 4))
    with pytest.raises(ValueError, match="a mean of what is calibrated"):
        kst.predict_uncertainty([plain, plain], x, verbose=0)


def test_a_map_of_logits_is_refused_after_the_mean():
    fitted = kst.calibration.TemperatureScaling().fit(
        *draw_form(3, True), from_logits=True
    )
    with pytest.raises(ValueError, match="fitted to logits"):
        kst.predict_uncertainty(
            sampled_model(3), np.ones((2, 4)), calibrator=fitted, verbose=0
        )
