"""The energy score against all pairs, one after the other."""

import tracemalloc

import checks
import numpy as np
import pytest

from keras_seqtools.metrics import crps_samples
from keras_seqtools.metrics import energy_score


def score_of_pairs(y, samples, fair):
    m = len(samples)
    distance = [np.sqrt(((a - y) ** 2).sum()) for a in samples]
    pairs = [np.sqrt(((a - b) ** 2).sum()) for a in samples for b in samples]
    return sum(distance) / m - sum(pairs) / (2 * m * (m - fair))


@pytest.mark.parametrize("fair", [True, False])
@pytest.mark.parametrize("shape", [(2,), (5, 3), (4, 3, 1)])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_equals_the_mean_over_all_pairs(fair, shape, dtype):
    y = (10 * checks.rng(1).normal(size=shape)).astype(dtype)
    samples = (10 * checks.rng(2).normal(size=(7, *shape))).astype(dtype)
    scores = energy_score(y, samples, fair=fair)
    assert scores.shape == shape[:-1]
    assert scores.dtype == "float64"
    for item in np.ndindex(shape[:-1]):
        passes = [sample[item].astype("float64") for sample in samples]
        expected = score_of_pairs(y[item].astype("float64"), passes, fair)
        np.testing.assert_allclose(scores[item], expected, rtol=1e-12)


def test_of_one_number_it_is_the_crps():
    y, samples = (
        checks.rng(1).normal(size=30),
        checks.rng(2).normal(size=(9, 30)),
    )
    np.testing.assert_allclose(
        energy_score(y[:, None], samples[..., None]),
        crps_samples(y, samples),
        rtol=1e-12,
    )


def test_the_fair_score_does_not_depend_on_the_number_of_samples():
    repeats, y = 20_000, np.zeros((20_000, 2))
    few, many = (
        energy_score(y, checks.rng(m).normal(size=(m, repeats, 2)))
        for m in (2, 8)
    )
    error = np.sqrt((few.var() + many.var()) / repeats)
    assert abs(few.mean() - many.mean()) < 5 * error


def test_memory_does_not_grow_with_pairs_or_items():
    samples = np.zeros((50, 20_000, 4))
    tracemalloc.start()
    energy_score(samples[0], samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < samples.nbytes / 4


def test_what_is_not_finite_makes_its_own_item_nan():
    y, samples = np.zeros((4, 2)), checks.rng().normal(size=(3, 4, 2))
    y[1, 0], samples[1, 2, 1], samples[0, 3, 0] = np.nan, np.nan, np.inf
    bad = [False, True, True, True]
    np.testing.assert_array_equal(np.isnan(energy_score(y, samples)), bad)


@pytest.mark.parametrize(
    ("y", "samples"),
    [((4, 1), (9, 4)), ((4,), (9, 4, 1)), ((4, 2), (9, 1, 2)), ((), (9,))],
)
def test_refuses_shapes_that_would_broadcast(y, samples):
    with pytest.raises(ValueError, match=r"Expected the shape \(num_samples"):
        energy_score(np.zeros(y), np.zeros(samples))


def test_refuses_too_few_samples():
    with pytest.raises(ValueError, match=r"at least 2 samples. Received: 1"):
        energy_score([1.0], [[1.0]])
    np.testing.assert_array_equal(
        energy_score([[3.0, 4.0]], [[[0.0, 0.0]]], fair=False), [5.0]
    )
