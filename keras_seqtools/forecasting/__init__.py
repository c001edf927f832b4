"""Forecasting: long series into batches, and how a series continues."""

from keras_seqtools.forecasting.backtest import backtest
from keras_seqtools.forecasting.backtest_scores import Backtest
from keras_seqtools.forecasting.forecast import forecast
from keras_seqtools.forecasting.paths import Forecast
from keras_seqtools.forecasting.reset_states import ResetStates
from keras_seqtools.forecasting.stateful_batches import StatefulBatches
from keras_seqtools.forecasting.windows import Windows
from keras_seqtools.forecasting.windows import make_windows

__all__ = [
    "Backtest",
    "Forecast",
    "ResetStates",
    "StatefulBatches",
    "Windows",
    "backtest",
    "forecast",
    "make_windows",
]
