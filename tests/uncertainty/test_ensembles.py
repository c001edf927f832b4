"""Several models as one: members weigh the same, and passes within."""

import keras
import numpy as np
import pytest
from scipy import stats

import keras_seqtools as kst

L = keras.layers
X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
QUIET = {"seed": 1, "verbose": 0}


def member(*layers, rate=0.3):
    return keras.Sequential(
        [keras.Input((4,)), L.Dense(8, "relu"), L.Dropout(rate), *layers]
    )


def test_three_deterministic_models_are_a_deep_ensemble():
    models = [member(L.Dense(1), rate=0.0) for _ in range(3)]
    points = np.stack([model.predict(X, verbose=0) for model in models])
    u = kst.predict_uncertainty(models, X, **QUIET)
    np.testing.assert_allclose(u.mean, points.mean(0), rtol=1e-5)
    np.testing.assert_allclose(u.epistemic_std, points.std(0), rtol=1e-4)
    np.testing.assert_allclose(u.deterministic, points.mean(0), rtol=1e-5)
    assert u.num_samples == 3
    assert (u.mcse == 0).all()  # the members are no matter of chance
    assert u.stochastic_layers == {}


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.3, 0.0), (0.0, 0.0)])
def test_variance_is_that_of_draws_from_the_mixture(rates):
    models = [member(kst.heads.NormalHead(), rate=rate) for rate in rates]
    u = kst.predict_uncertainty(
        models,
        X,
        num_samples=50,
        return_samples=True,
        levels=(0.9,),
        thresholds=(0.3,),
        **QUIET,
    )
    passes = 50 if any(rates) else 1
    assert u.num_samples == 2 * passes
    assert u.samples.shape == (2 * passes, 12, 2)
    loc, scale = u.samples[..., 0], u.samples[..., 1]
    rng = np.random.default_rng(1)
    which = rng.integers(2 * passes, size=(100_000, 1))
    rows = np.arange(12)
    draws = rng.normal(loc[which, rows], scale[which, rows])
    np.testing.assert_allclose(u.variance[:, 0], draws.var(0), rtol=0.03)
    error = 5 * draws.std(0) / np.sqrt(100_000)
    assert (np.abs(u.mean[:, 0] - draws.mean(0)) < error).all()
    for end, level in zip(u.interval(0.9), (0.05, 0.95), strict=True):
        cdf = stats.norm.cdf(end[:, 0], loc, scale).mean(0)
        np.testing.assert_allclose(cdf, level, atol=1e-5)
    below = stats.norm.cdf(0.3, loc, scale).mean(0)
    np.testing.assert_allclose(u.prob_below(0.3)[:, 0], below, rtol=1e-4)


def test_members_have_noise_of_their_own():
    model = member(L.Dense(1))
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    u = kst.predict_uncertainty(
        [model, twin], X, num_samples=40, return_samples=True, **QUIET
    )
    assert [name[:2] for name in u.stochastic_layers] == ["0/", "1/"]
    first, second = u.samples[:40, :, 0], u.samples[40:, :, 0]
    within = first - first.mean(0), second - second.mean(0)
    r = np.corrcoef(within[0].ravel(), within[1].ravel())[0, 1]
    assert abs(r) < 5 / np.sqrt(40 * 12)


def test_standard_error_is_that_of_the_passes():
    """Of 200 runs of 2 members with 20 passes each."""
    models = [member(L.Dense(1)) for _ in range(2)]
    means, claimed = [], []
    for seed in range(200):
        u = kst.predict_uncertainty(
            models, X, num_samples=20, seed=seed, verbose=0
        )
        means.append(u.mean)
        claimed.append(u.mcse**2)
    spread = np.std(means, axis=0)
    # One standard error of a standard deviation of 200 is 5 %.
    np.testing.assert_allclose(np.sqrt(np.mean(claimed, 0)), spread, rtol=0.25)


def test_classifiers_pool_probabilities_and_votes():
    models = [member(L.Dense(3, "softmax")), member(L.Dense(3, "softmax"))]
    u = kst.predict_uncertainty(
        models, X, num_samples=30, return_samples=True, **QUIET
    )
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(u.probabilities, u.samples.mean(0), **close)
    for name in ("total_std", "mutual_information", "vote_fraction"):
        np.testing.assert_allclose(
            getattr(u, name), getattr(kst.uncertainty, name)(u.samples), **close
        )
    np.testing.assert_array_equal(u.votes.sum(-1), 60)


def test_members_of_different_kinds_are_refused():
    models = [member(kst.heads.NormalHead()), member(L.Dense(1))]
    with pytest.raises(ValueError, match=r"one kind.*NormalHead.*PointMass"):
        kst.predict_uncertainty(models, X)
    with pytest.raises(ValueError, match="Received: none"):
        kst.predict_uncertainty([], X)
    with pytest.raises(TypeError, match=r"keras\.Model"):
        kst.predict_uncertainty([models[0], "model"], X)
