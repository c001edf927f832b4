"""Temperature scaling: one number that makes a classifier less or more sure."""

import math
import warnings
from typing import Any

import keras
import numpy as np

from keras_seqtools.calibration._fit_items import Items
from keras_seqtools.calibration._recalibrator import Recalibrator

# Of temperatures, and so of their inverses.
_LEAST, _MOST = 1e-3, 1e3
# Of logarithms. The step after one this short would be about its square.
_TOLERANCE = 1e-5
_FAR = math.log(_MOST / _LEAST)
_MAX_PASSES = 50


@keras.saving.register_keras_serializable(package="keras_seqtools")
class TemperatureScaling(Recalibrator):
    """Divides the logits by the temperature of greatest likelihood.

    Above 1 the model was too sure. Which class is on top does not change, and
    one number is learnt from few data: try this first. It takes any number of
    classes; one is the probability of class 1, and `sigmoid(z / temperature)`.

    The likelihood has one maximum at most. Where it has none, or only beyond
    the limits, the fit warns: labels that the scores get right without
    exception ask for a temperature of 0 and are given `0.001`, scores no
    better than chance ask for infinity and are given `1000`. Where all logits
    of every item are equal it is 1.

    Attributes:
        temperature_: Float.
        report: A `RecalibrationReport`.

    Example:

    >>> y_prob = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8]])
    >>> scaling = kst.calibration.TemperatureScaling().fit([0, 1, 1], y_prob)
    >>> round(scaling.temperature_, 6)  # log(4) / log(2): right 2 times of 3
    2.0
    >>> scaling.transform(y_prob[:1]).round(3).tolist()
    [[0.667, 0.333]]
    >>> layer = scaling.as_layer()

    Reference:

    - [Guo et al., 2017](https://arxiv.org/abs/1706.04599)
    """

    _found = ("temperature_",)

    temperature_: float

    def _fit(self, items: Items) -> None:
        self.temperature_ = 1.0 / _inverse_temperature(items)

    def _map(self, scores: Any, xp: Any) -> Any:
        return scores / self.temperature_


def _inverse_temperature(items: Items) -> float:
    """Where the mean gap that is expected is the mean gap that came.

    The gap of a class is how far its logit is below the largest. There the
    slope of the likelihood, which only falls, is 0.
    """
    least, most = 1.0 / _MOST, 1.0 / _LEAST
    low, high, inverse = 0.0, math.inf, 1.0
    for _ in range(_MAX_PASSES):
        expected, variance, came = _gaps(items, inverse)
        if came == 0.0:
            # None came, or there is none at all.
            return 1.0 if _gaps(items, 0.0)[0] == 0.0 else _at_limit(_LEAST)
        if expected > came:
            low = inverse
        else:
            high = inverse
        if low == most or high == least:
            return _at_limit(1.0 / inverse)
        # Newton's step of logarithms, in which the expected gap is nearly a
        # straight line: few are needed, also from afar.
        step = math.inf
        if expected > 0.0 and variance > 0.0:
            step = math.log(expected / came) * expected / (variance * inverse)
        following = inverse * math.exp(min(max(step, -_FAR), _FAR))
        if abs(step) <= _TOLERANCE:
            return following
        inverse = min(max(following, least), most)
        if not low < inverse < high:
            inverse = math.sqrt(max(low, least) * min(high, most))
    raise RuntimeError(
        f"The temperature has not converged after {_MAX_PASSES} passes: it "
        f"came to {1.0 / inverse:g}."
    )


def _gaps(items: Items, inverse: float) -> tuple[float, float, float]:
    """Of the gaps: mean and variance that are expected, and mean that came."""
    expected = variance = came = 0.0
    for at, logits in items.logit_chunks():
        weight, every = items.weight[at], np.arange(len(logits))
        # Its place first: several times as fast as the maximum itself.
        logits -= logits[every, logits.argmax(axis=-1)][:, None]
        p = inverse * logits
        np.exp(p, out=p)
        total = np.einsum("ij->i", p)
        mean = np.einsum("ij,ij->i", p, logits) / total
        p *= logits
        square = np.einsum("ij,ij->i", p, logits) / total
        expected -= weight @ mean
        variance += weight @ (square - mean**2)
        came -= weight @ logits[every, items.labels[at]]
    return float(expected), float(variance), float(came)


def _at_limit(temperature: float) -> float:
    why = "no better than chance, or huge"
    if temperature < 1.0:
        why = "right about every label, or tiny"
    warnings.warn(
        "`TemperatureScaling` finds no best temperature: the scores are "
        f"{why}. It takes the limit, {temperature:g}.",
        stacklevel=5,
    )
    return 1.0 / temperature
