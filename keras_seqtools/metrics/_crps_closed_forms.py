"""Which heads have a CRPS in closed form, and what it is."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_seqtools import heads
from keras_seqtools.metrics import _crps_continuous as continuous
from keras_seqtools.metrics import _crps_counts as counts


def _gamma(y: Any, log_mean: Any, concentration: Any) -> Any:
    return continuous.gamma(
        y, concentration, concentration * ops.exp(-log_mean)
    )


def _marginal_normal(y: Any, loc: Any, scale_tril: Any) -> Any:
    scale = ops.sqrt(ops.sum(ops.square(scale_tril), axis=-1))
    return continuous.normal(y, loc, scale)


# Functions of `y` and of the parameters that the head emits.
_CLOSED_FORMS: dict[type, Callable[..., Any]] = {
    heads.GammaHead: _gamma,
    heads.LaplaceHead: continuous.laplace,
    heads.LogNormalHead: continuous.lognormal,
    heads.MultivariateNormalHead: _marginal_normal,
    heads.NegativeBinomialHead: counts.negative_binomial,
    heads.NormalHead: continuous.normal,
    heads.NormalMixtureHead: continuous.normal_mixture,
    heads.PoissonHead: counts.poisson,
    heads.StudentTHead: continuous.student_t,
    heads.ZeroInflatedNegativeBinomialHead: (
        counts.zero_inflated_negative_binomial
    ),
    heads.ZeroInflatedPoissonHead: counts.zero_inflated_poisson,
}


def closed_form(
    head: heads.DistributionHead,
) -> Callable[[Any, Any], Any] | None:
    """The CRPS of a head as a function of float64 tensors, if there is one.

    It takes `y`, aligned and inside the support, and `y_pred`. A class derived
    from a head may have another law, and has none.
    """
    form = _CLOSED_FORMS.get(type(head))
    return form and (lambda y, y_pred: form(y, **head.split(y_pred)))
