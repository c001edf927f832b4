"""What a report says, against the metrics and against what is known."""

import dataclasses

import checks
import numpy as np
import pytest
from recalibrators import CASES
from recalibrators import draw
from recalibrators import probabilities

import keras_seqtools as kst


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize(("make", "classes"), CASES)
def test_scores_are_those_of_the_metrics(make, classes, from_logits):
    y, logits = draw(classes, (40, 5))
    weight = checks.rng(6).random((40, 5))
    x = logits if from_logits else probabilities(logits)
    calibrator = make().fit(y, x, from_logits=from_logits, sample_weight=weight)
    report = calibrator.report
    before = probabilities(logits.astype("float64")) if from_logits else x
    after = calibrator.transform(x)
    for score, metric in (
        (report.nll, kst.metrics.log_loss),
        (report.brier, kst.metrics.brier_score),
        (report.ece, kst.metrics.expected_calibration_error),
    ):
        for value, p in ((score.before, before), (score.after, after)):
            expected = metric(y, p, sample_weight=weight)
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-9)
    for score in (report.nll, report.brier):
        np.testing.assert_allclose(score.gain, score.before - score.after)
    assert report.n == 200


@pytest.mark.parametrize("classes", [1, 3])
def test_chance_is_the_error_of_labels_drawn_from_the_probabilities(classes):
    rng = checks.rng()
    p = rng.dirichlet(np.ones(max(classes, 2)), 2000)
    weight = rng.random(2000)
    y = (np.cumsum(p, axis=-1) < rng.random((2000, 1))).sum(-1)
    p = p**2 / (p**2).sum(-1, keepdims=True)
    if classes == 1:
        p = p[:, 1:]
    scaling = kst.calibration.TemperatureScaling()
    found = scaling.fit(y, p, sample_weight=weight).report.ece
    for q, chance in (
        (p, found.chance_before),
        (scaling.transform(p), found.chance_after),
    ):
        errors = []
        for _ in range(100):
            u = rng.random((2000, 1))
            drawn = (q > u)[:, 0] if classes == 1 else None
            if classes > 1:
                drawn = np.minimum((np.cumsum(q, -1) < u).sum(-1), classes - 1)
            errors.append(
                kst.metrics.expected_calibration_error(
                    drawn, q, sample_weight=weight
                )
            )
        reach = 4 * np.std(errors) / 10
        np.testing.assert_allclose(np.mean(errors), chance, atol=reach)


def half_widths(score):
    return [
        (getattr(score, f"{name}_interval")[1] - getattr(score, name)) / 1.96
        for name in ("before", "after", "gain")
    ]


@pytest.mark.parametrize("rows", [400, 20_000])
def test_intervals_are_those_of_means(rows):
    """For a mean the bootstrap gives the standard error; groups too."""
    y, logits = draw(3, (rows,))
    p = probabilities(logits.astype("float64"))
    scaling = kst.calibration.TemperatureScaling().fit(y, p)
    own = np.arange(rows), y
    terms = -np.log([p[own], scaling.transform(p)[own]])
    terms = np.vstack([terms, terms[0] - terms[1]])
    np.testing.assert_allclose(
        half_widths(scaling.report.nll),
        terms.std(axis=1) / np.sqrt(rows),
        rtol=0.15,
    )


def test_steps_of_a_row_are_not_counted_as_rows():
    y, logits = draw(3, (100,))
    p = probabilities(logits)
    one = kst.calibration.TemperatureScaling().fit(y, p).report
    same = kst.calibration.TemperatureScaling().fit(
        np.repeat(y[:, None], 9, 1), np.repeat(p[:, None], 9, 1)
    )
    assert same.report.n == 900
    np.testing.assert_allclose(
        half_widths(same.report.nll), half_widths(one.nll), rtol=1e-6
    )


def test_intervals_cover():
    """Of the Brier score of given probabilities, 57 of 60 times."""
    covered = 0
    for seed in range(60):
        rng = checks.rng(seed)
        y = (rng.random(100) < 0.5).astype(int)
        p = np.where(np.arange(100) % 2, 0.3, 0.8)
        report = kst.calibration.PlattScaling().fit(y, p).report
        low, high = report.brier.before_interval
        truth = 0.25 + (0.2**2 + 0.3**2) / 2.0
        covered += low <= truth <= high
    assert covered >= 52


def test_says_whether_there_is_a_gain():
    y, logits = draw(4, (1000,), temperature=2.0)
    gained = kst.calibration.TemperatureScaling().fit(
        y, logits, from_logits=True
    )
    assert gained.report.nll.gain_interval[0] > 0.0
    assert "no detectable gain" not in repr(gained.report)
    y, logits = draw(4, (1000,), temperature=1.0)
    calibrated = kst.calibration.TemperatureScaling().fit(
        y, logits, from_logits=True
    )
    assert calibrated.report.nll.gain_interval[0] < 0.0
    assert "no detectable gain" in repr(calibrated.report)


def test_of_one_row_nothing_is_known():
    y, logits = draw(3, (1, 50))
    report = (
        kst.calibration.TemperatureScaling()
        .fit(y, logits, from_logits=True)
        .report
    )
    assert np.isnan(report.nll.gain_interval).all()
    assert "no detectable gain" in repr(report)


def test_is_a_frozen_table():
    y, logits = draw(3)
    report = (
        kst.calibration.TemperatureScaling()
        .fit(y, logits, from_logits=True)
        .report
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.n = 3
    lines = repr(report).splitlines()
    assert lines[0].startswith("RecalibrationReport: n=60")
    assert [line.split()[0] for line in lines[1:5]] == [
        "before",
        "nll",
        "brier",
        "ece",
    ]
    assert f"{report.nll.before:.4f}" in lines[2]
    assert max(map(len, lines)) <= 84
