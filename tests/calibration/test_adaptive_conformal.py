"""Adaptive conformal intervals: the recursion, and what it promises."""

import math

import checks
import keras
import numpy as np
import pytest

import keras_seqtools as kst
from keras_seqtools.calibration import AdaptiveConformal


def make_drift(steps):
    """A series whose noise grows eightfold, and whose centre moves away."""
    time = np.linspace(0, 1, steps)
    noise = checks.rng(1).normal(size=steps)
    return 3 * np.sin(20 * time) * time + 8**time * noise


def follow(conformal, series):
    """Whether each value was covered, and by which interval."""
    covered, ends = [], []
    for y in series:
        ends.append(conformal.predict_interval(-0.5, 0.5))
        covered.append(conformal.update(y, -0.5, 0.5))
    return np.array(covered), np.array(ends)


def test_equals_the_recursion_of_the_paper():
    series = make_drift(300)
    covered, ends = follow(AdaptiveConformal(0.8, step_size=0.03), series)
    alpha, scores = 0.2, []
    for step, y in enumerate(series):
        rank = math.ceil(round((len(scores) + 1) * (1 - alpha), 9))
        if rank > len(scores):
            shift = math.inf
        else:
            shift = sorted(scores)[rank - 1] if rank > 0 else -math.inf
        assert tuple(ends[step]) == (-0.5 - shift, 0.5 + shift)
        error = not -0.5 - shift <= y <= 0.5 + shift
        assert covered[step] == (not error)
        alpha += 0.03 * (0.2 - error)
        scores.append(abs(y) - 0.5)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("step_size", [0.005, 0.05])
def test_long_run_coverage_is_within_the_bound_of_the_paper(level, step_size):
    series = make_drift(2000)
    conformal = AdaptiveConformal(level, step_size)
    covered, _ = follow(conformal, series)
    steps = np.arange(1, len(series) + 1)
    gap = np.abs(covered.cumsum() / steps - level)
    bound = (max(level, 1 - level) + step_size) / (steps * step_size)
    assert (gap <= bound + 1e-12).all()
    # The bound is tight enough for the same level, kept as it is, to break it.
    fixed, _ = follow(AdaptiveConformal(level, 1e-12), series)
    if step_size == 0.05:
        assert abs(fixed.mean() - level) > bound[-1]


def test_the_bound_holds_against_an_adversary():
    conformal = AdaptiveConformal(0.9, 0.05)
    covered = []
    for _ in range(500):
        _, upper = conformal.predict_interval(0.0, 0.0)
        y = 0.0 if math.isinf(upper) else upper + 1.0
        covered.append(conformal.update(y, 0.0, 0.0))
    assert abs(np.mean(covered) - 0.9) <= (0.9 + 0.05) / (0.05 * 500)


def test_coverage_of_a_series_that_does_not_drift():
    rates = []
    for repetition in range(200):
        conformal = AdaptiveConformal(0.8, 0.02)
        covered, _ = follow(conformal, checks.rng(repetition).normal(size=200))
        rates.append(covered[100:].mean())
    error = np.std(rates, ddof=1) / math.sqrt(200)
    assert abs(np.mean(rates) - 0.8) < 3 * error


def test_asks_for_nothing_below_a_level_of_0_and_for_everything_above_1():
    conformal = AdaptiveConformal(0.5, step_size=0.6)
    assert conformal.predict_interval(1.0, 2.0) == (-np.inf, np.inf)
    assert conformal.update(1.5, 1.0, 2.0)  # 0.5 - 0.3
    assert conformal.update(1.5, 1.0, 2.0)  # 0.2 - 0.3
    assert conformal.level_ < 0
    assert conformal.predict_interval(1.0, 2.0) == (np.inf, -np.inf)
    assert not conformal.update(1.5, 1.0, 2.0)
    conformal.update(99.0, 1.0, 2.0)
    conformal.update(999.0, 1.0, 2.0)
    assert conformal.level_ > 0.7


def test_takes_results_of_one_value():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, kst.heads.NormalHead(1)(inputs))
    result = kst.predict_uncertainty(
        model, np.ones((1, 2)), levels=(0.8,), verbose=0
    )
    conformal, expected = AdaptiveConformal(0.8), AdaptiveConformal(0.8)
    ends = [end.item() for end in result.interval(0.8)]
    for y in range(9):
        assert conformal.update(y, result) == expected.update(y, *ends)
    assert conformal.predict_interval(result) == expected.predict_interval(
        *ends
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, [1.0, 2.0], []])
def test_refuses_what_is_not_one_finite_number(value):
    conformal = AdaptiveConformal()
    for name, arguments in (
        ("y_true", (value, 0.0, 1.0)),
        ("lower", (0.0, value, 1.0)),
        ("upper", (0.0, 0.0, value)),
    ):
        with pytest.raises(ValueError, match=rf"`{name}`.*one finite number"):
            conformal.update(*arguments)
    assert conformal.level_ == 0.9


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_refuses_a_step_size_that_is_not_positive(value):
    with pytest.raises(ValueError, match=r"`step_size`.*Received: step_size="):
        AdaptiveConformal(0.9, value)
