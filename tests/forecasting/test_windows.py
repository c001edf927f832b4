"""make_windows: all windows that lie in one piece of one series, no other."""

import checks
import keras
import numpy as np
import pytest
from long_series import coded
from long_series import random_stamps

from keras_seqtools.forecasting import make_windows
from keras_seqtools.layers import CausalSlice


@pytest.mark.parametrize(
    ("input_steps", "horizon", "stride"), [(4, 1, 1), (3, 2, 1), (2, 3, 4)]
)
def test_equals_a_loop_over_all_windows(input_steps, horizon, stride):
    rng = checks.rng()
    series = coded([60, 40, 90])
    stamped = [random_stamps(len(one), rng) for one in series]
    expected = []
    for number, (one, (_, gaps)) in enumerate(
        zip(series, stamped, strict=True)
    ):
        for piece in np.split(np.arange(len(one)), gaps):
            for start in piece[::stride]:
                if start + input_steps + horizon - 1 in piece:
                    end = start + input_steps
                    x, y = one[start:end], one[end : end + horizon]
                    expected.append((number, start, x, -y))
    with pytest.warns(UserWarning, match="left out"):
        windows = make_windows(
            series,
            input_steps,
            horizon,
            targets=[np.stack([one, -one], -1) for one in series],
            timestamps=[stamps for stamps, _ in stamped],
            stride=stride,
        )
    number, start, x, minus_y = map(np.array, zip(*expected, strict=True))
    np.testing.assert_array_equal(windows.series, number)
    np.testing.assert_array_equal(windows.start, start)
    np.testing.assert_array_equal(windows.x, x[..., None])
    np.testing.assert_array_equal(
        windows.y, np.stack([-minus_y, minus_y], axis=-1)
    )


def test_equals_keras_where_there_is_one_series_without_gaps():
    series = checks.rng().normal(size=(30, 2))
    windows = make_windows(series, 5, stride=3)
    ((x, y),) = keras.utils.timeseries_dataset_from_array(
        series[:-1], series[5:], 5, sequence_stride=3
    )
    np.testing.assert_array_equal(windows.x, x)
    np.testing.assert_array_equal(windows.y[:, 0], y)


def test_windows_own_their_memory():
    series = np.arange(9.0)
    windows = make_windows(series, 3)
    windows.x[0] = 7.0
    assert series[0] == 0.0
    assert windows.x[1, 0] == 1.0
    assert windows.x.flags.c_contiguous
    assert windows.x.dtype == series.dtype


def test_nan_is_kept_and_may_be_made_a_gap():
    series = np.array([0.0, 1.0, np.nan, 3.0, 4.0, 5.0])
    has_nan = np.isnan(make_windows(series, 2).x[:, :, 0]).any(1)
    assert has_nan.tolist() == [False, True, True, False]
    known = np.flatnonzero(~np.isnan(series))
    with pytest.warns(UserWarning, match="1 of 2 pieces"):
        windows = make_windows(series[known], 2, timestamps=known)
    assert windows.x[..., 0].tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize(
    "timestamps",
    [
        0.1 * np.arange(50),
        np.arange(50, dtype="uint8"),
        np.arange("2000-01", "2004-03", dtype="datetime64[M]"),
        np.arange("2000-01", "2004-03", dtype="datetime64[M]").astype(
            "datetime64[D]"
        ),
        np.arange("1980", "2030", dtype="datetime64[Y]").astype(
            "datetime64[ns]"
        ),
    ],
    ids=lambda timestamps: timestamps.dtype,
)
def test_rounding_months_and_leap_years_are_no_gaps(timestamps):
    windows = make_windows(np.arange(50.0), 4, timestamps=timestamps)
    assert len(windows.x) == 46
    missing = np.delete(np.arange(50), 20)
    windows = make_windows(missing, 4, timestamps=timestamps[missing])
    assert len(windows.x) == 16 + 25


def test_one_x_serves_one_step_and_several():
    series = np.arange(40.0)
    windows = make_windows(series, 8, horizon=3)
    model = keras.Sequential([keras.layers.Lambda(lambda x: x + 3)])
    direct = CausalSlice(3)(model(windows.x))
    np.testing.assert_array_equal(direct, windows.y)
    one_step = make_windows(series, 8)
    np.testing.assert_array_equal(one_step.x[:-2], windows.x)
    np.testing.assert_array_equal(one_step.y[:-2, 0], windows.y[:, 0])


LONG = np.arange(20.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"series": [LONG, LONG, LONG[:5]]}, "series 2 with 5 time steps"),
        ({"series": LONG[:5]}, "at least 6 time steps"),
        ({"series": []}, "series"),
        ({"series": [LONG, []]}, r"series\[1\] of shape \(0,\)"),
        ({"series": LONG[:, None, None]}, "list of such arrays"),
        ({"series": [LONG, np.ones((20, 2))]}, "same number of features"),
        ({"targets": LONG[1:]}, "as long as `series`"),
        ({"series": [LONG, LONG], "targets": LONG}, "length 2"),
        ({"series": [LONG, LONG], "targets": [LONG]}, "length 2"),
        ({"timestamps": LONG[:-1]}, "as long as `series`"),
        ({"timestamps": -LONG}, "increase"),
        ({"timestamps": np.append(LONG[1:], np.nan)}, "increase"),
        ({"timestamps": LONG.astype(str)}, "datetime64"),
        ({"timestamps": np.cumsum(LONG**3 + 1)}, "without a gap"),
        ({"input_steps": 0}, "input_steps"),
        ({"horizon": 1.5}, "horizon"),
        ({"stride": 0}, "stride"),
    ],
)
def test_refuses_what_it_cannot_cut(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_windows(**{"series": LONG, "input_steps": 5, **arguments})
