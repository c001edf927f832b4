"""Interval and quantile scores against published values and plain loops."""

import checks
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_pinball_loss

from keras_seqtools.metrics import crps_normal
from keras_seqtools.metrics import crps_quantiles
from keras_seqtools.metrics import interval_coverage
from keras_seqtools.metrics import interval_score
from keras_seqtools.metrics import pinball_loss
from keras_seqtools.metrics import weighted_interval_score


def make_intervals(shape):
    centre = checks.rng(1).normal(size=shape)
    half = 0.2 + checks.rng(2).random(shape)
    return checks.rng(3).normal(size=shape), centre - half, centre + half


def test_coverage_equals_published_values(published):
    inputs, values, rtol = published("coverage_gauss")
    covered = [
        interval_coverage(
            inputs["y"],
            *stats.norm.interval(level, inputs["mu"], inputs["sd"]),
        )
        for level in (0.5, 0.8, 0.9, 0.95)
    ]
    np.testing.assert_allclose(covered, values, rtol=rtol)


def test_coverage_gives_the_published_calibration_of_a_regression(published):
    inputs, value, rtol = published("uct_mace")
    levels = np.linspace(0, 1, 100)
    covered = [
        interval_coverage(
            inputs["y"],
            *stats.norm.interval(level, inputs["mu"], inputs["sd"]),
        )
        for level in levels
    ]
    np.testing.assert_allclose(
        np.abs(covered - levels).mean(), value, rtol=rtol
    )


def test_interval_score_equals_published_values(published):
    inputs, value, rtol = published("interval_score_90")
    scores = interval_score(
        inputs["y"], inputs["q"][:, 0], inputs["q"][:, -1], 0.9
    )
    np.testing.assert_allclose(scores.mean(), value, rtol=rtol)


def test_pinball_loss_equals_published_values(published):
    inputs, values, rtol = published("pinball_each")
    losses = [
        pinball_loss(inputs["y"], q, level).mean()
        for q, level in zip(inputs["q"].T, inputs["levels"], strict=True)
    ]
    np.testing.assert_allclose(losses, values, rtol=rtol)


def test_pinball_loss_gives_the_published_check_score(published):
    inputs, value, rtol = published("uct_check")
    losses = [
        pinball_loss(
            inputs["y"],
            stats.norm.ppf(level, inputs["mu"], inputs["sd"]),
            level,
        ).mean()
        for level in np.linspace(0.01, 0.99, 99)
    ]
    np.testing.assert_allclose(np.mean(losses), value, rtol=rtol)


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.8])
def test_pinball_loss_is_that_of_scikit_learn_item_by_item(quantile):
    y, prediction, _ = make_intervals((5, 4))
    losses = pinball_loss(y, prediction, quantile)
    for item in np.ndindex(y.shape):
        expected = mean_pinball_loss(
            [y[item]], [prediction[item]], alpha=quantile
        )
        np.testing.assert_allclose(losses[item], expected, rtol=1e-12)


def test_interval_score_item_by_item():
    y, lower, upper = make_intervals((6, 5))
    scores = interval_score(y, lower, upper, 0.8)
    misses = 0
    for item in np.ndindex(y.shape):
        expected = upper[item] - lower[item]
        if y[item] < lower[item]:
            expected += 2 / 0.2 * (lower[item] - y[item])
            misses += 1
        elif y[item] > upper[item]:
            expected += 2 / 0.2 * (y[item] - upper[item])
            misses += 1
        np.testing.assert_allclose(scores[item], expected, rtol=1e-12)
    assert 0 < misses < y.size


def test_the_ends_belong_to_the_interval():
    assert interval_coverage([1.0, 2.0, 3.0], [1.0] * 3, [2.0] * 3) == 2 / 3
    assert interval_coverage([0.0], [-np.inf], [np.inf]) == 1.0


def test_coverage_with_a_mask_is_that_of_the_kept_items():
    y, lower, upper = make_intervals((5, 5, 2))
    mask = checks.rng(4).random((5, 5)) < 0.6
    expected = interval_coverage(y[mask], lower[mask], upper[mask])
    y[~mask], lower[~mask] = np.nan, np.inf
    assert interval_coverage(y, lower, upper, mask=mask) == expected
    assert (
        interval_coverage(y, lower, upper, sample_weight=mask.astype(float))
        == expected
    )


def test_coverage_of_rows_where_batch_equals_time():
    y, lower, upper = make_intervals((4, 4))
    rows = np.array([True, False, True, False])
    expected = interval_coverage(y[rows], lower[rows], upper[rows])
    assert interval_coverage(y, lower, upper, mask=rows) == expected
    assert expected != interval_coverage(
        y[:, rows], lower[:, rows], upper[:, rows]
    )


def test_a_weight_of_2_is_a_row_twice():
    y, lower, upper = make_intervals((30,))
    weight = checks.rng(4).integers(0, 3, 30)
    expected = interval_coverage(
        *(np.repeat(values, weight) for values in (y, lower, upper))
    )
    covered = interval_coverage(y, lower, upper, sample_weight=weight)
    np.testing.assert_allclose(covered, expected, rtol=1e-12)


def test_nothing_that_counts_covers_nan():
    assert np.isnan(interval_coverage([], [], []))
    assert np.isnan(interval_coverage([1.0], [0.0], [2.0], mask=[False]))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_refused_or_comes_out(place):
    arrays = [values.copy() for values in make_intervals((6,))]
    arrays[place][2] = np.nan
    name = ("y_true", "lower", "upper")[place]
    with pytest.raises(ValueError, match=rf"`{name}`.*no NaN.*Received: "):
        interval_coverage(*arrays)
    expected = [False, False, True, False, False, False]
    scores = interval_score(*arrays, 0.9)
    np.testing.assert_array_equal(np.isnan(scores), expected)
    if place < 2:
        losses = pinball_loss(*arrays[:2], 0.1)
        np.testing.assert_array_equal(np.isnan(losses), expected)


@pytest.mark.parametrize("other", [(4, 1), (1,), (), (1, 4), (5,)])
def test_refuses_shapes_that_would_broadcast(other):
    y, bad = np.zeros(4), np.zeros(other)
    for call in (
        lambda: interval_coverage(y, y, bad),
        lambda: interval_coverage(bad, y, y),
        lambda: interval_score(y, bad, y, 0.9),
        lambda: pinball_loss(y, bad, 0.5),
    ):
        with pytest.raises(
            ValueError, match=r"same shape.*Received: "
        ) as error:
            call()
        assert str(other) in str(error.value)


@pytest.mark.parametrize("value", [0.0, 1.0, 90, -0.1, np.nan, (0.5, 0.9)])
def test_refuses_a_level_that_is_no_fraction(value):
    y = np.zeros(3)
    with pytest.raises(ValueError, match=r"`level`.*Received: level="):
        interval_score(y, y, y, value)
    with pytest.raises(ValueError, match=r"`quantile`.*Received: quantile="):
        pinball_loss(y, y, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_weight", [1.0, -1.0, 1.0]),
        ("sample_weight", [1.0, np.nan, 1.0]),
        ("sample_weight", [1.0, np.inf, 1.0]),
        ("sample_weight", [1.0, 1.0]),
        ("mask", [[True, True, True]]),
    ],
)
def test_refuses_weights_and_masks_that_do_not_fit(name, value):
    y = np.zeros(3)
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}"):
        interval_coverage(y, y, y, **{name: value})


def make_quantiles(levels):
    y = checks.rng(1).normal(size=(6, 5))
    centre = checks.rng(2).normal(size=(6, 5))
    return y, np.stack([centre + stats.norm.ppf(level) for level in levels])


def test_many_quantiles_give_the_crps():
    levels = (np.arange(500) + 0.5) / 500
    y, quantiles = make_quantiles(levels)
    expected = crps_normal(y, quantiles.mean(0), 1.0)
    scores = crps_quantiles(y, quantiles, levels)
    np.testing.assert_allclose(scores, expected, atol=0.003)


def test_few_quantiles_item_by_item():
    levels = (0.7, 0.2)
    y, quantiles = make_quantiles(levels)
    scores = crps_quantiles(y, quantiles, levels)
    for item in np.ndindex(y.shape):
        losses = [
            mean_pinball_loss([y[item]], [q[item]], alpha=level)
            for q, level in zip(quantiles, levels, strict=True)
        ]
        np.testing.assert_allclose(scores[item], 2 * np.mean(losses))


def test_weighted_interval_score_is_a_sum_of_interval_scores():
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    y, quantiles = make_quantiles(levels)
    expected = 0.5 * np.abs(y - quantiles[2])
    for k, level in ((0, 0.9), (1, 0.5)):
        ends = quantiles[k], quantiles[-1 - k]
        expected += (1 - level) / 2 * interval_score(y, *ends, level)
    scores = weighted_interval_score(y, quantiles, levels)
    np.testing.assert_allclose(scores, expected / 2.5, rtol=1e-12)
    order = [3, 0, 4, 2, 1]
    again = weighted_interval_score(
        y, quantiles[order], [levels[k] for k in order]
    )
    np.testing.assert_allclose(again, scores, rtol=1e-12)


@pytest.mark.parametrize("levels", [(0.1, 0.9), (0.1, 0.5, 0.8), (0.4,)])
def test_weighted_interval_score_refuses_what_makes_no_intervals(levels):
    with pytest.raises(ValueError, match=r"`levels`.*0.5 and pairs"):
        weighted_interval_score(*make_quantiles(levels), levels)


def test_scores_of_quantiles_refuse_what_does_not_fit():
    y, quantiles = make_quantiles((0.1, 0.5, 0.9))
    with pytest.raises(ValueError, match=r"the shape \(2, 6, 5\)"):
        crps_quantiles(y, quantiles, (0.1, 0.5))
    with pytest.raises(ValueError, match=r"the shape \(3, 6, 5\)"):
        crps_quantiles(y, quantiles[..., :1], (0.1, 0.5, 0.9))
    with pytest.raises(ValueError, match=r"`levels`.*Received: levels="):
        crps_quantiles(y, quantiles, (0.1, 0.5, 1.0))
    quantiles[1, 2, 3] = np.nan
    scores = crps_quantiles(y, quantiles, (0.1, 0.5, 0.9))
    assert np.argwhere(np.isnan(scores)).tolist() == [[2, 3]]
