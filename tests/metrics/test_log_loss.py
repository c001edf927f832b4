"""Log loss, against scikit-learn and SciPy."""

import checks
import numpy as np
import pytest
from scipy.special import expit
from scipy.special import log_expit
from scipy.special import log_softmax
from scipy.special import softmax
from sklearn import metrics as peer

from keras_seqtools.metrics import log_loss


def make_logits(size=50, classes=4):
    logits = 2 * checks.rng(1).normal(size=(size, classes))
    return checks.rng(2).integers(0, classes, size), logits


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(weighted):
    y, z = make_logits()
    p = softmax(z, axis=-1)
    weight = checks.rng(3).random(50) if weighted else None
    expected = peer.log_loss(y, p, labels=range(4), sample_weight=weight)
    for labels in (y, y[:, None], np.eye(4)[y]):
        for values, from_logits in ((p, False), (z + 7.0, True)):
            loss = log_loss(
                labels, values, from_logits=from_logits, sample_weight=weight
            )
            np.testing.assert_allclose(loss, expected, rtol=1e-12)
    p = expit(z[:, 0])
    expected = peer.log_loss(y > 1, p, sample_weight=weight)
    for values, from_logits in ((p, False), (z[:, :1], True)):
        loss = log_loss(
            y > 1, values, from_logits=from_logits, sample_weight=weight
        )
        np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_large_logits_stay_exact():
    z, y = np.array([-1e4, -800.0, 40.0, 800.0]), np.array([0, 1, 1, 0])
    expected = -np.where(y, log_expit(z), log_expit(-z)).mean()
    loss = log_loss(y, z, from_logits=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    z = np.array([[1e4, -1e4, 0.0], [0.0, 800.0, -800.0]])
    expected = -log_softmax(z, axis=-1)[[0, 1], [2, 0]].mean()
    loss = log_loss([2, 0], z, from_logits=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_what_was_called_impossible_and_came():
    assert log_loss([1, 0], [0.0, 0.5]) == np.inf
    assert log_loss([0, 0], [1.0, 0.5]) == np.inf
    assert log_loss([0], [[0.0, 1.0]]) == np.inf
    assert log_loss([0], [[-np.inf, 0.0]], from_logits=True) == np.inf
    assert log_loss([1, 0], [1.0, 0.0]) == 0.0
    assert log_loss([1, 0], [np.inf, -np.inf], from_logits=True) == 0.0


def test_masked_steps_may_hold_garbage():
    y, z = make_logits(60)
    y, p = y.reshape(12, 5), softmax(z, -1).reshape(12, 5, 4)
    mask = checks.rng(3).random((12, 5)) < 0.6
    expected = log_loss(y[mask], p[mask])
    y[~mask], p[~mask] = -1, np.nan
    np.testing.assert_allclose(log_loss(y, p, mask=mask), expected, rtol=1e-12)
    np.testing.assert_allclose(
        log_loss(y, p, sample_weight=mask), expected, rtol=1e-12
    )


def test_nothing():
    assert np.isnan(log_loss([], []))
    assert np.isnan(log_loss([1], [0.5], mask=[False]))


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_refuses_what_is_no_number_or_no_label(from_logits, classes):
    p = np.full((4, classes), 1.0 / max(classes, 2))
    for label in (-1, max(classes, 2), 0.5):
        with pytest.raises(ValueError, match="Labels that count"):
            log_loss(np.array([0, 1, 0, label]), p, from_logits=from_logits)
    p[2, 0] = np.nan
    with pytest.raises(ValueError, match="Predictions that count"):
        log_loss([0, 1, 0, 0], p, from_logits=from_logits)
