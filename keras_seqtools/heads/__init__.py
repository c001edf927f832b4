"""Heads: the last layer, which emits the parameters of a distribution."""

from keras_seqtools.heads import links
from keras_seqtools.heads.bounded import BetaHead
from keras_seqtools.heads.bounded import GammaHead
from keras_seqtools.heads.bounded import LogNormalHead
from keras_seqtools.heads.categorical import CategoricalHead
from keras_seqtools.heads.continuous import LaplaceHead
from keras_seqtools.heads.continuous import NormalHead
from keras_seqtools.heads.continuous import StudentTHead
from keras_seqtools.heads.counts import NegativeBinomialHead
from keras_seqtools.heads.counts import PoissonHead
from keras_seqtools.heads.discretized import DiscretizedLogisticMixtureHead
from keras_seqtools.heads.distribution_head import DistributionHead
from keras_seqtools.heads.mixtures import NormalMixtureHead
from keras_seqtools.heads.multivariate import MultivariateNormalHead
from keras_seqtools.heads.spline_flow import SplineFlowHead
from keras_seqtools.heads.zero_inflated import ZeroInflatedNegativeBinomialHead
from keras_seqtools.heads.zero_inflated import ZeroInflatedPoissonHead

__all__ = [
    "BetaHead",
    "CategoricalHead",
    "DiscretizedLogisticMixtureHead",
    "DistributionHead",
    "GammaHead",
    "LaplaceHead",
    "LogNormalHead",
    "MultivariateNormalHead",
    "NegativeBinomialHead",
    "NormalHead",
    "NormalMixtureHead",
    "PoissonHead",
    "SplineFlowHead",
    "StudentTHead",
    "ZeroInflatedNegativeBinomialHead",
    "ZeroInflatedPoissonHead",
    "links",
]
