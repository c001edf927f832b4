"""The glucose baselines against scikit-learn, SciPy and plain loops."""

import itertools

import glucose_baselines
import numpy as np
import pytest
from glucose_baselines import Forecast
from glucose_data import Windows
from scipy import stats
from sklearn.linear_model import Ridge


def windows(n, seed):
    """Levels that wander, with noise that grows with the level."""
    rng = np.random.default_rng(seed)
    spans = 120 + np.cumsum(rng.normal(0, 4, (n, 42)), axis=1)
    spans[:, -1] += rng.normal(0, 0.1, n) * spans[:, 35]
    spans = spans.astype("float32")
    return Windows(
        inputs=np.zeros((n, 36, 2), "float32"),
        last=spans[:, 35:36],
        target=spans[:, 41:],
        time=np.datetime64("2010-03-24", "s") + 300 * np.arange(n),
        history=spans[:, :36],
    )


@pytest.fixture(scope="module")
def parts():
    return windows(800, 0), windows(300, 1), windows(200, 2)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e3])
def test_ridge_weights_equal_scikit_learn(penalty):
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (50, 5)), rng.normal(1, 1, 50)
    weights, intercept = glucose_baselines.ridge_weights(x, y, penalty)
    expected = Ridge(alpha=penalty).fit(x, y)
    np.testing.assert_allclose(weights, expected.coef_)
    np.testing.assert_allclose(intercept, expected.intercept_)


def test_ridge_picks_its_penalty_and_noise_on_validation(parts):
    train, validation, test = parts
    center = glucose_baselines.features(train).mean(axis=0)
    scale = glucose_baselines.features(train).std(axis=0)

    def x(part):
        return (glucose_baselines.features(part) - center) / scale

    def rmse(model):
        error = model.predict(x(validation)) - change(validation)
        return np.sqrt(np.mean(error**2))

    change = glucose_baselines.change_ahead
    models = [
        Ridge(alpha=10.0**power).fit(x(train), change(train))
        for power in range(-2, 6)
    ]
    best = min(models, key=rmse)
    mean = test.last + best.predict(x(test))[:, None]
    forecast = glucose_baselines.ridge(train, validation)(test)
    np.testing.assert_allclose(forecast.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(
        forecast.nll,
        -stats.norm(mean, rmse(best)).logpdf(test.target),
        rtol=1e-5,
    )


def test_persistence_says_the_last_reading_and_no_more(parts):
    forecast = glucose_baselines.persistence(parts[2])
    np.testing.assert_array_equal(forecast.mean, parts[2].last)
    scores = glucose_baselines.scores(forecast, parts[2].target)
    assert list(scores) == ["squared_error"]


def test_trend_carries_a_straight_line_on(parts):
    line = np.arange(42, dtype="float32")[None] * 2 + 90
    part = Windows(
        inputs=parts[0].inputs[:1],
        last=line[:, 35:36],
        target=line[:, 41:],
        time=parts[0].time[:1],
        history=line[:, :36],
    )
    for steps in (1, 3, 12):
        np.testing.assert_allclose(
            glucose_baselines.trend(part, steps), part.target
        )


def test_features_with_bends_add_second_differences(parts):
    part = parts[0]
    plain = glucose_baselines.features(part)
    bends = glucose_baselines.features(part, bends=True)
    np.testing.assert_allclose(
        plain[:, 1:] + plain[:, :1], part.history[:, :-1], rtol=1e-6
    )
    np.testing.assert_array_equal(bends[:, :36], plain)
    history = part.history.astype("float64")
    second = history[:, 2:] - 2 * history[:, 1:-1] + history[:, :-2]
    np.testing.assert_allclose(bends[:, 36:], second, atol=1e-3)


def test_every_baseline_gives_finite_scores_of_one_value_a_window(parts):
    train, validation, test = parts
    fitted = glucose_baselines.fit_all(train, validation, quick=True)
    for name, predict in fitted.items():
        forecast = predict(test)
        scores = glucose_baselines.scores(forecast, test.target)
        for score in scores.values():
            assert score.shape == (200, 1), name
            assert np.isfinite(score).all(), name
        levels = [forecast.quantiles[q] for q in sorted(forecast.quantiles)]
        for lower, upper in itertools.pairwise(levels):
            assert (lower <= upper).all(), name
        if forecast.prob_low is not None:
            assert ((forecast.prob_low >= 0) & (forecast.prob_low <= 1)).all()
        if "nll" in scores:
            assert 0.8 < scores["covered_90"].mean() < 0.98, name


def test_scores_of_a_known_distribution():
    y = np.array([[0.0], [3.0]])
    forecast = glucose_baselines.from_distribution(
        stats.norm(np.zeros((2, 1)), 1.0), y
    )
    scores = glucose_baselines.scores(forecast, y)
    np.testing.assert_allclose(scores["squared_error"][:, 0], [0.0, 9.0])
    np.testing.assert_allclose(scores["nll"], -stats.norm.logpdf(y))
    assert scores["covered_50"][:, 0].tolist() == [True, False]
    assert scores["covered_90"][:, 0].tolist() == [True, False]
    # The closed form of a Normal; the forecast has 200 draws of it.
    exact = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y)
    np.testing.assert_allclose(scores["crps"], exact - np.pi**-0.5, atol=0.15)
    np.testing.assert_allclose(forecast.prob_low, np.ones((2, 1)), atol=1e-12)


def test_scores_leave_out_what_was_not_said():
    y = np.array([[1.0]])
    assert glucose_baselines.scores(Forecast(), y) == {}
    quantiles = {q: y + q for q in glucose_baselines.QUANTILES}
    scores = glucose_baselines.scores(Forecast(quantiles=quantiles), y)
    assert set(scores) == {
        "pinball",
        "interval_score",
        "covered_50",
        "covered_90",
    }


def test_bootstrap_draws_whole_days():
    days = np.array(["2010-01-01"] * 3 + ["2010-01-02"] + ["2010-01-05"] * 2)
    days = days.astype("datetime64[D]")
    scores = np.array([[1.0], [2.0], [3.0], [10.0], [4.0], [6.0]])
    interval = glucose_baselines.bootstrap_over_days(scores, days, num=400)

    rng = np.random.default_rng(0)
    means = []
    for _ in range(400):
        chosen = []
        for day, times in zip(
            np.unique(days), rng.multinomial(3, [1 / 3] * 3), strict=True
        ):
            for _ in range(times):
                chosen.extend(scores[days == day, 0])
        means.append(np.mean(chosen))
    np.testing.assert_allclose(interval, np.quantile(means, [0.025, 0.975]))


def test_bootstrap_of_independent_days_is_the_textbook_interval():
    rng = np.random.default_rng(1)
    scores, days = rng.normal(5, 1, 400), np.arange(400)
    low, high = glucose_baselines.bootstrap_over_days(scores, days, num=4000)
    half = 1.96 * scores.std() / 20
    np.testing.assert_allclose(
        [low, high], scores.mean() + np.array([-half, half]), atol=0.01
    )
