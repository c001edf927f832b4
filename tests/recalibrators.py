"""Every map of class probabilities, and data that fit each."""

import checks
import numpy as np
from scipy.special import expit
from scipy.special import softmax

import keras_seqtools as kst

SEVERAL = [
    kst.calibration.TemperatureScaling,
    kst.calibration.VectorScaling,
    kst.calibration.MatrixScaling,
]
ONE = [
    kst.calibration.TemperatureScaling,
    kst.calibration.PlattScaling,
    kst.calibration.BetaCalibration,
    kst.calibration.IsotonicCalibration,
    kst.calibration.HistogramBinning,
]
# Maps, and the number of classes of their data.
CASES = [(make, 3) for make in SEVERAL] + [(make, 1) for make in ONE]


def draw(classes, shape=(60,), seed=0, temperature=2.0):
    """Labels, and logits that are too large by the temperature."""
    rng = checks.rng(seed)
    logits = 3.0 * rng.normal(size=(*shape, classes)).astype("float32")
    p = probabilities(logits / temperature)
    if classes == 1:
        return (rng.random(shape) < p[..., 0]).astype(int), logits
    reached = p.cumsum(axis=-1) < rng.random((*shape, 1))
    return np.minimum(reached.sum(axis=-1), classes - 1), logits


def probabilities(logits):
    return expit(logits) if logits.shape[-1] == 1 else softmax(logits, axis=-1)


def nll(y, p, least=0.0):
    """Mean negative log-likelihood of labels under probabilities."""
    p = np.asarray(p, "float64")
    if p.shape[-1] == 1:
        p = np.concatenate([1.0 - p, p], axis=-1)
    own = np.take_along_axis(p, np.asarray(y)[..., None], axis=-1)
    return -np.log(np.maximum(own, least)).mean()


def draw_form(classes, from_logits, **kwargs):
    y, logits = draw(classes, **kwargs)
    return y, logits if from_logits else probabilities(logits)


def assert_same(one, other, x, rtol=1e-7):
    """Two maps are the same, and what they did to their data too."""
    np.testing.assert_allclose(one.transform(x), other.transform(x), rtol=rtol)
    for name in ("nll", "brier", "ece"):
        np.testing.assert_allclose(
            getattr(one.report, name).after,
            getattr(other.report, name).after,
            rtol=rtol,
            atol=1e-9,
        )
