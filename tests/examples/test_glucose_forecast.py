"""The main job holds the numbers it is there to reach."""

import glucose_baselines
import glucose_data
import glucose_forecast
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score


@pytest.mark.slow
def test_full_job_reaches_its_numbers():
    """Those that a boosted tree reached on these windows, and better."""
    train, validation, test = glucose_data.load()
    model, head = glucose_forecast.fit_model(
        train, validation, epochs=12, seed=0
    )
    forecast, _ = glucose_forecast.sampled(model, head, test, 20)
    scores = {
        name: values.mean()
        for name, values in glucose_baselines.scores(
            forecast, test.target
        ).items()
    }
    assert np.sqrt(scores["squared_error"]) <= 22.0
    assert scores["nll"] <= 4.24
    assert scores["interval_score"] < 98.9
    assert 0.86 <= scores["covered_90"] <= 0.94
    rows = test.last[:, 0] >= glucose_baselines.LOW
    is_low = test.target[rows, 0] < glucose_baselines.LOW
    assert roc_auc_score(is_low, forecast.prob_low[rows, 0]) > 0.88


def test_reliability_counts_every_window():
    rng = np.random.default_rng(0)
    prob_low = rng.random((1000, 1))
    target = np.where(rng.random((1000, 1)) < prob_low, 60.0, 100.0)
    found = glucose_forecast.reliability(prob_low, target)
    assert sum(n for n, *_ in found) == 1000
    for n, predicted, seen in found:
        sd = np.sqrt(predicted * (1 - predicted) / n)
        assert abs(predicted - seen) < 5 * sd
