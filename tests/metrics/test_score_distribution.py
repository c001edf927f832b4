"""All scores of a head at once, against SciPy and against evaluation."""

import checks
import families
import keras
import numpy as np
import pytest
from scipy import stats

import keras_seqtools as kst
from keras_seqtools import heads
from keras_seqtools import metrics
from keras_seqtools.metrics import score_distribution


def make_normal(shape=(200,)):
    loc = checks.rng(1).normal(size=(*shape, 1))
    scale = 0.5 + checks.rng(2).random((*shape, 1))
    y = (loc + 1.2 * scale * checks.rng(3).normal(size=loc.shape))[..., 0]
    return y, np.concatenate([loc, scale], axis=-1)


def test_normal_by_scipy():
    y, y_pred = make_normal()
    weight = checks.rng(4).random(200)
    loc, scale = y_pred.T
    law = stats.norm(loc, scale)
    scores = score_distribution(
        y, y_pred, heads.NormalHead(), levels=(0.9,), sample_weight=weight
    )
    lower, upper = law.interval(0.9)
    inside = (lower <= y) & (y <= upper)
    square = np.average((y - loc) ** 2, weights=weight)
    expected = {
        "nll": np.average(-law.logpdf(y), weights=weight),
        "crps": np.average(metrics.crps_normal(y, loc, scale), weights=weight),
        "rmse": np.sqrt(square),
        "coverage_90": np.average(inside, weights=weight),
        "width_90": np.average(upper - lower, weights=weight),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], value, rtol=1e-9)
    plain = score_distribution(y, y_pred, heads.NormalHead())
    kolmogorov = stats.kstest(law.cdf(y), "uniform").statistic
    np.testing.assert_allclose(plain["pit_distance"], kolmogorov)
    assert set(plain) == {*expected, "pit_distance", "coverage_50", "width_50"}


def test_counts_by_scipy():
    rate = np.exp(checks.rng(1).normal(size=300))
    y = checks.rng(2).poisson(2.0 * rate)
    law = stats.poisson(rate)
    scores = score_distribution(y, np.log(rate)[:, None], heads.PoissonHead())
    lower, upper = law.interval(0.9)
    expected = {
        "nll": -law.logpmf(y).mean(),
        "crps": metrics.crps_poisson(y, rate).mean(),
        "coverage_90": ((lower <= y) & (y <= upper)).mean(),
        "width_90": (upper - lower).mean(),
        "zero_frequency": (y == 0).mean(),
        "zero_probability": np.exp(-rate).mean(),
        "dispersion": ((y - rate) ** 2 / rate).mean(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], value, rtol=1e-8)


@families.EVERY_LAW
def test_every_family(case):
    y_pred, head = case.emitted().astype("float64"), case.make()
    law, y = case.law(y_pred), case.targets((len(y_pred), 1))
    likely = law.ppf(np.full(y.shape, 0.7))
    lowest, highest = head.support
    inside = (likely > lowest + 1e-6) & (likely < highest)
    y = np.where(inside, likely, y)
    scores = score_distribution(y, y_pred, head)
    assert not np.isnan(list(scores.values())).any()
    assert all(type(score) is float for score in scores.values())
    nll = -case.log_density(y, y_pred).mean()
    np.testing.assert_allclose(scores["nll"], nll, rtol=1e-6)


def test_equals_the_evaluation_of_a_model_without_noise():
    model = keras.Sequential([keras.Input((3,)), heads.NormalHead(2)])
    x = checks.rng(1).normal(size=(40, 3)).astype("float32")
    y, weight = checks.rng(2).normal(size=(40, 2)), checks.rng(3).random(40)
    ours = score_distribution(
        y, model.predict(x, verbose=0), model.layers[-1], sample_weight=weight
    )
    scores = kst.evaluate_uncertainty(model, x, y, weight, seed=1, verbose=0)
    assert set(scores) < set(ours)
    for name, value in scores.items():
        rtol = 0.02 if name == "crps" else 1e-4  # its draws are random
        np.testing.assert_allclose(ours[name], value, rtol=rtol)


def test_masks_weights_and_order():
    y, y_pred = make_normal((6, 6))
    head = heads.NormalHead()
    expected = score_distribution(y, y_pred, head)
    order = checks.rng(5).permutation(6)
    again = score_distribution(y[order][..., None], y_pred[order], head)
    assert again == pytest.approx(expected, rel=1e-12)
    for mask in (checks.rng(6).random((6, 6)) < 0.5, np.arange(6) % 2 == 0):
        expected = score_distribution(
            y[mask].ravel(), y_pred[mask].reshape(-1, 2), head
        )
        dirty, garbage = y.copy(), y_pred.copy()
        dirty[~mask], garbage[~mask] = np.nan, -1.0
        for kwargs in (
            {"mask": mask},
            {"sample_weight": np.where(mask, 2.0, 0.0)},
        ):
            found = score_distribution(dirty, garbage, head, **kwargs)
            assert found == pytest.approx(expected, rel=1e-12)
    rows = np.array([1, 0, 2, 1, 1, 3])
    found = score_distribution(y, y_pred, head, sample_weight=rows)
    twice = np.repeat(y, rows, 0), np.repeat(y_pred, rows, 0)
    assert found == pytest.approx(score_distribution(*twice, head), rel=1e-12)


def test_nothing_is_nan_and_so_is_a_prediction_that_is_nan():
    y, y_pred = make_normal()
    head = heads.NormalHead()
    for kwargs in (
        {"mask": np.zeros(200, bool)},
        {"sample_weight": np.zeros(200)},
    ):
        scores = score_distribution(y, y_pred, head, **kwargs)
        assert np.isnan(list(scores.values())).all()
    assert np.isnan(
        [*score_distribution(y[:0], y_pred[:0], head).values()]
    ).all()
    y_pred[3] = np.nan
    scores = score_distribution(y, y_pred, head)
    assert np.isnan(list(scores.values())).all()


def test_refusals():
    y, y_pred = make_normal()
    head = heads.NormalHead()
    with pytest.raises(ValueError, match=r"as targets.*y\[3, 0\] = nan"):
        score_distribution(
            np.where(np.arange(200) == 3, np.nan, y), y_pred, head
        )
    with pytest.raises(ValueError, match="`levels`"):
        score_distribution(y, y_pred, head, levels=(1.0,))
    with pytest.raises(ValueError, match="`CategoricalHead` has no"):
        score_distribution(y > 0, y_pred, heads.CategoricalHead(2))
    with pytest.raises(ValueError, match=r"`sample_weight`.*\(200,\)"):
        score_distribution(y, y_pred, head, sample_weight=np.ones(199))
