"""Classes: a likelihood and a mode, and nothing that needs an order."""

import checks
import keras
import numpy as np
import pytest
from scipy import special
from scipy import stats
from sklearn import metrics

import keras_seqtools as kst
from keras_seqtools.heads import CategoricalHead
from keras_seqtools.losses import NegativeLogLikelihood

LOGITS = checks.rng().normal(0.0, 3.0, (20, 4)).astype("float32")
Y = checks.rng(1).integers(0, 4, 20)


def test_log_prob_and_mode():
    head = CategoricalHead(4)
    expected = special.log_softmax(LOGITS.astype("float64"), -1)[range(20), Y]
    np.testing.assert_allclose(
        head.log_prob(Y, LOGITS)[:, 0], expected, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(head.mode(LOGITS)[:, 0], LOGITS.argmax(-1))


def test_loss_is_that_of_keras():
    y = Y.reshape(4, 5)
    logits = LOGITS.reshape(4, 5, 4)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(
        NegativeLogLikelihood(CategoricalHead(4))(y, logits),
        crossentropy(y, logits),
        rtol=1e-6,
    )


def test_draws_have_the_probabilities():
    draws = np.asarray(CategoricalHead(4).sample(LOGITS, 5000, seed=3))
    assert draws.shape == (5000, 20, 1)
    for row, p in enumerate(special.softmax(LOGITS.astype("float64"), -1)):
        seen = np.bincount(draws[:, row, 0].astype(int), minlength=4)
        is_rare = 5000 * p < 5.0
        seen = np.append(seen[~is_rare], seen[is_rare].sum())
        p = np.append(p[~is_rare], p[is_rare].sum())
        if p[-1] * 5000 < 5.0:
            seen = np.append(seen[:-2], seen[-2:].sum())
            p = np.append(p[:-2], p[-2:].sum())
        if len(p) > 1:
            assert stats.chisquare(seen, 5000 * p).pvalue > 1e-4


def test_adapt_finds_the_frequencies():
    y = np.repeat([0.0, 1.0, 2.0, 3.0], [500, 300, 150, 50])
    head = CategoricalHead(4)
    head.build((None, 3))
    head.adapt(y)
    p = special.softmax(np.asarray(head(np.zeros((1, 3))))[0])
    # Half a case more of each: none is impossible that was not seen.
    expected = (np.array([500, 300, 150, 50]) + 0.5) / 1002
    np.testing.assert_allclose(p, expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [-1, 4, 0.5])
def test_targets_that_are_no_class(bad):
    head, y = CategoricalHead(4), np.array([0.0, bad])
    assert np.isnan(head.log_prob(y, LOGITS[:2])[1, 0])
    with pytest.raises(ValueError, match=r"from 0 to 3.*y\[1\] = "):
        head.validate(y)


def test_refusals():
    with pytest.raises(ValueError, match="one target, not several"):
        CategoricalHead(3, units=2)
    with pytest.raises(ValueError, match="at least 2"):
        CategoricalHead(1)
    with pytest.raises(ValueError, match=r"`num_classes`"):
        CategoricalHead(2.5)


def test_uncertainty_is_that_of_a_softmax_with_the_same_weights():
    def model_ending_in(*last):
        return keras.Sequential(
            [keras.Input((4,)), kst.layers.MCDropout(0.3), *last]
        )

    model = model_ending_in(CategoricalHead(3))
    dense = model_ending_in(keras.layers.Dense(3, "softmax"))
    dense.layers[-1].set_weights(model.layers[-1].get_weights()[:2])
    options = {"num_samples": 10, "seed": 1, "verbose": 0}
    found = kst.predict_uncertainty(model, LOGITS, **options)
    expected = kst.predict_uncertainty(dense, LOGITS, **options)
    np.testing.assert_allclose(
        found.probabilities, expected.probabilities, rtol=1e-5
    )
    np.testing.assert_allclose(
        found.mutual_information, expected.mutual_information, atol=1e-5
    )
    y = Y % 3
    scores = kst.evaluate_uncertainty(model, LOGITS, y, **options)
    assert abs(scores["nll"] - metrics.log_loss(y, found.probabilities)) < 1e-5
