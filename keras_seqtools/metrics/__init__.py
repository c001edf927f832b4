"""Metrics: how well probabilities, samples and intervals were meant."""

from keras_seqtools.metrics.calibration_error import ExpectedCalibrationError
from keras_seqtools.metrics.calibration_error import expected_calibration_error
from keras_seqtools.metrics.crps import crps_samples
from keras_seqtools.metrics.intervals import interval_coverage
from keras_seqtools.metrics.intervals import interval_score
from keras_seqtools.metrics.intervals import pinball_loss
from keras_seqtools.metrics.mean_metric import MeanMetric

__all__ = [
    "ExpectedCalibrationError",
    "MeanMetric",
    "crps_samples",
    "expected_calibration_error",
    "interval_coverage",
    "interval_score",
    "pinball_loss",
]
