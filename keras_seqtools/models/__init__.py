"""Keras models that have the method `predict_uncertainty`."""

from keras_seqtools.models.uncertainty_model import UncertaintyModel
from keras_seqtools.models.uncertainty_model import UncertaintySequential
from keras_seqtools.models.uncertainty_model import with_uncertainty

__all__ = ["UncertaintyModel", "UncertaintySequential", "with_uncertainty"]
