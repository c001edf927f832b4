"""The glucose windows against a plain walk through the record."""

import itertools

import glucose_data
import numpy as np
import pytest
from glucose_data import AHEAD
from glucose_data import HISTORY
from glucose_data import SPAN


@pytest.fixture(scope="module")
def record():
    return glucose_data.read_record()


@pytest.fixture(scope="module")
def parts():
    return glucose_data.load()


def walk(time):
    """Starts of the windows without a gap, one step at a time."""
    starts, unbroken = [], 0
    for index in range(len(time)):
        step = (time[index] - time[index - 1]) / np.timedelta64(1, "s")
        follows = index > 0 and 210 <= step <= 390
        unbroken = unbroken + 1 if follows else 1
        if unbroken >= SPAN:
            starts.append(index - SPAN + 1)
    return starts


def test_record_is_complete_and_in_time_order(record):
    time, glucose = record
    assert len(time) == len(glucose) == 52281
    assert (np.diff(time) >= np.timedelta64(0, "s")).all()
    assert glucose.min() == 40.0
    assert glucose.max() == 400.0


def test_windows_are_those_of_a_plain_walk(record):
    time, _ = record
    starts = glucose_data.window_starts(time)
    np.testing.assert_array_equal(starts, walk(time))
    assert len(starts) == 44620


def test_no_window_spans_a_gap():
    # 60 seconds is a gap too: two streams of readings alternate there.
    steps = [300] * 60 + [600] + [300] * 50 + [60, 240] + [300] * 45
    time = np.cumsum([0, *steps]).astype("datetime64[s]")
    starts = glucose_data.window_starts(time)
    np.testing.assert_array_equal(starts, walk(time))
    # Unbroken runs of 61, 51 and 47 readings hold so many windows of 42.
    assert len(starts) == 20 + 10 + 6


def test_each_window_holds_its_readings(record, parts):
    time, glucose = record
    where = {stamp: index for index, stamp in enumerate(time)}
    for part in parts:
        assert len(part) == len(part.inputs) == len(part.time)
        for row in range(0, len(part), 97):
            target = where[part.time[row]]
            last = target - AHEAD
            window = glucose[last - HISTORY + 1 : last + 1]
            np.testing.assert_array_equal(part.history[row], window)
            assert part.last[row, 0] == glucose[last]
            assert part.target[row, 0] == glucose[target]
            ahead = (time[target] - time[last]) / np.timedelta64(1, "m")
            assert 27 <= ahead <= 33


def test_parts_share_no_reading(record):
    starts = glucose_data.window_starts(record[0])
    used = [
        {start + offset for start in part for offset in range(SPAN)}
        for part in glucose_data.split(starts)
    ]
    assert max(used[0]) < min(used[1])
    assert max(used[1]) < min(used[2])


def test_drops_the_41_windows_that_straddle_each_cut(record):
    starts = glucose_data.window_starts(record[0])
    parts = glucose_data.split(starts)
    for before, after in itertools.pairwise(parts):
        straddle = [
            start for start in starts if start < after[0] < start + SPAN
        ]
        # 41 because the record is unbroken for 41 readings before both cuts.
        assert len(straddle) == 41
        assert not np.isin(straddle, np.concatenate(parts)).any()
        assert before[-1] == straddle[0] - 1
    assert sum(map(len, parts)) == len(starts) - 2 * 41
    assert [len(part) for part in parts] == [31192, 6653, 6693]


def test_a_cut_at_a_gap_drops_nothing():
    # 70 % end at a gap that no window spans; 85 % do not.
    starts = np.r_[0:700, 741:1041]
    train, validation, test = glucose_data.split(starts)
    np.testing.assert_array_equal(train, starts[:700])
    np.testing.assert_array_equal(validation, starts[700 : 850 - 41])
    np.testing.assert_array_equal(test, starts[850:])


def test_scale_comes_from_the_training_part_alone(parts):
    history = parts[0].history.astype("float64")
    change = np.diff(history, axis=1, prepend=history[:, :1])
    for part in parts:
        level = (part.history - history.mean()) / history.std()
        np.testing.assert_allclose(part.inputs[..., 0], level, atol=1e-5)
        step = np.diff(part.history, axis=1) / change.std()
        shift = change.mean() / change.std()
        np.testing.assert_allclose(
            part.inputs[:, 1:, 1], step - shift, atol=1e-5
        )
        np.testing.assert_allclose(part.inputs[:, 0, 1], -shift, atol=1e-5)


def test_shapes_and_types(parts):
    for part in parts:
        n = len(part)
        assert part.inputs.shape == (n, 36, 2)
        assert part.history.shape == (n, 36)
        assert part.last.shape == part.target.shape == (n, 1)
        for array in (part.inputs, part.last, part.target, part.history):
            assert array.dtype == "float32"
        assert part.days.dtype == "datetime64[D]"
