"""backtest: equals loops over origins, and sees nothing that came later."""

import checks
import keras
import numpy as np
import pytest
from keras import ops
from scipy import special
from scipy import stats

from keras_seqtools.forecasting import Forecast
from keras_seqtools.forecasting import backtest
from keras_seqtools.forecasting import forecast
from keras_seqtools.forecasting._predicted import by_model
from keras_seqtools.forecasting._predicted import score
from keras_seqtools.heads import MultivariateNormalHead
from keras_seqtools.heads import NormalHead
from keras_seqtools.heads import PoissonHead

SCORES = ["rmse", "mae", "mase", "nll", "crps", "coverage"]


def repeats():
    """A model of which the next value is the last one."""
    model = keras.Sequential([keras.Input((None, 1)), keras.layers.Identity()])
    model.compile(loss="mse")  # which says that it is a regression
    return model


def gru(features, units=1):
    layers = [keras.layers.GRU(4, return_sequences=True), NormalHead(units)]
    return keras.Sequential([keras.Input((None, features)), *layers])


def random_walks(*lengths, units=1):
    rng = checks.rng(3)
    return [rng.normal(size=(n, units)).cumsum(0) for n in lengths]


def fair_crps(y, draws):
    pairs = [abs(a - b) for i, a in enumerate(draws) for b in draws[:i]]
    return np.mean([abs(draw - y) for draw in draws]) - np.mean(pairs) / 2


def is_covered(y, draws, level):
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return low <= y <= high


def means_of(items, horizon):
    """The name of each score, its mean by horizon, and over all."""
    for index, name in enumerate(SCORES):
        values = np.array([item[index] for item in items])
        values = values.reshape(-1, horizon)
        means = values.mean(0), values.mean()
        if name == "rmse":
            means = np.sqrt(means[0]), np.sqrt(means[1])
        yield name, *means


@pytest.mark.parametrize("season_length", [3, 5])
def test_equals_a_loop_over_origins(season_length):
    horizon, stride, start, context, level = 4, 3, 20, 7, 0.6
    targets = random_walks(40, 34)
    hours = [np.arange(len(y)) % 24 / 24.0 for y in targets]
    series = [y / 10.0 for y in targets]
    model = gru(2)
    options = {"num_samples": 5, "seed": 8, "feedback": lambda y, _: y / 10.0}
    found = backtest(
        model,
        series,
        horizon,
        stride,
        start=start,
        season_length=season_length,
        targets=targets,
        covariates=hours,
        context=context,
        level=level,
        **options,
    )
    places = [
        (number, origin)
        for number, y in enumerate(targets)
        for origin in range(start, len(y) - horizon + 1, stride)
    ]
    assert list(zip(found.series, found.origin, strict=True)) == places

    def cut(arrays, begin, end):
        cuts = [arrays[i][o + begin : o + end] for i, o in places]
        return np.reshape(cuts, (len(places), end - begin, 1))

    expected = forecast(
        model,
        cut(series, -context, 0),
        horizon,
        past_covariates=cut(hours, -context, 0),
        future_covariates=cut(hours, 0, horizon),
        **options,
    )
    np.testing.assert_array_equal(found.forecast.samples, expected.samples)
    np.testing.assert_array_equal(found.y_true, cut(targets, 0, horizon))

    items = {"model": [], "persistence": [], "seasonal naive": []}
    for row, (number, origin) in enumerate(places):
        y = targets[number][:, 0]
        m, past = season_length, y[:start]
        scale = np.mean([abs(past[t] - past[t - m]) for t in range(m, start)])
        for step in range(horizon):
            truth = y[origin + step]
            draws = expected.samples[:, row, step, 0].astype("float64")
            loc, spread = expected.y_pred[:, row, step].T
            densities = stats.norm.logpdf(truth, loc, spread)
            error = abs(truth - np.median(draws))
            items["model"].append(
                [
                    (truth - draws.mean()) ** 2,
                    error,
                    error / scale,
                    np.log(len(draws)) - special.logsumexp(densities),
                    fair_crps(truth, draws),
                    is_covered(truth, draws, level),
                ]
            )
            for name, length in (("persistence", 1), ("seasonal naive", m)):
                back = length
                while back < step + 1:
                    back += length
                value = y[origin + step - back]
                draws = [
                    value + past[t] - past[t - back] for t in range(back, start)
                ]
                error = abs(truth - value)
                items[name].append(
                    [
                        error**2,
                        error,
                        error / scale,
                        np.nan,
                        fair_crps(truth, draws),
                        is_covered(truth, draws, level),
                    ]
                )
    assert list(found.pooled) == list(items)
    for forecaster, rows in items.items():
        for name, by_horizon, pooled in means_of(rows, horizon):
            np.testing.assert_allclose(
                found.by_horizon[forecaster][name], by_horizon, rtol=1e-5
            )
            assert found.pooled[forecaster][name] == pytest.approx(
                pooled, rel=1e-5, nan_ok=True
            )


def test_a_model_that_repeats_the_last_value_is_persistence():
    (series,) = random_walks(60)
    found = backtest(repeats(), series, 5, start=30)
    assert list(found.pooled) == ["model", "persistence"]
    model, persistence = found.by_horizon.values()
    for name in ("rmse", "mae", "mase"):
        np.testing.assert_allclose(model[name], persistence[name], rtol=1e-5)
    # One path: a point, with no density and no width.
    np.testing.assert_allclose(model["crps"], model["mae"], rtol=1e-5)
    assert np.isnan(model["nll"]).all()
    assert (model["coverage"] == 0.0).all()


def test_scaled_errors_of_a_straight_line():
    line = 3.0 * np.arange(50.0)
    found = backtest(repeats(), line, 5, start=20, season_length=2)
    # Off by 3 a step, where one season ahead was off by 6. The error never
    # varies, so that its distribution is sure, and right.
    persistence = found.by_horizon["persistence"]
    np.testing.assert_allclose(persistence["mase"], [0.5, 1.0, 1.5, 2.0, 2.5])
    seasonal = found.by_horizon["seasonal naive"]
    np.testing.assert_allclose(seasonal["mase"], [1, 1, 2, 2, 3])
    for scores in (persistence, seasonal):
        np.testing.assert_allclose(scores["crps"], 0.0, atol=1e-12)
        np.testing.assert_array_equal(scores["coverage"], 1.0)
    constant = backtest(repeats(), np.ones(50), 2, start=20)
    assert np.isnan(constant.pooled["model"]["mase"])
    assert constant.pooled["model"]["mae"] == 0.0


def test_several_units():
    (series,) = random_walks(50, units=2)
    found = backtest(gru(2, 2), series, 3, start=30, seed=1, num_samples=4)
    alone = [
        backtest(repeats(), series[:, unit], 3, start=30) for unit in (0, 1)
    ]
    for name in ("mae", "mase", "crps", "coverage"):
        np.testing.assert_allclose(
            found.by_horizon["persistence"][name],
            np.mean([a.by_horizon["persistence"][name] for a in alone], 0),
        )


def test_a_joint_head_has_one_density_for_all_units():
    head = MultivariateNormalHead(2)
    model = keras.Sequential([keras.Input((None, 2)), head])
    (series,) = random_walks(30, units=2)
    found = backtest(model, series, 2, start=10, num_samples=3, seed=1)
    log_prob = found.forecast.log_prob(found.y_true)
    assert log_prob.shape == found.y_true.shape[:2]
    np.testing.assert_allclose(
        found.by_horizon["model"]["nll"], -log_prob.mean(0) / 2.0
    )


def test_nothing_that_came_later_is_seen():
    (series,) = random_walks(60)
    options = {"start": 30, "season_length": 6, "seed": 1, "num_samples": 9}
    model, later = gru(1), series.copy()
    later[40:] += checks.rng(1).normal(50.0, 20.0, size=(20, 1))
    before, after = (backtest(model, y, 4, **options) for y in (series, later))
    same = before.origin <= 40
    np.testing.assert_array_equal(
        before.forecast.samples[:, same], after.forecast.samples[:, same]
    )
    assert not np.isclose(
        before.forecast.samples[:, ~same], after.forecast.samples[:, ~same]
    ).all()


def test_naive_errors_are_those_before_the_first_origin():
    (series,) = random_walks(34)
    late = series.copy()
    late[30:] += [[10.0], [-20.0], [40.0], [0.0]]
    options = {"start": 30, "season_length": 6}
    for name, back in (
        ("persistence", [1, 2, 3, 4]),
        ("seasonal naive", [6] * 4),
    ):
        scores = backtest(repeats(), late, 4, **options).by_horizon[name]
        for step, lag in enumerate(back):
            truth, value = late[30 + step], late[30 + step - lag]
            errors = series[lag:30] - series[: 30 - lag]
            usual = np.abs(series[6:30] - series[:24]).mean()
            assert scores["mase"][step] == pytest.approx(
                abs(truth - value)[0] / usual
            )
            assert scores["crps"][step] == pytest.approx(
                fair_crps(truth[0], (value + errors)[:, 0])
            )


def test_a_path_that_overflowed_leaves_no_plausible_score():
    samples = np.zeros((3, 2, 2, 1))
    samples[1, 0, 1] = np.nan
    ahead = Forecast(samples, samples, None, True, 0, {}, None)
    y_true = np.ones((2, 2, 1))
    by_horizon, pooled = score(
        by_model(ahead, y_true, 0.8), y_true, np.ones((2, 1, 1))
    )
    for name in set(SCORES) - {"nll"}:
        np.testing.assert_array_equal(np.isnan(by_horizon[name]), [False, True])
        assert np.isnan(pooled[name])


def test_table():
    (series,) = random_walks(60)
    found = backtest(repeats(), series, 3, start=30, season_length=4)
    lines = str(found).splitlines()
    assert lines[0] == "Origins: 28. Paths from each: 1."
    titles = " ".join(lines[1].split())
    assert titles == "horizon RMSE MAE MASE NLL CRPS in 80 %"
    assert len({len(line) for line in lines[1:]}) == 1
    rows = [line.split() for line in lines[2:]]
    assert [row[0] for row in rows[::3]] == ["1", "2", "3", "all"]
    *numbers, coverage = rows[-1][-6:]
    expected = list(found.pooled["seasonal naive"].values())
    assert numbers[3] == "-"
    for number, value in zip(numbers[:3], expected, strict=False):
        assert float(number) == pytest.approx(value, rel=1e-3)
    assert float(coverage) == pytest.approx(expected[-1], abs=1e-3)
    assert "origins=28" in repr(found)


@pytest.mark.parametrize("size", [1e-9, 1e-2, 1e9])
def test_table_of_small_and_large_numbers(size):
    (series,) = random_walks(60)
    lines = str(backtest(repeats(), size * series, 2, start=30)).splitlines()
    assert len({len(line) for line in lines[1:]}) == 1
    assert min(float(line.split()[-6]) for line in lines[2:]) > 0.1 * size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 57}, "Each series needs at least 62 time steps"),
        ({"start": 7}, "at least 8: naive forecasts look up to 6"),
        ({"context": 31}, "at most `start`, 30"),
        ({"context": 0}, "a positive integer"),
        ({"season_length": 0}, "a positive integer"),
        ({"level": 1.0}, "strictly between 0 and 1"),
        ({"targets": np.full(60, np.nan)}, "`targets` must be finite"),
        ({"targets": np.zeros((60, 2))}, "forecasts 1 units"),
        ({"covariates": np.zeros(59)}, "as long as `series`"),
    ],
)
def test_refuses(change, message):
    options = {"start": 30, "season_length": 6, **change}
    with pytest.raises(ValueError, match=message):
        backtest(repeats(), np.arange(60.0), 5, **options)


def test_refuses_targets_that_the_head_cannot_mean():
    model = keras.Sequential([keras.Input((None, 1)), PoissonHead()])
    with pytest.raises(ValueError, match="PoissonHead"):
        backtest(model, np.arange(60.0) + 0.5, 3, start=30)
    found = backtest(
        model,
        np.arange(60.0) / 60.0,
        3,
        start=30,
        targets=np.arange(60),
        feedback=lambda y, _: ops.minimum(y, 60.0) / 60.0,
    )
    assert np.isfinite(found.pooled["model"]["nll"])
