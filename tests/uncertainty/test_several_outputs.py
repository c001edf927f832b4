"""One result for each output, in the structure of the model."""

import keras
import numpy as np
import pytest

import keras_seqtools as kst

L = keras.layers
X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
QUIET = {"num_samples": 8, "seed": 1, "verbose": 0}


def outputs():
    x = keras.Input((4,))
    h = L.Dropout(0.3)(L.Dense(8, "relu")(x))
    level = kst.heads.NormalHead(name="level")(h)
    kind = L.Dense(3, "softmax", name="kind")(h)
    plain = L.Dense(1, name="plain")(x)
    return x, level, kind, plain


@pytest.mark.parametrize("form", [list, dict])
def test_results_come_as_the_model_has_them(form):
    x, *tensors = outputs()
    if form is dict:
        tensors = dict(zip(("z", "b", "c"), tensors, strict=True))
    model = keras.Model(x, tensors)
    u = kst.predict_uncertainty(model, X, levels=(0.9,), **QUIET)
    assert isinstance(u, form)
    level, kind, plain = u.values() if form is dict else u
    assert list(u) == list(tensors) or form is list
    predicted = model.predict(X, verbose=0)
    first, *_, last = predicted.values() if form is dict else predicted
    np.testing.assert_allclose(level.deterministic, first[:, :1], rtol=1e-5)
    assert level.interval(0.9)[0].shape == (12, 1)
    assert kind.p_max.shape == (12,)
    # No noise reaches the third: what epistemic there is, is rounding.
    np.testing.assert_allclose(plain.mean, last, rtol=1e-5)
    assert plain.epistemic_std.max() < 1e-6


def test_each_output_is_as_if_it_were_the_only_one():
    x, level, kind, _ = outputs()
    both = kst.predict_uncertainty(keras.Model(x, [level, kind]), X, **QUIET)
    alone = kst.predict_uncertainty(keras.Model(x, level), X, **QUIET)
    np.testing.assert_allclose(both[0].mean, alone.mean, rtol=1e-5)


def test_losses_tell_what_outputs_mean():
    x = keras.Input((4,))
    h = L.Dropout(0.3)(x)
    for losses in (
        {"a": "mse", "b": "sparse_categorical_crossentropy"},
        ["mse", "sparse_categorical_crossentropy"],
    ):
        ends = [L.Dense(2, name="a")(h), L.Dense(2, "softmax", name="b")(h)]
        model = keras.Model(x, ends)
        model.compile(loss=losses)
        first, second = kst.predict_uncertainty(model, X, **QUIET)
        assert isinstance(first, kst.uncertainty.RegressionUncertainty)
        assert isinstance(second, kst.uncertainty.ClassificationUncertainty)


class TwoOutputs(keras.Model):
    def __init__(self):
        super().__init__()
        self.drop = L.Dropout(0.3)
        self.head, self.kind = kst.heads.NormalHead(), L.Dense(3, "softmax")

    def call(self, x):
        h = self.drop(x)
        return {"level": self.head(h), "kind": self.kind(h)}


def test_a_model_without_graph_needs_a_structure_of_tasks():
    model = TwoOutputs()
    model(X)
    with pytest.raises(ValueError, match=r"1 output.*`task`.*2 outputs"):
        kst.predict_uncertainty(model, X, **QUIET)
    task = {"level": model.head, "kind": "classification"}
    u = kst.predict_uncertainty(model, X, task=task, **QUIET)
    assert u["level"].aleatoric_std.shape == (12, 1)
    assert u["kind"].p_max.shape == (12,)


def test_number_of_tasks():
    x, level, kind, _ = outputs()
    with pytest.raises(ValueError, match="one for each of 2 outputs"):
        kst.predict_uncertainty(
            keras.Model(x, [level, kind]), X, task=["regression"] * 3
        )


def test_batches_of_several_outputs_are_joined():
    x, level, kind, _ = outputs()
    model = keras.Model(x, [level, kind])
    parts = list(kst.iter_uncertainty(model, X, batch_size=5, **QUIET))
    assert [len(part[0]) for part in parts] == [5, 5, 2]
    whole = kst.predict_uncertainty(model, X, batch_size=5, **QUIET)
    np.testing.assert_array_equal(
        whole[1].p_max, np.concatenate([part[1].p_max for part in parts])
    )
