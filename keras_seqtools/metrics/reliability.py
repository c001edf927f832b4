"""Curves of the frequencies that followed stated probabilities."""

import dataclasses
from statistics import NormalDist
from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._bins import binned_sums
from keras_seqtools.metrics._bins import mass_prob_hits
from keras_seqtools.metrics._isotonic import isotonic_fit
from keras_seqtools.metrics._outcomes import gather
from keras_seqtools.metrics._outcomes import outcomes


@dataclasses.dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Probabilities and frequencies, bin by bin.

    The shapes are `(num_bins,)`, `(classes, num_bins)` if every class has a
    curve of its own. What a bin without items has no value for is NaN.

    Attributes:
        edges: The edges of the bins, one more than there are bins.
        count: The items in each bin, or their weight.
        mean_prob: Their mean probability.
        frequency: How often they came.
        lower: Lower end of the Wilson interval of the frequency.
        upper: Upper end of it.

    Example:

    >>> curve = kst.metrics.reliability_curve([0, 1], [0.25, 1.0], num_bins=2)
    >>> curve.edges, curve.count
    (array([0. , 0.5, 1. ]), array([1., 1.]))
    """

    edges: np.ndarray
    count: np.ndarray
    mean_prob: np.ndarray
    frequency: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def reliability_curve(
    y_true: Any,
    y_prob: Any,
    *,
    num_bins: int = 15,
    binning: str = "uniform",
    mode: str = "auto",
    level: float = 0.95,
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
) -> ReliabilityCurve:
    """Mean probability and frequency of the items of each bin.

    The bands are Wilson intervals: they say what the frequency would be with
    endless items in the bin, are never empty, and stay in [0, 1]. They hold
    bin by bin, for independent items; the steps of a series are none. Weights
    count rows: 2 is a row twice.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        num_bins: Positive integer, the number of bins. Defaults to `15`.
        binning: `"uniform"`, bins of equal width, or `"quantile"`, bins of
            equal mass, as in `calibration_error`. Where ties leave one empty
            its edges are equal. Defaults to `"uniform"`.
        mode: `"auto"`, `"binary"`, `"top_label"` or `"classwise"`, as in
            `calibration_error`. Defaults to `"auto"`.
        level: Float in (0, 1), the level of the bands. Defaults to `0.95`.
        from_logits: Boolean, whether `y_prob` holds logits. Defaults to
            `False`.
        mask: Boolean array of what counts, of the shape of the items or its
            first axes. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. Defaults to
            `None`.

    Returns:
        `ReliabilityCurve`, of float64 arrays.

    Raises:
        ValueError: As `calibration_error` does, or if `level` is out of range.

    Example:

    >>> curve = kst.metrics.reliability_curve(
    ...     [0, 1, 1], [0.25, 0.5, 1.0], num_bins=2
    ... )
    >>> curve.mean_prob
    array([0.25, 0.75])
    >>> curve.frequency
    array([0., 1.])

    Reference:

    - [Niculescu-Mizil & Caruana, 2005](https://doi.org/10.1145/1102351.1102430)
    - [Wilson, 1927](https://doi.org/10.1080/01621459.1927.10502953)
    """
    z = central_z(level)
    columns, chunks = outcomes(
        y_true, y_prob, mode, from_logits, mask, sample_weight
    )
    edges, sums = binned_sums(columns, chunks, num_bins, binning=binning)
    return curve_of_sums(edges, sums, z, mode == "classwise")


def corp_curve(
    y_true: Any,
    y_prob: Any,
    *,
    mode: str = "auto",
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The frequency that each stated probability stands for, without bins.

    The isotonic regression of what came on what was stated: the data choose
    the bins. It never falls, and is on the diagonal where the model is
    calibrated. `brier_decomposition(method="corp")` sums it up.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        mode: `"auto"`, `"binary"` or `"top_label"`, as in
            `calibration_error`. Defaults to `"auto"`.
        from_logits: Boolean, whether `y_prob` holds logits. Defaults to
            `False`.
        mask: Boolean array of what counts, of the shape of the items or its
            first axes. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. Defaults to
            `None`.

    Returns:
        Tuple of two float64 arrays: the distinct probabilities in order, and
        the frequency of each.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> prob, frequency = kst.metrics.corp_curve(
    ...     [0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9]
    ... )
    >>> frequency
    array([0. , 0.5, 0.5, 1. ])

    Reference:

    - [Dimitriadis et al., 2021](https://doi.org/10.1073/pnas.2016191118)
    """
    if mode == "classwise":
        raise invalid("mode", "a mode of one curve", mode)
    _, chunks = outcomes(y_true, y_prob, mode, from_logits, mask, sample_weight)
    hits, p, weight = gather(chunks)
    prob, frequency = isotonic_fit(p[:, 0], hits[:, 0], weight)
    return prob.astype("float64"), frequency


def central_z(level: float) -> float:
    """How many standard deviations a central normal interval reaches."""
    if np.ndim(level):
        raise invalid("level", "one number", level)
    (level,) = check_fractions("level", level)
    return NormalDist().inv_cdf(0.5 + 0.5 * level)


def curve_of_sums(
    edges: np.ndarray, sums: np.ndarray, z: float, classwise: bool
) -> ReliabilityCurve:
    """The curve of sums `(2, columns, num_bins, 2)`, with bands of `z`."""
    mass, prob, hits = mass_prob_hits(sums)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin
        middle = hits + 0.5 * z**2
        reach = z * np.sqrt(hits * (mass - hits) / mass + 0.25 * z**2)
        lower, upper = np.clip(
            (middle + np.stack([-reach, reach])) / (mass + z**2), 0.0, 1.0
        )
        fields = edges, mass, prob / mass, hits / mass, lower, upper
    return ReliabilityCurve(*(f if classwise else f[0] for f in fields))
