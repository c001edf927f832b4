"""CausalSlice against plain NumPy slicing, and the claim it exists for."""

import checks
import keras
import numpy as np
import pytest

from keras_seqtools.layers import CausalSlice


def test_contract(tmp_path):
    checks.check_layer(
        lambda **kwargs: CausalSlice(3, **kwargs), (8, 4), tmp_path
    )


@pytest.mark.parametrize("length", [1, 3, 8])
@pytest.mark.parametrize("shape", [(2, 8), (2, 8, 4), (2, 8, 4, 5)])
def test_keeps_the_last_steps(length, shape):
    x = checks.rng().normal(size=shape).astype("float32")
    np.testing.assert_array_equal(CausalSlice(length)(x), x[:, -length:])


def test_slices_the_mask_with_the_steps():
    tokens = np.array([[5, 7, 0, 0], [3, 0, 0, 0]])
    embedding = keras.layers.Embedding(9, 2, mask_zero=True)
    mask = CausalSlice(3).compute_mask(
        embedding(tokens), embedding.compute_mask(tokens)
    )
    np.testing.assert_array_equal(mask, tokens[:, -3:] != 0)


def test_last_outputs_of_a_causal_stack_do_not_see_the_future():
    length, x = 3, checks.rng(1).normal(size=(1, 20, 1)).astype("float32")
    stack = keras.Sequential(
        [
            keras.Input((None, 1)),
            keras.layers.Conv1D(4, 5, padding="causal"),
            CausalSlice(length),
        ]
    )
    changed = x.copy()
    changed[:, -1] += 100.0
    before = stack.predict(x, verbose=0)
    after = stack.predict(changed, verbose=0)
    np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
    assert np.abs(before[:, -1] - after[:, -1]).max() > 1.0


@pytest.mark.parametrize("length", [0, -2, 1.5, "3", None, True])
def test_refuses_a_length_that_is_no_positive_integer(length):
    with pytest.raises(ValueError, match=r"`length`.*Received: length="):
        CausalSlice(length)


def test_refuses_a_sequence_shorter_than_the_slice():
    with pytest.raises(
        ValueError, match=r"at least 9 time steps\. Received: 8"
    ):
        CausalSlice(9)(np.zeros((1, 8, 2), "float32"))


def test_refuses_an_input_without_time():
    with pytest.raises(ValueError, match=r"\(batch, time, \.\.\.\)"):
        CausalSlice(2)(np.zeros(8, "float32"))


def test_equals_the_lambda_it_replaces_and_loads_without_it(tmp_path):
    def make(last_steps):
        conv = keras.layers.Conv1D(4, 5, padding="causal")
        return keras.Sequential([keras.Input((None, 1)), conv, last_steps])

    by_lambda = make(keras.layers.Lambda(lambda x: x[:, -10:]))
    model = make(CausalSlice(10))
    model.set_weights(by_lambda.get_weights())
    x = checks.rng().normal(size=(2, 30, 1)).astype("float32")
    expected = by_lambda.predict(x, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")  # in safe mode
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
