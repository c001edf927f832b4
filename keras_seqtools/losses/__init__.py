"""Losses: what a prediction is worth, given the targets."""

from keras_seqtools.losses.negative_log_likelihood import NegativeLogLikelihood
from keras_seqtools.losses.sequence_crossentropy import SequenceCrossentropy

__all__ = ["NegativeLogLikelihood", "SequenceCrossentropy"]
