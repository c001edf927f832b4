"""Recalibrated spreads and quantiles against optimisers and scipy."""

import checks
import keras
import numpy as np
import pytest
from scipy import optimize
from scipy import stats

import keras_seqtools as kst
from keras_seqtools.calibration import QuantileRecalibration
from keras_seqtools.calibration import StdScaling


def make_rows(shape, seed=1):
    rng = checks.rng(seed)
    mean, std = rng.normal(size=shape), 0.2 + rng.random(shape)
    return mean + 1.7 * std * rng.standard_t(6, shape), mean, std


def nll(scale, y, mean, std, weight):
    density = stats.norm.logpdf(y, mean, scale * std)
    return -np.average(density, weights=weight)


@pytest.mark.parametrize("shape", [(50,), (20, 4), (10, 4, 2)])
def test_the_factor_is_what_an_optimiser_finds(shape):
    y, mean, std = make_rows(shape)
    weight = checks.rng(2).random(shape)
    found = optimize.minimize_scalar(
        nll,
        bounds=(0.1, 10.0),
        args=(y, mean, std, weight),
        options={"xatol": 1e-10},
    )
    scaling = StdScaling().fit(y, mean, std, sample_weight=weight)
    np.testing.assert_allclose(scaling.scale_, found.x, rtol=1e-6)
    before = nll(1.0, y, mean, std, weight)
    np.testing.assert_allclose(
        list(scaling.report.values()), [y.size, before, found.fun], rtol=1e-12
    )
    np.testing.assert_array_equal(scaling.transform(std), scaling.scale_ * std)


def test_what_is_well_scaled_stays_so():
    y, mean, std = make_rows((200,))
    scaling = StdScaling().fit(y, mean, std)
    again = StdScaling().fit(y, mean, scaling.transform(std))
    np.testing.assert_allclose(again.scale_, 1.0, rtol=1e-12)
    assert scaling.report["nll_after"] < scaling.report["nll_before"]


def test_a_mask_drops_rows_and_a_weight_of_2_is_a_row_twice():
    y, mean, std = make_rows((30,))
    weight = checks.rng(2).integers(0, 3, 30)
    bad = np.where(weight > 0, y, np.nan)
    bad_std = np.where(weight > 0, std, 0.0)
    expected = StdScaling().fit(
        *(np.repeat(values, weight) for values in (y, mean, std))
    )
    scaling = StdScaling().fit(bad, mean, bad_std, sample_weight=weight)
    np.testing.assert_allclose(scaling.scale_, expected.scale_, rtol=1e-12)
    kept = weight > 0
    expected = StdScaling().fit(y[kept], mean[kept], std[kept])
    scaling = StdScaling().fit(bad, mean, bad_std, mask=kept)
    assert scaling.scale_ == expected.scale_
    assert scaling.report == expected.report


def test_a_result_brings_its_mean_std_and_mask():
    inputs = keras.Input((5,))
    x = keras.layers.Embedding(6, 4, mask_zero=True)(inputs)
    x = kst.layers.MCDropout(0.3)(x)
    model = keras.Model(inputs, kst.heads.NormalHead(1)(x))
    tokens = checks.rng(1).integers(0, 6, (30, 5))
    result = kst.predict_uncertainty(model, tokens, num_samples=5, verbose=0)
    y = checks.rng(3).normal(size=(30, 5, 1))
    bad = np.where(result.mask[..., None], y, np.nan)
    scaling = StdScaling().fit(bad, result)
    expected = StdScaling().fit(
        y[result.mask], result.mean[result.mask], result.std[result.mask]
    )
    assert scaling.scale_ == expected.scale_
    np.testing.assert_array_equal(
        scaling.transform(result), scaling.scale_ * result.std.astype("float64")
    )


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_std_scaling_refuses_what_is_not_finite(place, value):
    arrays = list(make_rows((30,)))
    arrays[place][3] = value
    name = ("y_true", "mean", "std")[place]
    with pytest.raises(ValueError, match=rf"`{name}`.*Expected finite"):
        StdScaling().fit(*arrays)


def test_std_scaling_refuses_what_has_no_factor():
    y, mean, std = make_rows((5,))
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match=r"`std`.*positive"):
            StdScaling().fit(y, mean, np.full(5, bad))
    with pytest.raises(ValueError, match=r"No factor fits.*5 values"):
        StdScaling().fit(y, y, std)
    for mask in (np.zeros(5, bool), [False]):
        with pytest.raises(ValueError, match=r"No factor fits|`mask`"):
            StdScaling().fit(y, mean, std, mask=mask)
    with pytest.raises(ValueError, match=r"No factor fits.*0 values"):
        StdScaling().fit([], [], [])
    for other in ((5, 1), (1,), (), (4,)):
        with pytest.raises(ValueError, match="same shape"):
            StdScaling().fit(y, mean, np.ones(other))
    with pytest.raises(ValueError, match=r"`std`.*unless `mean` is a result"):
        StdScaling().fit(y, mean)
    with pytest.raises(ValueError, match="not fitted"):
        StdScaling().transform(std)


def make_pit(size, seed):
    """PIT values under a normal forecast that is off centre and too narrow."""
    y = checks.rng(seed).normal(0.4, 1.8, size)
    return y, stats.norm.cdf(y)


def test_recalibrated_pit_values_of_new_data_are_uniform():
    _, pit = make_pit(20_000, seed=1)
    y, new = make_pit(1000, seed=2)
    recalibration = QuantileRecalibration().fit(pit)
    wanted = np.linspace(0.0005, 0.9995, 1999)
    asked = recalibration.transform(wanted)
    recalibrated = np.interp(new, asked, wanted)
    assert stats.kstest(new, "uniform").pvalue < 1e-9
    assert stats.kstest(recalibrated, "uniform").pvalue > 0.05
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        below = y <= stats.norm.ppf(recalibration.transform(level))
        assert abs(below.mean() - level) < 3 * np.sqrt(
            level * (1 - level) * (1 / 1000 + 1 / 20_000)
        )


def test_levels_of_calibrated_forecasts_stay():
    pit = (np.arange(1000) + 0.5) / 1000
    levels = np.linspace(0.001, 0.999, 77)
    np.testing.assert_allclose(
        QuantileRecalibration().fit(pit).transform(levels), levels, rtol=1e-12
    )


def test_asks_for_the_quantiles_of_the_pit_values():
    _, pit = make_pit(40, seed=1)
    levels = np.linspace(0.5 / 40, 1 - 0.5 / 40, 99)
    asked = QuantileRecalibration().fit(pit).transform(levels)
    np.testing.assert_allclose(
        asked, np.quantile(pit, levels, method="hazen"), rtol=1e-12
    )


def test_never_falls_and_stays_inside():
    levels = np.concatenate(
        [[1e-12, 1e-6], np.linspace(0.001, 0.999, 999), [1 - 1e-12]]
    )
    for pit in (
        make_pit(30, seed=1)[1],
        [0.0] * 9 + [1.0] * 9,
        [0.0],
        [1.0],
        [0.5],
        np.round(make_pit(50, seed=1)[1], 1),
    ):
        asked = QuantileRecalibration().fit(pit).transform(levels)
        assert (np.diff(asked) >= 0.0).all()
        assert asked.min() > 0.0
        assert asked.max() < 1.0
        inside = asked.astype("float32")
        assert np.isfinite(stats.norm.ppf(inside)).all()


def test_quantiles_with_masks_weights_ties_and_any_order():
    pit = np.round(checks.rng(1).random((20, 3)), 1)
    weight = checks.rng(2).integers(0, 3, (20, 3))
    bad = np.where(weight > 0, pit, np.nan)
    levels = np.linspace(0.01, 0.99, 50)
    expected = QuantileRecalibration().fit(
        checks.rng(3).permutation(np.repeat(pit.ravel(), weight.ravel()))
    )
    weighted = QuantileRecalibration().fit(bad, sample_weight=weight)
    np.testing.assert_allclose(
        weighted.transform(levels), expected.transform(levels), rtol=1e-12
    )
    masked = QuantileRecalibration().fit(bad, mask=weight > 0)
    dropped = QuantileRecalibration().fit(pit[weight > 0])
    np.testing.assert_array_equal(
        masked.transform(levels), dropped.transform(levels)
    )


def test_levels_keep_their_shape():
    recalibration = QuantileRecalibration().fit([0.2, 0.4])
    assert recalibration.transform(0.5).shape == ()
    assert recalibration.transform([[0.1, 0.9]]).shape == (1, 2)


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1, np.inf])
def test_quantile_recalibration_refuses_what_is_no_cdf(value):
    with pytest.raises(ValueError, match=r"`pit`.*Received: pit="):
        QuantileRecalibration().fit([0.5, value])
    with pytest.raises(ValueError, match=r"`levels`.*Received: levels="):
        QuantileRecalibration().fit([0.5]).transform([value])


def test_quantile_recalibration_refuses_nothing_and_what_is_not_fitted():
    with pytest.raises(ValueError, match="one value"):
        QuantileRecalibration().fit([])
    with pytest.raises(ValueError, match="one value"):
        QuantileRecalibration().fit([0.5], mask=[False])
    with pytest.raises(ValueError, match="not fitted"):
        QuantileRecalibration().transform(0.5)


def test_targets_may_lack_the_axis_of_one_unit():
    y, mean = checks.rng().normal(size=(2, 30))
    weight, std = checks.rng(1).random(30), np.ones(30)
    flat = StdScaling().fit(y, mean, std, sample_weight=weight)
    column = StdScaling().fit(
        y, mean[:, None], std[:, None], sample_weight=weight
    )
    assert column.scale_ == flat.scale_
