"""The predictive mixture of every family, against its draws and SciPy."""

import functools

import checks
import families
import keras
import numpy as np
import pytest
from scipy import special

import keras_seqtools as kst

X = checks.rng().normal(size=(5, 4)).astype("float32")
PASSES, DRAWS = 20, 5_000  # 100,000 of the mixture
OPTIONS = {"num_samples": PASSES, "seed": 1, "verbose": 0}


@functools.cache
def model_of(case):
    """Small, random, and with tails that have a fourth moment."""
    head = case.make(kernel_initializer="glorot_normal")
    model = keras.Sequential(
        [keras.Input((4,)), kst.layers.MCDropout(0.3), head]
    )
    tails = {"StudentTHead": [8.0, 0.0, 0.0], "WeibullHead": [3.0, 0.0]}
    if case.name in tails:
        head.bias.assign(tails[case.name])
    return model


@functools.cache
def draws_of(case):
    """What is predicted, with each pass, and draws `(DRAWS, passes, ...)`."""
    thresholds = (0.5, 2.0)
    u = kst.predict_uncertainty(
        model_of(case),
        X,
        quantiles=(0.1, 0.8),
        levels=(0.9,),
        thresholds=thresholds,
        return_samples=True,
        **OPTIONS,
    )
    draws = np.asarray(case.make().sample(u.samples, DRAWS, seed=7), "float64")
    return u, draws


@families.EVERY_LAW
def test_moments_are_those_of_the_mixture(case):
    """The law of total variance, without assuming it."""
    u, draws = draws_of(case)
    draws = draws.reshape(-1, 5, 1)
    mean, variance = draws.mean(0), draws.var(0)
    error = np.sqrt(variance / len(draws))
    assert (np.abs(u.mean - mean) < 5 * error + 1e-5).all()
    fourth = ((draws - mean) ** 4).mean(0)
    error = np.sqrt((fourth - variance**2) / len(draws))
    assert (np.abs(u.variance - variance) < 5 * error + 1e-5).all()
    assert (u.epistemic_variance > 0.0).all()  # or nothing was mixed
    np.testing.assert_allclose(
        u.variance, u.epistemic_variance + u.aleatoric_variance
    )


@families.EVERY_LAW
def test_parts_of_the_variance_are_those_of_the_passes(case):
    u, _ = draws_of(case)
    law = case.law(u.samples)
    close = {"rtol": 1e-3, "atol": 1e-5}
    np.testing.assert_allclose(u.mean, law.mean().mean(0), **close)
    np.testing.assert_allclose(u.epistemic_variance, law.mean().var(0), **close)
    np.testing.assert_allclose(u.aleatoric_variance, law.var().mean(0), **close)


@families.EVERY_LAW
def test_quantiles_and_thresholds_are_those_of_the_mixture(case):
    u, draws = draws_of(case)
    draws = draws.reshape(-1, 5, 1)
    law = case.law(u.samples)
    for q in (0.1, 0.8):
        y = u.quantile(q)
        error = 5 * np.sqrt(q * (1 - q) / len(draws))
        assert ((draws <= y).mean(0) > q - error).all()
        assert ((draws < y).mean(0) < q + error).all()
    for threshold in (0.5, 2.0):
        for found, share in (
            (u.prob_below(threshold), (draws < threshold).mean(0)),
            (u.prob_above(threshold), (draws > threshold).mean(0)),
        ):
            error = 5 * np.sqrt(share * (1 - share) / len(draws)) + 1e-4
            assert (np.abs(found - share) < error).all()
        np.testing.assert_allclose(
            u.prob_above(threshold), law.sf(threshold).mean(0), atol=1e-6
        )


@families.EVERY_LAW
def test_scores(case):
    """The likelihood is that of the mixture: the mean over the passes."""
    y = np.asarray(draws_of(case)[1][0, 0], "float32")
    scores = kst.evaluate_uncertainty(model_of(case), X, y, **OPTIONS)
    assert set(scores) == {
        "nll",
        "crps",
        "rmse",
        "pit_distance",
        "coverage_50",
        "coverage_90",
    }
    assert np.isfinite(list(scores.values())).all()
    u, _ = draws_of(case)
    log_density = case.log_density(y.astype("float64"), u.samples)
    nll = np.log(PASSES) - special.logsumexp(log_density, axis=0)
    np.testing.assert_allclose(scores["nll"], nll.mean(), rtol=1e-4, atol=1e-5)
    low, high = u.interval(0.9)
    inside = ((low <= y) & (y <= high)).mean()
    np.testing.assert_allclose(scores["coverage_90"], inside)
    rmse = np.sqrt(((y - u.mean) ** 2).mean())
    np.testing.assert_allclose(scores["rmse"], rmse, rtol=1e-5)
    rows = kst.evaluate_uncertainty(
        model_of(case), X, y, per_row=True, **OPTIONS
    )
    law = case.law(u.samples)
    below = law.cdf(y - 1.0) if case.make().discrete else law.cdf(y)
    pit = (law.cdf(y) + below).mean(0) / 2.0
    np.testing.assert_allclose(rows["pit"], pit[:, 0], rtol=1e-3, atol=1e-5)


def test_several_targets_together():
    """Of a joint family the likelihood is one, the rest that of each unit."""
    head = kst.heads.MultivariateNormalHead(units=2)
    model = keras.Sequential(
        [keras.Input((4,)), kst.layers.MCDropout(0.3), head]
    )
    u = kst.predict_uncertainty(model, X, return_samples=True, **OPTIONS)
    assert u.mean.shape == (5, 2)
    draws = np.asarray(head.sample(u.samples, DRAWS, seed=7), "float64")
    y = draws[0, 0]
    draws = draws.reshape(-1, 5, 2)
    error = np.sqrt(draws.var(0) / len(draws))
    assert (np.abs(u.mean - draws.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(u.variance, draws.var(0), rtol=0.05)
    scores = kst.evaluate_uncertainty(model, X, y, **OPTIONS)
    loc, tril = np.split(u.samples.astype("float64"), [2], axis=-1)
    tril = tril.reshape(PASSES, 5, 2, 2)
    z = np.linalg.solve(tril, (y.astype("float32") - loc)[..., None])[..., 0]
    log_det = np.log(np.diagonal(tril, axis1=-2, axis2=-1)).sum(-1)
    log_density = -0.5 * (z**2).sum(-1) - log_det - np.log(2 * np.pi)
    nll = np.log(PASSES) - special.logsumexp(log_density, axis=0)
    np.testing.assert_allclose(scores["nll"], nll.mean(), rtol=1e-5)


def test_classes():
    model = model_of(families.CATEGORICAL)
    y = np.array([0, 1, 2, 1, 0])
    u = kst.predict_uncertainty(model, X, return_samples=True, **OPTIONS)
    scores = kst.evaluate_uncertainty(model, X, y, **OPTIONS)
    assert set(scores) == {"nll", "accuracy", "brier", "ece"}
    assert np.isfinite(list(scores.values())).all()
    p = u.samples.astype("float64").mean(0)[range(5), y]
    np.testing.assert_allclose(scores["nll"], -np.log(p).mean(), rtol=1e-5)
    with pytest.raises(ValueError, match="ends in a `CategoricalHead`"):
        kst.predict_uncertainty(model, X, task="regression", **OPTIONS)


def test_a_model_of_sequences_of_classes_is_a_classifier():
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ]
    )
    model.compile(loss=kst.losses.SequenceCrossentropy(from_logits=True))
    u = kst.predict_uncertainty(
        model, np.ones((2, 5, 4)), from_logits=True, **OPTIONS
    )
    np.testing.assert_allclose(u.probabilities.sum(-1), 1.0, rtol=1e-5)
