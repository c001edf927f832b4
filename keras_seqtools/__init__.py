"""Layers, heads and scores for Keras models that know what they do not know.

Importing the package registers its classes with Keras, so that
`keras.models.load_model` finds them, and changes nothing else.
"""

from keras_seqtools import calibration
from keras_seqtools import forecasting
from keras_seqtools import heads
from keras_seqtools import layers
from keras_seqtools import losses
from keras_seqtools import metrics
from keras_seqtools import models
from keras_seqtools import plots
from keras_seqtools import uncertainty
from keras_seqtools.uncertainty.evaluate import evaluate_uncertainty
from keras_seqtools.uncertainty.predict import iter_uncertainty
from keras_seqtools.uncertainty.predict import predict_deterministic
from keras_seqtools.uncertainty.predict import predict_uncertainty

__version__ = "0.1.0"

__all__ = [
    "calibration",
    "evaluate_uncertainty",
    "forecasting",
    "heads",
    "iter_uncertainty",
    "layers",
    "losses",
    "metrics",
    "models",
    "plots",
    "predict_deterministic",
    "predict_uncertainty",
    "uncertainty",
]
