"""The Brier score and its parts, against scikit-learn and their definitions."""

import dataclasses

import checks
import numpy as np
import pytest
from scipy.special import expit
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from keras_seqtools import metrics


def make_sequences(batch=30, time=4, classes=3):
    logits = 2 * checks.rng(1).normal(size=(batch, time, classes))
    y = checks.rng(2).integers(0, classes, (batch, time))
    return y, softmax(logits, axis=-1)


def streamed(y, p, **kwargs):
    weight = kwargs.pop("sample_weight", None)
    return checks.stream(metrics.BrierScore(**kwargs), y, p, weight, size=7)


both = pytest.mark.parametrize("brier", [metrics.brier_score, streamed])


@both
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(brier, weighted):
    y, p = make_sequences(time=1)
    y, p = y[:, 0], p[:, 0]
    weight = checks.rng(3).random(30) if weighted else None
    kwargs = {"sample_weight": weight} if weighted else {}
    for labels in (y, y[:, None], np.eye(3)[y]):
        np.testing.assert_allclose(
            brier(labels, p, **kwargs),
            brier_score_loss(y, p, sample_weight=weight, scale_by_half=False),
            rtol=1e-12,
        )
    for q in (p[:, 1], p[:, 1:2]):
        np.testing.assert_allclose(
            brier(y == 1, q, **kwargs),
            brier_score_loss(y == 1, p[:, 1], sample_weight=weight),
            rtol=1e-12,
        )


@both
def test_what_weighs_nothing_may_hold_anything(brier):
    y, p = make_sequences()
    weight = checks.rng(3).integers(0, 3, y.shape)
    rows = np.repeat(y.ravel(), weight.ravel())
    probs = np.repeat(p.reshape(-1, 3), weight.ravel(), 0)
    y[weight == 0], p[weight == 0] = -1, np.nan
    np.testing.assert_allclose(
        brier(y, p, sample_weight=weight), brier(rows, probs), rtol=1e-12
    )


@both
def test_logits(brier):
    y, p = make_sequences()
    np.testing.assert_allclose(
        brier(y, np.log(p) + 5.0, from_logits=True), brier(y, p), rtol=1e-9
    )
    z = np.log(p[..., :1])
    np.testing.assert_allclose(
        brier(y == 1, z, from_logits=True), brier(y == 1, expit(z)), rtol=1e-9
    )


@both
def test_range(brier):
    certain = np.eye(2)
    assert brier([0, 1], certain) == 0.0
    assert brier([1, 0], certain) == 2.0
    assert brier([1, 0], [0.0, 1.0]) == 1.0


def test_nothing():
    assert np.isnan(metrics.brier_score([], []))
    assert float(metrics.BrierScore().result()) == 0.0
    for method in ("binned", "corp"):
        parts = metrics.brier_decomposition([], [], method=method)
        assert np.isnan(dataclasses.astuple(parts)).all()


@pytest.mark.parametrize("bad", [np.nan, 1.1])
def test_what_must_not_be_averaged_away(bad):
    y, p = make_sequences()
    p[1, 2, 0] = bad
    assert np.isnan(streamed(y, p))
    with pytest.raises(ValueError, match="that count must be probabilities"):
        metrics.brier_score(y, p)


def test_contract(tmp_path):
    y, p = make_sequences(batch=8)
    checks.check_metric(
        metrics.BrierScore,
        y,
        p.astype("float32"),
        tmp_path,
        "sparse_categorical_crossentropy",
    )


def test_states_are_merged():
    y, p = make_sequences()
    one, two = metrics.BrierScore(), metrics.BrierScore()
    one.update_state(y[:10], p[:10])
    two.update_state(y[10:], p[10:])
    one.merge_state([two])
    np.testing.assert_allclose(
        float(one.result()), metrics.brier_score(y, p), rtol=1e-12
    )
    with pytest.raises(ValueError, match="can be merged"):
        one.merge_state([metrics.BrierScore(from_logits=True)])


@pytest.mark.parametrize("method", ["binned", "corp"])
@pytest.mark.parametrize("num_bins", [1, 10])
@pytest.mark.parametrize("binary", [False, True])
def test_the_parts_add_up_to_the_score(method, num_bins, binary):
    y, p = make_sequences()
    if binary:
        y, p = y == 1, p[..., 1:2]
    weight = checks.rng(3).random(y.shape)
    parts = metrics.brier_decomposition(
        y, p, method=method, num_bins=num_bins, sample_weight=weight
    )
    score = metrics.brier_score(y, p, sample_weight=weight)
    np.testing.assert_allclose(parts.score, score, rtol=1e-12)
    np.testing.assert_allclose(
        parts.reliability
        - parts.resolution
        + parts.uncertainty
        + parts.within_bin_variance
        - 2.0 * parts.within_bin_covariance,
        score,
        rtol=1e-12,
    )


def test_binned_parts_as_defined():
    p = checks.rng(1).random(200)
    y = checks.rng(2).random(200) < p**2
    parts = metrics.brier_decomposition(y, p, num_bins=8)
    bins = np.minimum((p * 8).astype(int), 7)
    groups = [(p[bins == b], y[bins == b]) for b in range(8)]
    expected = {
        "reliability": [(q.mean() - h.mean()) ** 2 for q, h in groups],
        "resolution": [(h.mean() - y.mean()) ** 2 for _, h in groups],
        "uncertainty": [y.var() for _ in groups],
        "within_bin_variance": [q.var() for q, _ in groups],
        "within_bin_covariance": [
            np.cov(q, h, ddof=0)[0, 1] for q, h in groups
        ],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(
            getattr(parts, name),
            np.average(values, weights=np.bincount(bins)),
            rtol=1e-10,
        )


def test_corp_parts_as_defined():
    p = np.round(checks.rng(1).random(200), 2)
    y = (checks.rng(2).random(200) < p**2).astype(float)
    parts = metrics.brier_decomposition(y, p, method="corp")
    best = IsotonicRegression().fit(p, y).predict(p)
    score = ((p - y) ** 2).mean() - ((best - y) ** 2).mean()
    np.testing.assert_allclose(parts.reliability, score, rtol=1e-10)
    np.testing.assert_allclose(parts.uncertainty, y.var(), rtol=1e-12)
    np.testing.assert_allclose(
        parts.resolution, y.var() - ((best - y) ** 2).mean(), rtol=1e-10
    )


@pytest.mark.parametrize("method", ["binned", "corp"])
def test_classes_are_added_up(method):
    y, p = make_sequences()
    y[y == 2] = 0  # a class that never comes
    parts = metrics.brier_decomposition(y, p, method=method)
    each = [
        metrics.brier_decomposition(y == k, p[..., k : k + 1], method=method)
        for k in range(3)
    ]
    np.testing.assert_allclose(
        dataclasses.astuple(parts),
        np.sum([dataclasses.astuple(one) for one in each], axis=0),
        rtol=1e-10,
        atol=1e-14,
    )


def test_refuses_an_unknown_method():
    with pytest.raises(ValueError, match=r"`method`.*Received: method='pav'"):
        metrics.brier_decomposition([0, 1], [0.1, 0.9], method="pav")
