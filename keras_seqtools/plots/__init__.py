"""Pictures, drawn with Matplotlib: each returns its axes."""

from keras_seqtools.plots.calibration import pit
from keras_seqtools.plots.calibration import quantile_calibration
from keras_seqtools.plots.calibration import reliability
from keras_seqtools.plots.forecasts import class_draws
from keras_seqtools.plots.forecasts import fan
from keras_seqtools.plots.forecasts import rootogram
from keras_seqtools.plots.scores import risk_coverage
from keras_seqtools.plots.scores import roc
from keras_seqtools.plots.scores import score_histogram

__all__ = [
    "class_draws",
    "fan",
    "pit",
    "quantile_calibration",
    "reliability",
    "risk_coverage",
    "roc",
    "rootogram",
    "score_histogram",
]
