"""What `predict_uncertainty` returns, and the measures it is made of."""

from keras_seqtools.uncertainty.measures import entropy
from keras_seqtools.uncertainty.measures import expected_entropy
from keras_seqtools.uncertainty.measures import mutual_information
from keras_seqtools.uncertainty.measures import p_max
from keras_seqtools.uncertainty.measures import predictive_entropy
from keras_seqtools.uncertainty.measures import total_std
from keras_seqtools.uncertainty.measures import variation_ratio
from keras_seqtools.uncertainty.measures import vote_fraction
from keras_seqtools.uncertainty.results import ClassificationUncertainty
from keras_seqtools.uncertainty.results import RegressionUncertainty
from keras_seqtools.uncertainty.serving import export_uncertainty

__all__ = [
    "ClassificationUncertainty",
    "RegressionUncertainty",
    "entropy",
    "expected_entropy",
    "export_uncertainty",
    "mutual_information",
    "p_max",
    "predictive_entropy",
    "total_std",
    "variation_ratio",
    "vote_fraction",
]
