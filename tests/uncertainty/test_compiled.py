"""Compiled once, kept while the model lives, and never out of date."""

import gc
import resource
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seqtools as kst

L = keras.layers
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
OPTIONS = {"num_samples": 8, "seed": 1, "verbose": 0, "task": "regression"}


class Counts(L.Layer):
    """Counts the calls that Python makes, two of them in every trace."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0

    def call(self, x):
        self.calls += 1
        return x


def counting_model(shape=(4,)):
    counts = Counts()
    model = keras.Sequential(
        [keras.Input(shape), L.Dropout(0.5), counts, L.Dense(2)]
    )
    counts.calls = 0
    return model, counts


def ask(model, x=X, **options):
    return kst.predict_uncertainty(model, x, **{**OPTIONS, **options})


def test_one_trace_for_any_number_of_rows():
    model, counts = counting_model()
    for rows in (40, 1, 3, 256, 600, 40):
        ask(model, np.ones((rows, 4), "float32"))
        assert counts.calls == 2


def test_one_trace_for_batches_of_which_the_last_is_smaller():
    model, counts = counting_model()
    ask(model, batch_size=16)
    assert counts.calls == 2
    ask(model, X[:9], batch_size=16)
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(16)
    ask(model, dataset, batch_size=16)
    assert counts.calls == 2


def test_one_trace_for_any_seed_and_any_number_of_like_samples():
    model, counts = counting_model()
    for seed, num_samples in ((1, 16), (2, 16), (1, 160), (2, 32)):
        ask(model, seed=seed, num_samples=num_samples)
        assert counts.calls == 2


def test_lengths_that_vary_cost_one_trace_more():
    model, counts = counting_model((None, 4))
    for steps in (5, 6, 5, 7, 40, 1):
        found = ask(model, np.ones((3, steps, 4), "float32"))
        assert found.mean.shape == (3, steps, 2)
    assert counts.calls == 4


def test_noise_is_the_same_once_lengths_vary():
    x = keras.Input((None, 4))
    h = L.GRU(3, dropout=0.3, return_sequences=True)(L.Dropout(0.3)(x))
    model = keras.Model(x, L.SpatialDropout1D(0.2)(h))
    data = np.random.default_rng(0).normal(size=(5, 6, 4)).astype("float32")
    expected = ask(model, data).mean
    ask(model, data[:, :4])
    np.testing.assert_allclose(ask(model, data).mean, expected, rtol=1e-5)


@pytest.mark.parametrize("rows", [3, 5, 8])
def test_lengths_may_vary_under_time_distributed(rows):
    model = keras.Sequential(
        [
            keras.Input((None, 4)),
            L.TimeDistributed(L.Dropout(0.5)),
            L.TimeDistributed(L.Dense(2)),
        ]
    )
    x = np.random.default_rng(0).normal(size=(rows, 5, 4)).astype("float32")
    expected = ask(model, x).mean
    assert expected.shape == (rows, 5, 2)
    assert ask(model, x[:, :3]).mean.shape == (rows, 3, 2)
    np.testing.assert_allclose(ask(model, x).mean, expected, rtol=1e-5)


def test_what_the_model_has_learnt_counts_at_once():
    model, counts = counting_model()
    model.compile("sgd", "mse")
    before = ask(model)
    model.set_weights([2 * w for w in model.get_weights()])
    np.testing.assert_allclose(ask(model).mean, 2 * before.mean, rtol=1e-5)
    np.testing.assert_allclose(
        ask(model).deterministic, 2 * before.deterministic, rtol=1e-5
    )
    calls = counts.calls
    model.fit(X, X[:, :2], verbose=0)
    fitted = counts.calls - calls
    found = ask(model).deterministic
    np.testing.assert_allclose(found, model(X), rtol=1e-5, atol=1e-6)
    assert counts.calls == 2 + fitted + 1  # the last is ours


@pytest.mark.parametrize("number", [float, np.float32])
def test_rates_that_change_count_at_once(number):
    drop = L.Dropout(number(0.5))
    model = keras.Sequential([keras.Input((1000,)), drop])
    x = np.ones((10, 1000), "float32")
    for rate in (0.5, 0.125, 0.875, 0.5):
        drop.rate = number(rate)
        samples = ask(model, x, return_samples=True).samples
        np.testing.assert_allclose((samples == 0).mean(), rate, atol=0.01)


def test_layers_that_come_and_go_count_at_once():
    model, _ = counting_model()
    before = ask(model)
    model.add(L.Rescaling(3.0))
    np.testing.assert_allclose(ask(model).mean, 3 * before.mean, rtol=1e-5)
    model.pop()
    np.testing.assert_allclose(ask(model).mean, before.mean, rtol=1e-5)
    model.add(L.Dropout(0.5))
    assert len(ask(model).stochastic_layers) == 2


def test_options_that_change_count_at_once():
    model, _ = counting_model()
    x = np.repeat(X[:1], 6, axis=0)
    assert len(np.unique(ask(model, x).mean[:, 0])) == 6
    same = ask(model, x, consistent_masks=True).mean[:, 0]
    assert len(np.unique(same)) == 1
    assert ask(model, quantiles=(0.1,)).quantile(0.1).shape == (40, 2)
    assert ask(model, thresholds=(0.1,)).prob_below(0.1).shape == (40, 2)
    assert len(np.unique(ask(model, x).mean[:, 0])) == 6


def sequential():
    return keras.Sequential(
        [keras.Input((4,)), L.Dense(4), L.Dropout(0.5), L.Dense(2)]
    )


def with_head():
    return keras.Sequential(
        [keras.Input((4,)), L.Dropout(0.5), kst.heads.NormalHead()]
    )


def functional():
    x = keras.Input((4,))
    return keras.Model(x, L.Dense(2)(L.Dropout(0.5)(x) + x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.drop, self.dense = L.Dropout(0.5), L.Dense(2)

    def call(self, x):
        return self.dense(self.drop(x))


def subclassed():
    model = Subclassed()
    model(X)
    return model


def part_of_another():
    """A model whose random layer also works after it, in another model."""
    drop = L.Dropout(0.5)
    model = keras.Sequential([keras.Input((4,)), L.Dense(4), drop])
    x = keras.Input((4,))
    keras.Model(x, drop(model(x)))
    return model


def released(references):
    gc.collect()  # the model, and with it what is kept for it
    gc.collect()  # and that
    return all(reference() is None for reference in references)


@pytest.mark.parametrize(
    "make", [sequential, with_head, functional, subclassed, part_of_another]
)
def test_all_is_released_with_the_model(make):
    model = make()
    ask(model, task="auto" if make is with_head else "regression")
    kst.predict_deterministic(model, X, verbose=0)
    references = [weakref.ref(layer) for layer in model._flatten_layers()]
    references += [weakref.ref(weight) for weight in model.weights]
    del model
    assert released(references)


def test_members_of_an_ensemble_are_released_one_by_one():
    first, second = sequential(), sequential()
    ask([first, second])
    reference = weakref.ref(second)
    weights = [weakref.ref(weight) for weight in second.weights]
    del second
    assert released([reference])
    assert released(weights)
    assert ask([first, sequential()]).num_samples == 16


@pytest.mark.slow
def test_memory_does_not_grow_from_call_to_call():
    model = sequential()
    x = np.ones((1000, 4), "float32")

    def used():
        gc.collect()
        return len(gc.get_objects()), resource.getrusage(
            resource.RUSAGE_SELF
        ).ru_maxrss

    for _ in range(10):
        ask(model, x)
        kst.predict_deterministic(model, x, verbose=0)
    objects, kilobytes = used()
    for _ in range(40):
        ask(model, x)
        kst.predict_deterministic(model, x, verbose=0)
    later_objects, later_kilobytes = used()
    assert later_objects - objects < 1000
    assert later_kilobytes - kilobytes < 20_000
