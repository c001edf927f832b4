"""The model classes: Keras models in every way, with one method more."""

import checks
import keras
import numpy as np
import pytest

import keras_seqtools as kst

X = checks.rng().normal(size=(32, 4)).astype("float32")
Y = checks.rng(1).normal(size=(32, 1))
OPTIONS = {"num_samples": 4, "seed": 1, "verbose": 0}


def sequential():
    return kst.models.UncertaintySequential(
        [keras.Input((4,)), keras.layers.Dropout(0.3), kst.heads.NormalHead()]
    )


def functional():
    x = keras.Input((4,))
    h = keras.layers.Dropout(0.3)(x)
    return kst.models.UncertaintyModel(x, kst.heads.NormalHead()(h))


@keras.saving.register_keras_serializable(package="test_models")
class Subclassed(kst.models.UncertaintyModel):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.drop = keras.layers.Dropout(0.3)
        self.head = kst.heads.NormalHead()

    def call(self, x):
        return self.head(self.drop(x))


def subclassed():
    model = Subclassed()
    model(X)
    return model


@pytest.mark.parametrize("make", [sequential, functional, subclassed])
def test_fits_saves_loads_and_keeps_its_class(make, tmp_path):
    model = make()
    head = model.layers[-1]
    head.adapt(Y)
    model.compile("adam", loss=kst.losses.NegativeLogLikelihood(head))
    model.fit(X, Y, verbose=0)
    loaded = checks.save_and_load(model, tmp_path)
    assert type(loaded) is type(model)
    loaded.fit(X, Y, epochs=0, verbose=0)
    np.testing.assert_array_equal(
        loaded.predict_uncertainty(X, **OPTIONS).mean,
        model.predict_uncertainty(X, **OPTIONS).mean,
    )
    np.testing.assert_array_equal(
        kst.predict_uncertainty(model, X, **OPTIONS).mean,
        model.predict_uncertainty(X, **OPTIONS).mean,
    )


def test_subclasses_work_after_a_functional_model():
    # For which Keras changes the bases of a class.
    assert isinstance(functional(), kst.models.UncertaintyModel)
    model = subclassed()
    assert not hasattr(model, "_nodes_by_depth")
    assert [layer.name for layer in model.layers] == [
        model.drop.name,
        model.head.name,
    ]


def test_functional_subclasses_are_refused_before_they_harm_others():
    class Functional(kst.models.UncertaintyModel):
        def __init__(self):
            x = keras.Input((4,))
            super().__init__(x, kst.heads.NormalHead()(x))

    with pytest.raises(TypeError, match="defines `call`"):
        Functional()
    assert subclassed().predict_uncertainty(X, **OPTIONS).mean.size


def test_wrapper_is_the_model_itself():
    plain = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    )
    model = kst.models.with_uncertainty(plain)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert plain.compiled
    model.trainable = False
    assert plain.trainable_weights == []
    assert model.layers == plain.layers
    np.testing.assert_array_equal(model(X), plain(X))
    assert model.predict_uncertainty(X, **OPTIONS).mean.shape == (32, 1)
    wrapped = kst.predict_uncertainty(model, X, **OPTIONS)
    np.testing.assert_array_equal(
        wrapped.mean, model.predict_uncertainty(X, **OPTIONS).mean
    )
    with pytest.raises(TypeError, match=r"keras\.Model"):
        kst.models.with_uncertainty("model")


def test_clones_lose_the_method_but_not_the_function():
    clone = keras.models.clone_model(sequential())
    assert kst.predict_uncertainty(clone, X, **OPTIONS).mean.shape == (32, 1)
