"""Metrics: how well probabilities, samples and intervals were meant."""

from keras_seqtools.metrics.brier import BrierDecomposition
from keras_seqtools.metrics.brier import BrierScore
from keras_seqtools.metrics.brier import brier_decomposition
from keras_seqtools.metrics.brier import brier_score
from keras_seqtools.metrics.calibration_error import adaptive_calibration_error
from keras_seqtools.metrics.calibration_error import calibration_error
from keras_seqtools.metrics.calibration_error import classwise_calibration_error
from keras_seqtools.metrics.calibration_error import expected_calibration_error
from keras_seqtools.metrics.calibration_error import maximum_calibration_error
from keras_seqtools.metrics.calibration_error import rms_calibration_error
from keras_seqtools.metrics.calibration_metrics import ExpectedCalibrationError
from keras_seqtools.metrics.calibration_metrics import MaximumCalibrationError
from keras_seqtools.metrics.calibration_metrics import RMSCalibrationError
from keras_seqtools.metrics.counts import count_calibration
from keras_seqtools.metrics.crps import crps
from keras_seqtools.metrics.crps import crps_samples
from keras_seqtools.metrics.crps_continuous import crps_gamma
from keras_seqtools.metrics.crps_continuous import crps_laplace
from keras_seqtools.metrics.crps_continuous import crps_logistic
from keras_seqtools.metrics.crps_continuous import crps_lognormal
from keras_seqtools.metrics.crps_continuous import crps_normal
from keras_seqtools.metrics.crps_continuous import crps_normal_mixture
from keras_seqtools.metrics.crps_continuous import crps_student_t
from keras_seqtools.metrics.crps_counts import crps_negative_binomial
from keras_seqtools.metrics.crps_counts import crps_poisson
from keras_seqtools.metrics.crps_counts import (
    crps_zero_inflated_negative_binomial,
)
from keras_seqtools.metrics.crps_counts import crps_zero_inflated_poisson
from keras_seqtools.metrics.distribution_metrics import CRPS
from keras_seqtools.metrics.distribution_metrics import IntervalCoverage
from keras_seqtools.metrics.distribution_metrics import IntervalWidth
from keras_seqtools.metrics.distribution_metrics import LogScore
from keras_seqtools.metrics.distribution_metrics import PITHistogram
from keras_seqtools.metrics.energy_score import energy_score
from keras_seqtools.metrics.intervals import crps_quantiles
from keras_seqtools.metrics.intervals import interval_coverage
from keras_seqtools.metrics.intervals import interval_score
from keras_seqtools.metrics.intervals import pinball_loss
from keras_seqtools.metrics.intervals import weighted_interval_score
from keras_seqtools.metrics.log_loss import log_loss
from keras_seqtools.metrics.mean_metric import MeanMetric
from keras_seqtools.metrics.pit import pit
from keras_seqtools.metrics.pit import pit_histogram
from keras_seqtools.metrics.pit import quantile_calibration
from keras_seqtools.metrics.ranking import auroc
from keras_seqtools.metrics.ranking import average_precision
from keras_seqtools.metrics.ranking import fpr_at_tpr
from keras_seqtools.metrics.reliability import ReliabilityCurve
from keras_seqtools.metrics.reliability import corp_curve
from keras_seqtools.metrics.reliability import reliability_curve
from keras_seqtools.metrics.score_distribution import score_distribution
from keras_seqtools.metrics.selective import RiskCoverageCurve
from keras_seqtools.metrics.selective import augrc
from keras_seqtools.metrics.selective import aurc
from keras_seqtools.metrics.selective import coverage_at_risk
from keras_seqtools.metrics.selective import eaurc
from keras_seqtools.metrics.selective import risk_coverage_curve
from keras_seqtools.metrics.smooth_calibration_error import (
    smooth_calibration_error,
)
from keras_seqtools.metrics.thresholds import Threshold
from keras_seqtools.metrics.thresholds import fit_threshold
from keras_seqtools.metrics.variance_calibration import (
    expected_normalized_calibration_error,
)

__all__ = [
    "CRPS",
    "BrierDecomposition",
    "BrierScore",
    "ExpectedCalibrationError",
    "IntervalCoverage",
    "IntervalWidth",
    "LogScore",
    "MaximumCalibrationError",
    "MeanMetric",
    "PITHistogram",
    "RMSCalibrationError",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "Threshold",
    "adaptive_calibration_error",
    "augrc",
    "aurc",
    "auroc",
    "average_precision",
    "brier_decomposition",
    "brier_score",
    "calibration_error",
    "classwise_calibration_error",
    "corp_curve",
    "count_calibration",
    "coverage_at_risk",
    "crps",
    "crps_gamma",
    "crps_laplace",
    "crps_logistic",
    "crps_lognormal",
    "crps_negative_binomial",
    "crps_normal",
    "crps_normal_mixture",
    "crps_poisson",
    "crps_quantiles",
    "crps_samples",
    "crps_student_t",
    "crps_zero_inflated_negative_binomial",
    "crps_zero_inflated_poisson",
    "eaurc",
    "energy_score",
    "expected_calibration_error",
    "expected_normalized_calibration_error",
    "fit_threshold",
    "fpr_at_tpr",
    "interval_coverage",
    "interval_score",
    "log_loss",
    "maximum_calibration_error",
    "pinball_loss",
    "pit",
    "pit_histogram",
    "quantile_calibration",
    "reliability_curve",
    "risk_coverage_curve",
    "rms_calibration_error",
    "score_distribution",
    "smooth_calibration_error",
    "weighted_interval_score",
]
