"""CRPS of samples against published values, all pairs and closed forms."""

import tracemalloc

import checks
import numpy as np
import pytest
from scipy import stats

from keras_seqtools.metrics import crps_samples


def crps_of_pairs(y, samples, fair):
    """The definition, one pair after the other."""
    m = len(samples)
    pairs = sum(abs(a - b) for a in samples for b in samples)
    return sum(abs(a - y) for a in samples) / m - pairs / (2 * m * (m - fair))


def crps_normal(y, loc, scale):
    z = (y - loc) / scale
    density, below = stats.norm.pdf(z), stats.norm.cdf(z)
    return scale * (z * (2 * below - 1) + 2 * density - 1 / np.sqrt(np.pi))


@pytest.mark.parametrize(
    ("case", "fair"),
    [
        ("crps_ens_nrg", False),
        ("crps_ens_int", False),
        ("crps_ens_properscoring", False),
        ("crps_ens_pwm", True),
    ],
)
def test_equals_published_values(published, case, fair):
    inputs, value, rtol = published(case)
    scores = crps_samples(inputs["y"], inputs["ens"].T, fair=fair)
    np.testing.assert_allclose(scores.mean(), value, rtol=rtol)


@pytest.mark.parametrize("fair", [True, False])
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 3, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_equals_the_mean_over_all_pairs(fair, shape, dtype):
    y = (10 * checks.rng(1).normal(size=shape)).astype(dtype)
    samples = (10 * checks.rng(2).normal(size=(7, *shape))).astype(dtype)
    scores = crps_samples(y, samples, fair=fair)
    assert scores.shape == shape
    assert scores.dtype == "float64"
    for item in np.ndindex(shape):
        passes = [float(sample[item]) for sample in samples]
        np.testing.assert_allclose(
            scores[item],
            crps_of_pairs(float(y[item]), passes, fair),
            rtol=1e-12,
        )


def test_many_samples_give_the_published_score_of_the_normal(published):
    inputs, value, _ = published("crps_normal_ps")
    m = 2000
    z = stats.norm.ppf((np.arange(m) + 0.5) / m)
    samples = inputs["mu"] + inputs["sd"] * z[:, None]
    score = crps_samples(inputs["y"], samples, fair=False).mean()
    assert abs(score - value) < 1 / m


def test_the_fair_score_does_not_depend_on_the_number_of_samples():
    repeats = 40_000
    y = np.full(repeats, 0.3)
    truth = crps_normal(0.3, 0.0, 1.0)
    for m in (2, 3, 10):
        samples = checks.rng(m).normal(size=(m, repeats))
        fair = crps_samples(y, samples)
        error = fair.std() / np.sqrt(repeats)
        assert abs(fair.mean() - truth) < 5 * error
        empirical = crps_samples(y, samples, fair=False)
        assert empirical.mean() - truth > 5 * error


def test_one_sample_scores_its_absolute_error():
    score = crps_samples([1.0, 2.0], [[4.0, 2.0]], fair=False)
    np.testing.assert_array_equal(score, [3.0, 0.0])


def test_far_from_zero_no_digit_is_lost():
    y = checks.rng(1).integers(0, 99, 6).astype("float64")
    samples = checks.rng(2).integers(0, 99, (20, 6)).astype("float64")
    np.testing.assert_array_equal(
        crps_samples(y + 2.0**40, samples + 2.0**40), crps_samples(y, samples)
    )


def test_items_do_not_depend_on_their_neighbours():
    y = checks.rng(1).normal(size=9000)
    samples = checks.rng(2).normal(size=(30, 9000))
    scores = crps_samples(y, samples)
    for i in range(0, 9000, 97):
        np.testing.assert_allclose(
            scores[i], crps_samples(y[i], samples[:, i]), rtol=1e-12
        )


def test_memory_does_not_grow_with_the_items():
    samples = np.zeros((100, 100_000), "float32")
    y = np.zeros(100_000, "float32")
    tracemalloc.start()
    crps_samples(y, samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < samples.nbytes / 8


def test_what_is_not_finite_makes_its_own_item_nan():
    y = np.array([0.0, np.nan, 0.0, 0.0, np.inf])
    samples = checks.rng().normal(size=(3, 5))
    samples[1, 2], samples[0, 3] = np.nan, -np.inf
    bad = [False, True, True, True, True]
    np.testing.assert_array_equal(np.isnan(crps_samples(y, samples)), bad)


@pytest.mark.parametrize(
    ("y", "samples"),
    [
        ((4, 1), (9, 4)),
        ((4,), (9, 4, 1)),
        ((4,), (9, 1)),
        ((4,), (4, 9)),
        ((4, 3), (9, 3)),
        ((), (9, 1)),
        ((), ()),
    ],
)
def test_refuses_shapes_that_would_broadcast(y, samples):
    with pytest.raises(ValueError, match="Expected the shape") as error:
        crps_samples(np.zeros(y), np.zeros(samples))
    assert f"*{y}" in str(error.value)
    assert f"samples of shape {samples}" in str(error.value)


def test_refuses_too_few_samples():
    with pytest.raises(ValueError, match=r"at least 2 samples. Received: 1"):
        crps_samples([1.0], [[1.0]])
    with pytest.raises(ValueError, match=r"at least 1 samples. Received: 0"):
        crps_samples([1.0], np.zeros((0, 1)), fair=False)
