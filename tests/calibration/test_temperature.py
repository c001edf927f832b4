"""Temperature scaling against scikit-learn, and the minimum it looks for."""

import tracemalloc

import checks
import numpy as np
import pytest
from recalibrators import draw
from recalibrators import probabilities
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.calibration import _TemperatureScaling

from keras_seqtools.calibration import TemperatureScaling
from keras_seqtools.calibration import temperature


def fit(y, logits, **kwargs):
    return TemperatureScaling().fit(y, logits, from_logits=True, **kwargs)


def best_temperature(y, logits):
    """By a search that knows nothing of derivatives."""
    logits = np.asarray(logits, "float64")
    if logits.shape[-1] == 1:
        logits = np.hstack([0.0 * logits, logits])

    def nll(log_inverse):
        scores = log_softmax(np.exp(log_inverse) * logits, axis=-1)
        return -scores[np.arange(len(y)), y].mean()

    found = minimize_scalar(
        nll, bounds=(-6.0, 6.0), method="bounded", options={"xatol": 1e-10}
    )
    return np.exp(-found.x)


def test_equals_published_values(published):
    for form in ("logits", "probs"):
        inputs, value, rtol = published("temperature_seq_masked")
        scaling = TemperatureScaling().fit(
            inputs["y"],
            inputs[form],
            from_logits=form == "logits",
            mask=inputs["mask"],
        )
        np.testing.assert_allclose(scaling.temperature_, value, rtol=rtol)
    inputs, value, rtol = published("temperature_weighted")
    scaling = fit(inputs["y"], inputs["logits"], sample_weight=inputs["w"])
    np.testing.assert_allclose(scaling.temperature_, value, rtol=rtol)


def test_of_one_logit_is_half_that_of_minus_it_and_it(published):
    """What scikit-learn makes of one decision value."""
    inputs, value, rtol = published("temperature_binary_sk1d")
    found = fit(inputs["y"], inputs["logits"]).temperature_
    np.testing.assert_allclose(2.0 * found, value, rtol=rtol)


@pytest.mark.parametrize("classes", [1, 2, 5, 100])
@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_finds_the_minimum_in_few_passes(classes, true, scale, monkeypatch):
    y, logits = draw(classes, (400,), temperature=true)
    logits = logits * np.float32(scale)
    passes = []
    gaps = temperature._gaps
    monkeypatch.setattr(
        temperature, "_gaps", lambda *a: passes.append(a) or gaps(*a)
    )
    found = fit(y, logits).temperature_
    # The search cannot tell two likelihoods apart that agree in 16 digits.
    np.testing.assert_allclose(found, best_temperature(y, logits), rtol=1e-6)
    assert len(passes) <= 10
    if classes > 1 or scale < 10.0:  # else the probabilities are 0 and 1
        p = probabilities(logits.astype("float64"))
        again = TemperatureScaling().fit(y, p)
        np.testing.assert_allclose(again.temperature_, found, rtol=1e-6)


def test_equals_scikit_learn_on_other_data():
    y, logits = draw(7, (2000,), seed=3)
    logits = logits.astype("float64")
    peer = 1.0 / _TemperatureScaling().fit(logits, y).beta_
    np.testing.assert_allclose(fit(y, logits).temperature_, peer, rtol=1e-4)


def test_keeps_the_class_on_top():
    y, logits = draw(5, (200,))
    p = fit(y, logits).transform(logits)
    np.testing.assert_array_equal(p.argmax(-1), logits.argmax(-1))


@pytest.mark.parametrize("classes", [1, 4])
def test_warns_at_its_limits(classes):
    _, logits = draw(classes)
    both = np.hstack([0.0 * logits, logits]) if classes == 1 else logits
    for y, limit in ((both.argmax(1), 1e-3), (both.argmin(1), 1e3)):
        with pytest.warns(UserWarning, match=f"takes the limit, {limit:g}"):
            found = fit(y, logits).temperature_
        np.testing.assert_allclose(found, limit, rtol=1e-12)
    # A minimum there is, but beyond the limits.
    y, logits = draw(classes)
    for scale, limit in ((1e-6, 1e-3), (1e6, 1e3)):
        with pytest.warns(UserWarning, match=f"takes the limit, {limit:g}"):
            found = fit(y, scale * logits).temperature_
        np.testing.assert_allclose(found, limit, rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_is_1_where_all_logits_are_equal(value):
    assert fit([0, 1, 2], np.full((3, 3), value)).temperature_ == 1.0
    assert fit([0, 1, 1], np.zeros((3, 1))).temperature_ == 1.0


def test_an_exact_value():
    """Right 3 times of 4, and one logit: its sigmoid must be 3/4."""
    found = fit([0, 1, 1, 1], np.full((4, 1), 2.0)).temperature_
    np.testing.assert_allclose(found, 2.0 / np.log(3.0), rtol=1e-10)


def test_says_that_it_has_not_converged(monkeypatch):
    monkeypatch.setattr(temperature, "_MAX_PASSES", 2)
    y, logits = draw(3, temperature=5.0)
    with pytest.raises(RuntimeError, match="not converged after 2 passes"):
        fit(y, logits)


def test_takes_little_memory():
    logits = checks.rng(1).normal(size=(200_000, 20)).astype("float32")
    y = checks.rng(2).integers(0, 20, len(logits))
    y[::3] = logits[::3].argmax(-1)
    tracemalloc.start()
    try:
        fit(y, logits)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32e6
