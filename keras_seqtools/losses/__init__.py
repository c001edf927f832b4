"""Losses: what the parameters of a head are worth, given the targets."""

from keras_seqtools.losses.negative_log_likelihood import NegativeLogLikelihood

__all__ = ["NegativeLogLikelihood"]
