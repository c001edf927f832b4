"""How many rows and passes at a time, for models that differ in what counts."""

import keras
import kinds
import numpy as np
import pytest

import keras_seqtools as kst
from keras_seqtools.uncertainty._plan import make_plan
from keras_seqtools.uncertainty._stochastic_layers import random_layers

L = keras.layers


def plan_of(*models, num_samples=100, batch_size=None, jit_compile=False):
    randoms = [random_layers(model) for model in models]
    return make_plan(models, randoms, num_samples, batch_size, jit_compile)


def dense(units=8, *layers):
    return keras.Sequential(
        [keras.Input((4,)), L.Dense(units), *(layers or [L.Dropout(0.5)])]
    )


def test_small_models_run_many_rows_and_passes_at_a_time():
    plan = plan_of(dense())
    assert plan.batch_size == 256
    assert plan.fold > 1
    assert plan.split
    assert not plan.pad


@pytest.mark.parametrize("num_samples", [1, 2, 7, 12, 17, 100, 101])
def test_passes_at_a_time_divide_the_samples(num_samples):
    fold = plan_of(dense(), num_samples=num_samples).fold
    assert num_samples % fold == 0
    assert 1 <= fold <= 16
    better = [d for d in range(fold + 1, 17) if num_samples % d == 0]
    assert better == []


def test_batch_size_of_the_user_is_kept():
    for size in (1, 7, 1000, 10**6):
        plan = plan_of(dense(), batch_size=size)
        assert plan.batch_size == size
        # As many numbers at a time, however they are divided.
        assert plan.fold * size <= max(size, 2**18 // 8)
    with pytest.raises(ValueError, match="`batch_size`"):
        plan_of(dense(), batch_size=0)


def test_large_layers_run_fewer_rows():
    wide = plan_of(dense(2**14))
    assert wide.batch_size == 32
    assert wide.fold == 1
    x = keras.Input((512, 512, 3))
    h = L.GlobalAveragePooling2D()(L.Conv2D(64, 3)(x))
    image = plan_of(keras.Model(x, L.Dense(3)(L.Dropout(0.5)(h))))
    # What is computed once is held in memory once: 64 MiB of it.
    assert image.batch_size == 2**24 // (510 * 510 * 64)


def test_the_largest_member_of_an_ensemble_counts():
    assert plan_of(dense(), dense(2**14)) == plan_of(dense(2**14))


def test_batch_sizes_that_a_model_insists_on():
    fixed = keras.Sequential([keras.Input(batch_shape=(6, 4)), L.Dropout(0.5)])
    stateful = keras.Sequential(
        [
            keras.Input(batch_shape=(6, 5, 4)),
            L.GRU(3, stateful=True, dropout=0.5),
        ]
    )
    tied = keras.Sequential(
        [keras.Input((5, 4)), L.Dropout(0.5, noise_shape=(6, 1, 4))]
    )
    for model in (fixed, stateful, tied):
        plan = plan_of(model, batch_size=100)
        assert plan.batch_size == 6
        assert (plan.fold, plan.split, plan.pad) == (1, False, True)
        shape = (15, *model.input_shape[1:])
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        u = kst.predict_uncertainty(model, x, task="regression", verbose=0)
        assert len(u) == 15
        expected = np.concatenate(
            [
                kst.predict_deterministic(model, part, verbose=0)
                for part in (x[:6], x[6:12], x[12:])
            ]
        )
        np.testing.assert_allclose(u.deterministic, expected, rtol=1e-5)


def test_masks_that_rows_share_insist_on_nothing():
    assert plan_of(kinds.KINDS["Dropout shared by rows"].bare()).split


def test_xla_needs_batches_of_one_size():
    assert plan_of(dense(), jit_compile=True).pad


def test_of_a_model_without_a_graph_little_is_known():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop = L.Dropout(0.5)

        def call(self, x):
            return self.drop(x)

    model = Subclassed()
    model(np.ones((1, 4)))
    plan = plan_of(model)
    assert (plan.batch_size, plan.fold) == (64, 1)


@pytest.mark.parametrize("name", ["custom layer", "always on"])
def test_passes_of_unknown_layers_do_not_share_a_call(name):
    """A layer of the user may draw once for all rows it is given."""
    assert plan_of(kinds.KINDS[name].bare()).fold == 1


def test_nothing_random_is_one_pass():
    model = keras.Sequential([keras.Input((4,)), kst.heads.NormalHead()])
    assert plan_of(model, num_samples=1).fold == 1
