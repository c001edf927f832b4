"""Models and arguments that went wrong once."""

import keras
import numpy as np
import pytest

import keras_seqtools as kst

L = keras.layers
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
QUIET = {"num_samples": 20, "seed": 1, "task": "regression", "verbose": 0}


class Causal(L.Layer):
    """A matrix of the length of the sequences, which has no rows."""

    def call(self, x):
        steps = keras.ops.shape(x)[1]
        return keras.ops.tril(keras.ops.ones((steps, steps)))

    def compute_output_spec(self, x):
        return keras.KerasTensor((x.shape[1], x.shape[1]))


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_an_unknown_first_axis_need_not_be_the_rows(batch_size):
    x = keras.Input((None, 2))
    h = keras.ops.matmul(Causal()(x), L.Dropout(1e-6)(x))
    model = keras.Model(x, keras.ops.sum(h, axis=1))
    ones = np.ones((3, 4, 2), "float32")
    u = kst.predict_uncertainty(model, ones, batch_size=batch_size, **QUIET)
    np.testing.assert_allclose(u.mean, 10.0, rtol=1e-4)  # 1 + 2 + 3 + 4


def test_rows_may_lie_on_another_axis():
    x = keras.Input((4, 2))
    h = keras.ops.transpose(x, (1, 0, 2))
    model = keras.Model(x, keras.ops.sum(h + L.Dropout(1e-6)(h), axis=0))
    ones = np.ones((3, 4, 2), "float32")
    u = kst.predict_uncertainty(model, ones, **QUIET)
    np.testing.assert_allclose(u.mean, 8.0, rtol=1e-4)


def test_a_model_that_was_compiled_again_is_read_again():
    dense = L.Dense(4)
    model = keras.Sequential([keras.Input((5,)), L.Dropout(1e-6), dense])
    kst.predict_uncertainty(model, X, **QUIET)
    dense.activation = keras.activations.tanh
    model.compile(loss="mse")
    u = kst.predict_uncertainty(model, X, **QUIET)
    expected = model.predict(X, verbose=0)
    np.testing.assert_allclose(u.mean, expected, rtol=1e-3, atol=1e-4)


def test_variables_that_are_added_count_at_once():
    dense = L.Dense(4)
    model = keras.Sequential([keras.Input((5,)), L.Dropout(1e-6), dense])
    kst.predict_uncertainty(model, X, **QUIET)
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.ones((2, 4)))
    u = kst.predict_uncertainty(model, X, **QUIET)
    np.testing.assert_allclose(u.mean, model(X), rtol=1e-3, atol=1e-4)


def test_what_is_dropped_is_zero_whatever_it_was():
    model = keras.Sequential([keras.Input((1,)), L.Dropout(0.5)])
    u = kst.predict_uncertainty(
        model, np.full((1, 1), np.inf), return_samples=True, **QUIET
    )
    assert set(u.samples.ravel()) == {0.0, np.inf}


def test_numbers_of_passes_of_numpy():
    model = keras.Sequential([keras.Input((5,)), L.Dropout(0.5)])
    options = QUIET | {"num_samples": np.int64(7)}
    assert kst.predict_uncertainty(model, X, **options).num_samples == 7


def test_no_rows_at_all():
    model = keras.Sequential([keras.Input((5,)), L.Dropout(0.5)])
    with pytest.raises(ValueError, match=r"no rows|empty"):
        kst.predict_uncertainty(model, X[:0], **QUIET)
