"""Conformal intervals: published values, conformal p-values, coverage."""

import math
from fractions import Fraction

import checks
import keras
import numpy as np
import pytest

import keras_seqtools as kst
from keras_seqtools.calibration import AdaptiveConformal
from keras_seqtools.calibration import ConformalizedQuantileRegression
from keras_seqtools.calibration import SplitConformal

CQR = ConformalizedQuantileRegression


def is_kept(score, scores, level):
    """Whether the conformal p-value is above `1 - level`, in integers."""
    beyond = sum(other >= score for other in scores)
    return Fraction(1 + beyond, len(scores) + 1) > 1 - Fraction(str(level))


def make_rows(rng, shape):
    """Means that are wrong, spreads that are wrong, and heavy tails."""
    mean = rng.normal(size=shape)
    std = 0.2 + rng.random(shape)
    y = mean + 0.3 + 0.5 * (1 + mean**2) * rng.standard_t(4, shape)
    return y, mean, std


def covers(y, lower, upper):
    return (lower <= y) & (y <= upper)


def test_asymmetric_cqr_equals_published_values(published):
    inputs, values, rtol = published("cqr_90_asym")
    conformal = CQR(level=0.9, symmetric=False)
    conformal.fit(inputs["y"], inputs["lo"], inputs["hi"])
    ends = conformal.predict_interval(inputs["lo_test"], inputs["hi_test"])
    np.testing.assert_allclose(
        np.stack(ends, axis=-1)[: len(values)], values, rtol=rtol
    )


@pytest.mark.parametrize("n", [9, 10, 19, 29, 40])
@pytest.mark.parametrize("level", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_intervals_hold_the_values_of_large_conformal_p_value(n, level):
    y, mean, std = make_rows(checks.rng(n), (n,))
    new_mean, new_std = np.zeros(200), np.full(200, 0.7)
    new_y = np.linspace(-9, 9, 200)
    errors = np.abs(y - mean)
    for scores, new_scores, arguments, new_arguments in (
        (errors, np.abs(new_y), (mean,), (new_mean,)),
        (errors / std, np.abs(new_y) / 0.7, (mean, std), (new_mean, new_std)),
    ):
        conformal = SplitConformal(level).fit(y, *arguments)
        kept = covers(new_y, *conformal.predict_interval(*new_arguments))
        expected = [is_kept(score, scores, level) for score in new_scores]
        np.testing.assert_array_equal(kept, expected)
    rows = zip(y, mean, std, strict=True)
    scores = [max(m - s - v, v - m - s) for v, m, s in rows]
    conformal = CQR(level).fit(y, mean - std, mean + std)
    kept = covers(new_y, *conformal.predict_interval(-new_std, new_std))
    expected = [is_kept(abs(v) - 0.7, scores, level) for v in new_y]
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize(
    ("n", "level", "rank"),
    [(9, 0.9, 9), (9, 1 - 0.7, 3), (99, 0.57, 57), (2, 2 / 3, 2), (8, 0.85, 8)],
)
def test_the_rank_does_not_slip_on_a_rounded_product(n, level, rank):
    y = np.arange(1.0, n + 1)
    conformal = SplitConformal(level).fit(y, np.zeros(n))
    assert conformal.quantile_ == rank


def coverage_of(make, predict, n, rank, shape=()):
    """Mean over 200 repetitions less `rank / (n + 1)`, in standard errors."""
    covered = []
    for repetition in range(200):
        rng = checks.rng(repetition)
        conformal = make()
        fitted = predict(conformal, make_rows(rng, (n, *shape)), fit=True)
        assert fitted is conformal
        rows = make_rows(rng, (60, *shape))
        covered.append(covers(rows[0], *predict(conformal, rows, fit=False)))
    return np.array(covered), Fraction(rank, n + 1)


def check_coverage(rates, expected):
    """Of one rate a repetition: within three standard errors of the mean."""
    error = rates.std(ddof=1) / math.sqrt(len(rates))
    assert abs(rates.mean() - float(expected)) < 3 * error
    assert error < 0.01


def by_error(conformal, rows, fit):
    y, mean, _ = rows
    if fit:
        return conformal.fit(y, mean)
    return conformal.predict_interval(mean)


def by_std(conformal, rows, fit):
    y, mean, std = rows
    if fit:
        return conformal.fit(y, mean, std)
    return conformal.predict_interval(mean, std)


def by_ends(conformal, rows, fit):
    y, mean, std = rows
    if fit:
        return conformal.fit(y, mean - std, mean + 2 * std)
    return conformal.predict_interval(mean - std, mean + 2 * std)


@pytest.mark.parametrize(
    ("make", "predict", "n", "rank"),
    [
        (lambda: SplitConformal(0.9), by_error, 49, 45),
        (lambda: SplitConformal(0.8), by_std, 52, 43),
        (lambda: CQR(0.9), by_ends, 49, 45),
        (lambda: CQR(0.8), by_ends, 44, 36),
        # 1 of 20 below and 1 of 20 above.
        (lambda: CQR(0.9, symmetric=False), by_ends, 59, 54),
    ],
)
def test_coverage_of_new_rows_is_exact(make, predict, n, rank):
    covered, expected = coverage_of(make, predict, n, rank)
    check_coverage(covered.mean(axis=1), expected)


@pytest.mark.parametrize(
    ("make", "predict"), [(SplitConformal, by_std), (CQR, by_ends)]
)
def test_coverage_of_whole_sequences_and_of_each_step(make, predict):
    covered, expected = coverage_of(
        lambda: make(0.9, group="sequence"), predict, 49, 45, shape=(4,)
    )
    check_coverage(covered.all(axis=-1).mean(axis=1), expected)
    covered, expected = coverage_of(
        lambda: make(0.9, group="horizon"), predict, 49, 45, shape=(4,)
    )
    for step in range(4):
        check_coverage(covered[..., step].mean(axis=1), expected)
    assert covered.all(axis=-1).mean() < 0.8


def test_groups_item_by_item():
    y, mean, _ = make_rows(checks.rng(1), (20, 3, 2))
    errors = np.abs(y - mean)
    sequence = SplitConformal(0.8, group="sequence").fit(y, mean)
    assert sequence.quantile_ == sorted(errors.max(axis=(1, 2)))[16]
    horizon = SplitConformal(0.8, group="horizon").fit(y, mean)
    for place in np.ndindex(3, 2):
        one = SplitConformal(0.8).fit(y[:, *place], mean[:, *place])
        assert horizon.quantile_[place] == one.quantile_
    lower, upper = horizon.predict_interval(mean[:5])
    np.testing.assert_array_equal(upper, mean[:5] + horizon.quantile_)
    np.testing.assert_array_equal(lower, mean[:5] - horizon.quantile_)


def test_masked_steps_do_not_count():
    y, mean, std = make_rows(checks.rng(1), (30, 5))
    mask = np.arange(5) < checks.rng(2).integers(0, 6, (30, 1))
    assert (~mask).all(axis=1).any()
    bad_y, bad_std = np.where(mask, y, np.nan), np.where(mask, std, 0.0)
    scores = np.abs(y - mean) / std
    rows = zip(scores, mask, strict=True)
    peaks = sorted(row[kept].max() for row, kept in rows if kept.any())
    conformal = SplitConformal(0.5, group="sequence")
    conformal.fit(bad_y, mean, bad_std, mask=mask)
    assert conformal.quantile_ == peaks[math.ceil((len(peaks) + 1) / 2) - 1]
    conformal = SplitConformal(0.5, group="horizon")
    conformal.fit(bad_y, mean, bad_std, mask=mask)
    for step in range(5):
        kept = mask[:, step]
        one = SplitConformal(0.5).fit(
            y[kept, step], mean[kept, step], std[kept, step]
        )
        assert conformal.quantile_[step] == one.quantile_


def test_a_mask_of_rows_where_batch_equals_time():
    y, mean, _ = make_rows(checks.rng(1), (6, 6))
    rows = np.arange(6) < 4
    conformal = SplitConformal(0.5, group="horizon").fit(y, mean, mask=rows)
    expected = SplitConformal(0.5, group="horizon").fit(y[rows], mean[rows])
    np.testing.assert_array_equal(conformal.quantile_, expected.quantile_)


def test_the_order_of_rows_is_of_no_account():
    y, mean, std = make_rows(checks.rng(1), (30,))
    order = checks.rng(2).permutation(30)
    for symmetric in (True, False):
        ends = CQR(0.8, symmetric).fit(y, mean, std).predict_interval([0], [1])
        again = CQR(0.8, symmetric).fit(y[order], mean[order], std[order])
        assert again.predict_interval([0], [1]) == ends


@pytest.mark.parametrize("n", [0, 1, 8])
def test_too_few_rows_give_infinite_intervals_and_a_warning(n):
    y, mean, std = make_rows(checks.rng(1), (n,))
    expected = ([-np.inf, -np.inf], [np.inf, np.inf])
    for arguments, new in (((mean,), (2,)), ((mean, std), (2, 2))):
        with pytest.warns(UserWarning, match=rf"Of {n} scores.*0\.9"):
            conformal = SplitConformal(0.9).fit(y, *arguments)
        ends = conformal.predict_interval(*(np.ones(size) for size in new))
        np.testing.assert_array_equal(ends, expected)
    with pytest.warns(UserWarning, match="infinite intervals"):
        conformal = CQR(0.9).fit(y, mean - std, mean + std)
    ends = conformal.predict_interval([0.0, 0.0], [1.0, 1.0])
    np.testing.assert_array_equal(ends, expected)


def test_a_step_with_too_few_rows_is_infinite_alone():
    y, mean, _ = make_rows(checks.rng(1), (9, 2))
    mask = np.ones((9, 2), bool)
    mask[0, 1] = False
    with pytest.warns(UserWarning, match="Of 8 scores"):
        conformal = SplitConformal(0.9, "horizon").fit(y, mean, mask=mask)
    np.testing.assert_array_equal(np.isinf(conformal.quantile_), [False, True])


def test_intervals_that_were_too_wide_become_narrower_or_empty():
    y = np.linspace(-1, 1, 99)
    conformal = CQR(0.9).fit(y, y - 10.0, y + 10.0)
    lower, upper = conformal.predict_interval([0.0, 0.0], [30.0, 1.0])
    np.testing.assert_array_equal(lower, [10.0, 10.0])
    np.testing.assert_array_equal(upper, [20.0, -9.0])


def make_series_model():
    inputs = keras.Input((5,))
    x = keras.layers.Embedding(6, 4, mask_zero=True)(inputs)
    x = kst.layers.MCDropout(0.3)(x)
    return keras.Model(inputs, kst.heads.NormalHead(1)(x))


def test_results_bring_their_mean_std_interval_and_mask():
    tokens = checks.rng(1).integers(1, 6, (30, 5))
    tokens[:, 3:] *= checks.rng(2).integers(0, 2, (30, 1))
    result = kst.predict_uncertainty(
        make_series_model(), tokens, num_samples=5, levels=(0.8,), verbose=0
    )
    assert not result.mask.all()
    y = checks.rng(3).normal(size=(30, 5, 1))
    bad = np.where(result.mask[..., None], y, np.nan)
    few = np.arange(30) < 25
    for group in ("sequence", "horizon"):
        conformal = SplitConformal(0.8, group).fit(bad, result, mask=few)
        expected = SplitConformal(0.8, group).fit(
            y, result.mean, result.std, mask=result.mask & few[:, None]
        )
        np.testing.assert_array_equal(
            conformal.predict_interval(result[:4]),
            expected.predict_interval(result.mean[:4], result.std[:4]),
        )
        conformal = CQR(0.8, group=group).fit(bad, result)
        ends = result.interval(0.8)
        expected = CQR(0.8, group=group).fit(y, *ends, mask=result.mask)
        np.testing.assert_array_equal(
            conformal.predict_interval(result), expected.predict_interval(*ends)
        )
    with pytest.raises(ValueError, match="`std`"):
        SplitConformal(0.8, "horizon").fit(y, result, result.std)
    with pytest.raises(ValueError, match="`upper`"):
        CQR(0.8, group="horizon").fit(y, result, result.mean)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_what_is_not_finite_and_counts(place, value):
    arrays = [array.copy() for array in make_rows(checks.rng(1), (30,))]
    arrays[place][3] = value
    name = ("y_true", "y_pred", "std")[place]
    with pytest.raises(ValueError, match=rf"`{name}`.*Expected finite"):
        SplitConformal(0.8).fit(*arrays)
    name = ("y_true", "lower", "upper")[place]
    with pytest.raises(ValueError, match=rf"`{name}`.*Expected finite"):
        CQR(0.8).fit(*arrays)


def test_a_prediction_that_is_nan_has_an_interval_that_is_nan():
    y, mean, std = make_rows(checks.rng(1), (30,))
    for ends in (
        SplitConformal(0.8).fit(y, mean).predict_interval([np.nan, 0.0]),
        SplitConformal(0.8)
        .fit(y, mean, std)
        .predict_interval([0.0, 0.0], [np.nan, 1.0]),
        CQR(0.8).fit(y, mean, std).predict_interval([np.nan, 0], [np.nan, 1]),
    ):
        np.testing.assert_array_equal(np.isnan(ends), [[True, False]] * 2)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_refuses_a_std_that_is_not_positive(value):
    y, mean, std = make_rows(checks.rng(1), (30,))
    conformal = SplitConformal(0.8).fit(y, mean, std)
    with pytest.raises(ValueError, match=r"`std`.*Expected positive"):
        conformal.predict_interval([0.0, 0.0], [1.0, value])
    std[2] = value
    with pytest.raises(ValueError, match=r"`std`.*Expected positive"):
        SplitConformal(0.8).fit(y, mean, std)


@pytest.mark.parametrize("other", [(1, 30), (1,), (), (31,)])
def test_refuses_shapes_that_would_broadcast(other):
    y, bad = np.zeros(30), np.ones(other)
    for call in (
        lambda: SplitConformal(0.8).fit(y, bad),
        lambda: SplitConformal(0.8).fit(y, y, bad),
        lambda: CQR(0.8).fit(y, y, bad),
        lambda: SplitConformal(0.8).fit(y, y, y + 1).predict_interval(y, bad),
        lambda: CQR(0.8).fit(y, y, y).predict_interval(y, bad),
    ):
        with pytest.raises(ValueError, match="shape"):
            call()


def test_refuses_steps_without_a_group_and_rows_of_another_shape():
    y = np.zeros((30, 4))
    with pytest.raises(ValueError, match=r"several values.*group=None"):
        SplitConformal(0.8).fit(y, y)
    column = SplitConformal(0.8).fit(y[:, :1], y[:, :1])
    with pytest.raises(ValueError, match=r"several values.*group=None"):
        column.predict_interval(y)
    horizon = SplitConformal(0.8, "horizon").fit(y, y)
    with pytest.raises(ValueError, match=r"fitted, \(4,\).*\(3,\)"):
        horizon.predict_interval(y[:, :3])


def test_refuses_to_predict_what_was_not_fitted():
    with pytest.raises(ValueError, match="`SplitConformal` is not fitted"):
        SplitConformal(0.8).predict_interval([1.0])
    with pytest.raises(ValueError, match="is not fitted"):
        CQR(0.8).predict_interval([1.0], [2.0])
    y = np.arange(9.0)
    with pytest.raises(ValueError, match="Expected `None`, as in `fit`"):
        SplitConformal(0.8).fit(y, y).predict_interval(y, y)
    with pytest.raises(ValueError, match="Expected standard deviations"):
        SplitConformal(0.8).fit(y, y, y + 1).predict_interval(y)
    with pytest.raises(ValueError, match="`upper`"):
        CQR(0.8).fit(y, y)


@pytest.mark.parametrize("value", [0.0, 1.0, 90, -0.1, np.nan])
@pytest.mark.parametrize("make", [SplitConformal, CQR, AdaptiveConformal])
def test_refuses_a_level_that_is_no_fraction(make, value):
    with pytest.raises(ValueError, match=r"`level`.*Received: level="):
        make(value)


def test_refuses_an_unknown_group():
    with pytest.raises(ValueError, match=r"`group`.*Received: group='step'"):
        SplitConformal(0.8, group="step")


def test_targets_may_lack_the_axis_of_one_unit():
    y, mean = checks.rng().normal(size=(2, 30))
    flat = SplitConformal(0.8).fit(y, mean)
    column = SplitConformal(0.8).fit(y, mean[:, None])
    assert column.quantile_ == flat.quantile_
    lower, upper = column.predict_interval(mean[:5, None])
    assert lower.shape == upper.shape == (5, 1)
