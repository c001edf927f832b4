"""Heads: the last layer, which emits the parameters of a distribution."""

from keras_seqtools.heads import links
from keras_seqtools.heads.continuous import NormalHead
from keras_seqtools.heads.continuous import StudentTHead
from keras_seqtools.heads.counts import PoissonHead
from keras_seqtools.heads.distribution_head import DistributionHead

__all__ = [
    "DistributionHead",
    "NormalHead",
    "PoissonHead",
    "StudentTHead",
    "links",
]
