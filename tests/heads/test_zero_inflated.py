"""Zeros have the probability that the parameters say, not TFP's."""

import numpy as np
import pytest
from scipy import special
from scipy import stats
from tensorflow_probability import distributions as tfd

from keras_seqtools import heads

LOGITS = np.array([-2.0, 0.0, 1.5], "float32")
Y_PRED = np.stack([LOGITS, np.log([3.0, 2.0, 40.0])], -1).astype("float32")


def test_tfp_still_doubles_a_logit_of_inflation():
    """If this fails, TFP is mended: `zero_inflated.py` may pass it logits."""
    counts = tfd.Poisson(np.full(3, 1e6, "float32"))  # of which none is 0
    law = tfd.Inflated(counts, inflated_loc_logits=LOGITS)
    np.testing.assert_allclose(
        law.prob(0.0), special.expit(2.0 * LOGITS), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (heads.ZeroInflatedPoissonHead(), []),
        (heads.ZeroInflatedNegativeBinomialHead(), [0.5]),
    ],
)
def test_ours_does_not(head, more):
    """Where the counts themselves have no zeros, and where they have."""
    y_pred = np.insert(Y_PRED, 2, np.log(1e4), axis=-1)[:, [0, 2]]
    y_pred = np.hstack([y_pred, np.full((3, len(more)), 1e-6, "float32")])
    np.testing.assert_allclose(
        np.exp(head.log_prob(np.zeros((3, 1)), y_pred))[:, 0],
        special.expit(LOGITS),
        rtol=1e-5,
    )
    y_pred = np.hstack([Y_PRED, np.tile(np.float32(more), (3, 1))])
    for y in (0.0, 1.0, 7.0):
        y = np.full((3, 1), y)
        np.testing.assert_allclose(
            head.log_prob(y, y_pred),
            head.distribution(y_pred).log_prob(y.astype("float32")),
            rtol=1e-4,
        )


def test_probability_of_a_zero_by_hand():
    head = heads.ZeroInflatedPoissonHead()
    zero = special.expit(LOGITS.astype("float64"))
    counted = (1.0 - zero) * stats.poisson.pmf(0, np.exp(Y_PRED[:, 1]))
    for found in (
        np.exp(head.log_prob(np.zeros((3, 1)), Y_PRED)),
        head.cdf(np.zeros((3, 1)), Y_PRED),
        head.prob_below(Y_PRED, 1.0),
    ):
        np.testing.assert_allclose(np.ravel(found), zero + counted, rtol=1e-5)
