"""Calibration: what is fitted after training, so that a word is kept."""

from keras_seqtools.calibration.adaptive_conformal import AdaptiveConformal
from keras_seqtools.calibration.conformal_intervals import (
    ConformalizedQuantileRegression,
)
from keras_seqtools.calibration.conformal_intervals import SplitConformal
from keras_seqtools.calibration.conformal_sets import APS
from keras_seqtools.calibration.conformal_sets import LAC
from keras_seqtools.calibration.conformal_sets import RAPS
from keras_seqtools.calibration.isotonic import HistogramBinning
from keras_seqtools.calibration.isotonic import IsotonicCalibration
from keras_seqtools.calibration.monitor import CalibrationMonitor
from keras_seqtools.calibration.regression import QuantileRecalibration
from keras_seqtools.calibration.regression import StdScaling
from keras_seqtools.calibration.report import RecalibrationReport
from keras_seqtools.calibration.scaling import BetaCalibration
from keras_seqtools.calibration.scaling import MatrixScaling
from keras_seqtools.calibration.scaling import PlattScaling
from keras_seqtools.calibration.scaling import VectorScaling
from keras_seqtools.calibration.temperature import TemperatureScaling

__all__ = [
    "APS",
    "LAC",
    "RAPS",
    "AdaptiveConformal",
    "BetaCalibration",
    "CalibrationMonitor",
    "ConformalizedQuantileRegression",
    "HistogramBinning",
    "IsotonicCalibration",
    "MatrixScaling",
    "PlattScaling",
    "QuantileRecalibration",
    "RecalibrationReport",
    "SplitConformal",
    "StdScaling",
    "TemperatureScaling",
    "VectorScaling",
]
