"""Batch by batch: out of core, and what came is not lost."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seqtools as kst

L = keras.layers
X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
QUIET = {"num_samples": 8, "seed": 1, "verbose": 0}


def make_model():
    return keras.Sequential(
        [keras.Input((4,)), L.Dropout(0.3), kst.heads.NormalHead()]
    )


def test_the_whole_is_the_parts_one_after_another():
    model = make_model()
    options = {"levels": (0.9,), "return_samples": True, **QUIET}
    parts = list(kst.iter_uncertainty(model, X, batch_size=8, **options))
    whole = kst.predict_uncertainty(model, X, batch_size=8, **options)
    np.testing.assert_array_equal(
        whole.mean, np.concatenate([part.mean for part in parts])
    )
    np.testing.assert_array_equal(
        whole.samples, np.concatenate([part.samples for part in parts], axis=1)
    )
    np.testing.assert_array_equal(
        whole.interval(0.9)[1],
        np.concatenate([part.interval(0.9)[1] for part in parts]),
    )


def test_reads_no_more_than_it_is_asked_for():
    read = []

    def rows():
        for number in range(10**9):
            read.append(number)
            yield X[:2]

    endless = tf.data.Dataset.from_generator(
        rows, output_signature=tf.TensorSpec((None, 4))
    )
    batches = kst.iter_uncertainty(make_model(), endless, **QUIET)
    first = [next(batches) for _ in range(3)]
    batches.close()
    assert [len(u) for u in first] == [2, 2, 2]
    assert len(read) < 1000


def test_what_was_yielded_before_an_error_is_kept():
    def rows():
        yield X[:2]
        yield X[2:4]
        raise RuntimeError("the disk is full")

    dataset = tf.data.Dataset.from_generator(
        rows, output_signature=tf.TensorSpec((None, 4))
    )
    model = make_model()
    batches = kst.iter_uncertainty(model, dataset, **QUIET)
    kept = [next(batches), next(batches)]
    with pytest.raises(tf.errors.OpError, match="disk is full"):
        next(batches)
    expected = kst.predict_uncertainty(model, X[:4], **QUIET)
    np.testing.assert_allclose(
        np.concatenate([u.mean for u in kept]), expected.mean, rtol=1e-5
    )
    assert len(model.predict(X, verbose=0)) == 20


def test_errors_come_at_the_call():
    with pytest.raises(ValueError, match="`levels`"):
        kst.iter_uncertainty(make_model(), X, levels=(90,))


def test_stopping_keeps_the_batch_that_was_done():
    class Stop(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            self.model.stop_predicting = batch == 1

    model = make_model()
    parts = list(
        kst.iter_uncertainty(
            model, X, batch_size=6, callbacks=[Stop()], **QUIET
        )
    )
    assert [len(part) for part in parts] == [6, 6]
    assert len(model.predict(X, verbose=0)) == 20
