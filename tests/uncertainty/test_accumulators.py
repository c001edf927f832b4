"""Streaming equals what NumPy and SciPy make of all samples at once."""

import checks
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_seqtools import uncertainty
from keras_seqtools.heads import NormalHead
from keras_seqtools.heads import PoissonHead
from keras_seqtools.uncertainty._accumulators import ClassificationAccumulator
from keras_seqtools.uncertainty._accumulators import PointMass
from keras_seqtools.uncertainty._accumulators import RegressionAccumulator

SAMPLES = 40


@pytest.fixture(params=[(1, 1), (4, 1), (5, 2)], ids=str)
def stream(request):
    """Runs an accumulator: in chunks of some samples, over some members."""
    fold, members = request.param

    def run(accumulator, samples):
        samples = samples.astype("float32")
        states = []
        for member in np.split(samples, members):
            point, chunks = tf.constant(member[0]), len(member) // fold
            state = accumulator.start(point, chunks)
            for chunk in range(chunks):
                before = chunk * fold
                some = tf.constant(member[before : before + fold])
                state = accumulator.update(state, some, before, None)
            states.append(state)
        found = accumulator.finish(states, SAMPLES // members)
        return {name: np.asarray(value) for name, value in found.items()}

    return run


def softmax(logits):
    p = np.exp(logits)
    return p / p.sum(-1, keepdims=True)


@pytest.mark.parametrize("shape", [(6, 3), (6, 4, 3)])
@pytest.mark.parametrize("from_logits", [False, True])
def test_class_probabilities(stream, shape, from_logits):
    logits = 2 * checks.rng().normal(size=(SAMPLES, *shape))
    p = softmax(logits)
    accumulator = ClassificationAccumulator(from_logits=from_logits, keep=True)
    found = stream(accumulator, logits if from_logits else p)
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(found["mean"], p.mean(0), **close)
    np.testing.assert_allclose(found["variance"], p.var(0), **close)
    np.testing.assert_allclose(
        found["expected_entropy"], uncertainty.expected_entropy(p), **close
    )
    np.testing.assert_allclose(
        found["votes"].max(-1) / SAMPLES, uncertainty.vote_fraction(p), **close
    )
    np.testing.assert_allclose(np.moveaxis(found["samples"], 1, 0), p, **close)


def test_sigmoids_are_choices_between_two_classes(stream):
    p = checks.rng().random((SAMPLES, 6, 3))
    both = np.stack([1 - p, p], -1)
    found = stream(ClassificationAccumulator(per_label=True), p)
    np.testing.assert_allclose(found["mean"], both.mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        found["expected_entropy"],
        uncertainty.expected_entropy(both),
        rtol=1e-5,
    )


def normal_parameters(shape):
    rng = checks.rng()
    loc = rng.normal(size=(SAMPLES, *shape))
    return loc, 0.2 + rng.random((SAMPLES, *shape))


@pytest.mark.parametrize("shape", [(6, 2), (6, 3, 2)])
def test_mixture_of_normals(stream, shape):
    loc, scale = normal_parameters(shape)
    levels, thresholds = [0.05, 0.5, 0.9], [-1.0, 0.3]
    found = stream(
        RegressionAccumulator(
            NormalHead(units=2), levels, thresholds, keep=True
        ),
        np.concatenate([loc, scale], -1),
    )
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(found["mean"], loc.mean(0), **close)
    np.testing.assert_allclose(found["epistemic_variance"], loc.var(0), **close)
    np.testing.assert_allclose(
        found["aleatoric_variance"], (scale**2).mean(0), **close
    )

    def cdf(y):
        return stats.norm(loc, scale).cdf(y).mean(0)

    for i, level in enumerate(levels):
        np.testing.assert_allclose(
            cdf(found["quantiles"][:, i]), level, **close
        )
    for i, threshold in enumerate(thresholds):
        np.testing.assert_allclose(
            found["below"][:, i], cdf(threshold), **close
        )
        np.testing.assert_allclose(
            found["above"][:, i], 1 - cdf(threshold), **close
        )


def test_mixture_of_counts(stream):
    log_rate = checks.rng().normal(1.0, 0.5, (SAMPLES, 6, 1))
    law = stats.poisson(np.exp(log_rate.astype("float32").astype("float64")))
    levels = [0.01, 0.5, 0.99]
    found = stream(
        RegressionAccumulator(PoissonHead(), levels, [3.0]), log_rate
    )
    np.testing.assert_allclose(
        found["aleatoric_variance"], law.var().mean(0), rtol=1e-5
    )
    np.testing.assert_allclose(
        found["below"][:, 0], law.cdf(2).mean(0), rtol=1e-5
    )
    np.testing.assert_allclose(
        found["above"][:, 0], law.sf(3).mean(0), rtol=1e-5
    )
    for i, level in enumerate(levels):
        k = found["quantiles"][:, i]
        assert (law.cdf(k).mean(0) >= level).all()
        assert (law.cdf(k - 1).mean(0) < level).all()


def test_points_are_their_own_mixture(stream):
    y = checks.rng().normal(size=(SAMPLES, 6, 1))
    levels = [0.025, 0.1, 0.5, 0.95]
    found = stream(RegressionAccumulator(PointMass(), levels, [0.2]), y)
    for i, level in enumerate(levels):
        np.testing.assert_allclose(
            found["quantiles"][:, i],
            np.quantile(y, level, axis=0, method="inverted_cdf"),
            rtol=1e-6,
        )
    np.testing.assert_allclose(
        found["below"][:, 0], (y < 0.2).mean(0), rtol=1e-5
    )
    np.testing.assert_allclose(
        found["above"][:, 0], (y > 0.2).mean(0), rtol=1e-5
    )
    assert (found["aleatoric_variance"] == 0).all()


def test_small_spread_far_from_zero_keeps_its_digits(stream):
    y = 1000.0 + 1e-2 * checks.rng().normal(size=(SAMPLES, 6, 1))
    y = y.astype("float32")
    found = stream(RegressionAccumulator(PointMass()), y)
    np.testing.assert_allclose(
        found["epistemic_variance"], y.astype("float64").var(0), rtol=1e-2
    )
