"""Calibration errors of arrays: stated probabilities against frequencies."""

from typing import Any

from keras_seqtools._validation import invalid
from keras_seqtools.metrics._bins import binned_error
from keras_seqtools.metrics._bins import binned_sums
from keras_seqtools.metrics._outcomes import outcomes

_NORMS = ("l1", "l2", "max", "average")


def calibration_error(
    y_true: Any,
    y_prob: Any,
    *,
    num_bins: int = 15,
    norm: str = "l1",
    binning: str = "uniform",
    mode: str = "auto",
    threshold: float = 0.0,
    debias: bool = False,
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """How far stated probabilities are from the frequencies that followed.

    The items are binned by their probability. The gap of a bin is `|mean
    probability - frequency|` of its items, and `norm` says how the gaps of
    the bins become one number. Every form but the debiased one is biased
    upwards where bins hold few items, and is 0 for a useless model that
    always states the base rate: read it beside `log_loss` or `brier_score`.

    Two output units are not one: `"binary"` compares `P(y = 1)` with the
    frequency of 1, `"top_label"` compares the largest probability with the
    accuracy, and the numbers differ on the same model.

    Bins contain their left edge; the last also contains its right one. Bins
    of equal width are `[0, 1/num_bins)` and so on. Bins of equal mass are cut
    between items in order, and items of the same probability stay in one bin,
    so that the order of the rows never matters; ties may leave fewer bins.
    Probabilities are binned in their own precision, float32 at least.

    Args:
        y_true: Array of labels: integers, of the shape of the items or with
            a last axis of 1, or one-hot, of the shape of `y_prob`.
        y_prob: Array of probabilities `(..., classes)`, such as
            `(batch, classes)` or `(batch, time, classes)`. The items are what
            is left without the last axis. `(batch,)` is read as `(batch, 1)`.
            Sigmoids of several labels, each of which may come, are items of
            their own: `y_prob[..., None]`.
        num_bins: Positive integer, the number of bins. Defaults to `15`.
        norm: `"l1"`, the mean gap of the items; `"l2"`, the root of their
            mean squared gap; `"max"`, the largest gap; `"average"`, the mean
            gap of the bins that hold items, whatever they hold. Defaults to
            `"l1"`.
        binning: `"uniform"`, bins of equal width, or `"quantile"`, bins of
            equal mass. Defaults to `"uniform"`.
        mode: `"binary"` for a last axis of 1, `"top_label"`, `"classwise"`
            for the binary error of each class, of which it takes the mean
            (the root mean square for `"l2"`, the largest for `"max"`), or
            `"auto"`: `"binary"` for a last axis of 1, `"top_label"`
            otherwise. Defaults to `"auto"`.
        threshold: Float in [0, 1). Where it is not 0, probabilities that are
            not above it do not count; only for `"classwise"`, where most are
            near 0. A class of which nothing counts is left out. Defaults to
            `0.0`.
        debias: Boolean, whether to subtract from each squared gap what the
            chance of the frequency adds to it; only for `"l2"`. The squared
            error of a class is 0 at least. Weights then count rows: 2 is a
            row twice. Defaults to `False`.
        from_logits: Boolean, whether `y_prob` holds logits: of a sigmoid for
            `"binary"`, of a softmax otherwise. Defaults to `False`.
        mask: Boolean array, of the shape of the items or its first axes:
            `(batch,)` speaks of rows, also where `batch == time`. What it
            leaves out may hold anything, NaN too. Defaults to `None`.
        sample_weight: Array of weights, aligned like `mask`. What weighs
            nothing may hold anything. Defaults to `None`.

    Returns:
        Float in [0, 1], a difference of probabilities. NaN if nothing counts.

    Raises:
        ValueError: If an argument or a shape does not fit, or if what counts
            holds a label that is none of the classes, a NaN, a probability
            outside of [0, 1] by more than `1e-6`, or probabilities of classes
            that fail to add up to 1 by more than `0.01`.
        TypeError: If an array holds no numbers, or is a result of
            `predict_uncertainty`.

    Example:

    >>> y_true, y_prob = [1, 0, 1, 1], [0.25, 0.25, 0.75, 0.75]
    >>> kst.metrics.calibration_error(y_true, y_prob)
    0.25
    >>> kst.metrics.calibration_error([1, 0], [0.5, 1.0], norm="max")
    1.0

    Reference:

    - [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602)
    - [Kumar et al., 2019](https://arxiv.org/abs/1909.10155), debiased
    - [Nixon et al., 2019](https://arxiv.org/abs/1904.01685), equal mass and
      threshold
    """
    if norm not in _NORMS:
        raise invalid("norm", f"one of {_NORMS}", norm)
    if debias and norm != "l2":
        raise invalid("debias", '`False` unless `norm="l2"`', debias)
    if not 0.0 <= threshold < 1.0 or (threshold and mode != "classwise"):
        raise invalid(
            "threshold", 'in [0, 1), and 0 unless `mode="classwise"`', threshold
        )
    columns, chunks = outcomes(
        y_true, y_prob, mode, from_logits, mask, sample_weight
    )
    _, sums = binned_sums(
        columns, chunks, num_bins, binning=binning, threshold=threshold
    )
    return float(binned_error(sums, norm, debias))


def expected_calibration_error(
    y_true: Any, y_prob: Any, **kwargs: Any
) -> float:
    """The mean over the items of the gap of their bin, of equal width.

    It is 0 for a model whose 75 % come true 75 % of the time. It depends on
    `num_bins`, is biased upwards where bins hold few items, and is 0 for a
    useless model that always states the base rate.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        **kwargs: Arguments of `calibration_error`, all but `norm`.

    Returns:
        Float in [0, 1], a difference of probabilities. NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> kst.metrics.expected_calibration_error([1, 1, 0, 1], [0.75] * 4)
    0.0
    >>> y_prob = np.array([[0.75, 0.25], [0.25, 0.75]])
    >>> kst.metrics.expected_calibration_error([0, 1], y_prob)
    0.25

    Reference:

    - [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602)
    - [Guo et al., 2017](https://arxiv.org/abs/1706.04599)
    """
    return calibration_error(y_true, y_prob, norm="l1", **kwargs)


def maximum_calibration_error(y_true: Any, y_prob: Any, **kwargs: Any) -> float:
    """The largest gap of a bin, of equal width.

    A bin of one item may decide it: see the counts of `reliability_curve`.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        **kwargs: Arguments of `calibration_error`, all but `norm`.

    Returns:
        Float in [0, 1], a difference of probabilities. NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> kst.metrics.maximum_calibration_error([0, 0, 1], [0.0, 0.0, 0.75])
    0.25

    Reference:

    - [Naeini et al., 2015](https://doi.org/10.1609/aaai.v29i1.9602)
    """
    return calibration_error(y_true, y_prob, norm="max", **kwargs)


def rms_calibration_error(y_true: Any, y_prob: Any, **kwargs: Any) -> float:
    """The root over the items of the mean squared gap of their bin.

    Without `debias` it falls as the data grow, whatever the model; with it,
    models tested on unlike numbers of items can be compared.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        **kwargs: Arguments of `calibration_error`, all but `norm`.

    Returns:
        Float in [0, 1], a difference of probabilities. NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> kst.metrics.rms_calibration_error([0, 1, 1, 1], [0.0, 0.5, 0.5, 0.5])
    0.4330127018922193

    Reference:

    - [Hendrycks et al., 2019](https://arxiv.org/abs/1812.04606)
    - [Kumar et al., 2019](https://arxiv.org/abs/1909.10155), debiased
    """
    return calibration_error(y_true, y_prob, norm="l2", **kwargs)


def adaptive_calibration_error(
    y_true: Any, y_prob: Any, **kwargs: Any
) -> float:
    """The mean over the items of the gap of their bin, of equal mass.

    No bin is nearly empty, as most bins of equal width are for a confident
    model. Items of the same probability stay together: ties may leave fewer
    bins, and the order of the rows never matters. Whole-number weights count
    rows, divided as `np.array_split` does it.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        **kwargs: Arguments of `calibration_error`, all but `binning`.

    Returns:
        Float in [0, 1], a difference of probabilities. NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> y_prob = [0.5, 0.75, 0.75, 1.0]
    >>> kst.metrics.adaptive_calibration_error([0, 1, 1, 1], y_prob, num_bins=2)
    0.25

    Reference:

    - [Nixon et al., 2019](https://arxiv.org/abs/1904.01685)
    """
    return calibration_error(y_true, y_prob, binning="quantile", **kwargs)


def classwise_calibration_error(
    y_true: Any, y_prob: Any, **kwargs: Any
) -> float:
    """The mean over the classes of the binary calibration error of each.

    Every probability must be right, not only the largest. With many classes
    most are near 0 and hide the rest; `binning="quantile"` with a `threshold`
    of 0.01, say, looks at those that matter.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        **kwargs: Arguments of `calibration_error`, all but `mode`.

    Returns:
        Float in [0, 1], a difference of probabilities. NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> y_prob = np.array([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0]])
    >>> round(kst.metrics.classwise_calibration_error([0, 1], y_prob), 3)
    0.167

    Reference:

    - [Kull et al., 2019](https://arxiv.org/abs/1910.12656)
    - [Nixon et al., 2019](https://arxiv.org/abs/1904.01685), threshold
    """
    return calibration_error(y_true, y_prob, mode="classwise", **kwargs)
