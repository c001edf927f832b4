"""Pictures of calibration: what was stated, and what came."""

from typing import Any

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.metrics import pit_histogram
from keras_seqtools.metrics import quantile_calibration as observed_frequencies
from keras_seqtools.metrics import reliability_curve
from keras_seqtools.metrics._items import counting
from keras_seqtools.metrics._results import is_classification
from keras_seqtools.metrics._weights import joint_mask
from keras_seqtools.metrics.reliability import central_z
from keras_seqtools.plots._axes import axes_or_new
from keras_seqtools.plots._axes import square


def reliability(
    y_true: Any,
    y_prob: Any,
    *,
    num_bins: int = 10,
    binning: str = "uniform",
    mode: str = "auto",
    level: float = 0.95,
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
    label: str | None = None,
    ax: Any = None,
) -> Any:
    """Reliability diagram: the frequency that followed, by what was stated.

    Points below the diagonal are overconfident. The bars through them are
    Wilson intervals, those along the lower edge say what share of the items
    is in each bin: a point is worth what its bin holds. Further models go on
    the same `ax`.

    Args:
        y_true: Array of labels, as in `kst.metrics.calibration_error`.
        y_prob: Array of probabilities, likewise, or a
            `ClassificationUncertainty`, whose mask is minded.
        num_bins: Positive integer, the number of bins. Defaults to `10`.
        binning: `"uniform"` or `"quantile"`. Defaults to `"uniform"`.
        mode: `"auto"`, `"binary"` or `"top_label"`, as in
            `kst.metrics.calibration_error`. Defaults to `"auto"`.
        level: Float in (0, 1), the level of the intervals. Defaults to
            `0.95`.
        from_logits: Boolean, whether `y_prob` holds logits. Defaults to
            `False`.
        mask: Boolean array of what counts. Defaults to `None`.
        sample_weight: Array of weights. Defaults to `None`.
        label: String, what the model is called. Defaults to `None`.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: As `kst.metrics.reliability_curve` does, or if the mode
            is one of several curves.
        ImportError: If Matplotlib is missing.

    Example:

    >>> y, p = [0, 1, 1, 0], [0.1, 0.6, 0.9, 0.4]
    >>> ax = kst.plots.reliability(y, p, label="plain")
    >>> ax = kst.plots.reliability(y, [0.0, 1.0, 1.0, 0.5], label="MC", ax=ax)
    >>> ax.get_ylabel()
    'frequency that followed'
    """
    if mode == "classwise":
        raise invalid("mode", "a mode of one curve", mode)
    if is_classification(y_prob):
        result, y_prob = y_prob, y_prob.probabilities
        if result.per_label:  # every sigmoid is an item of its own
            y_true, y_prob = np.reshape(y_true, y_prob.shape), y_prob[..., None]
        mask = joint_mask(y_prob.shape[:-1] or y_prob.shape, mask, result.mask)
    curve = reliability_curve(
        y_true,
        y_prob,
        num_bins=num_bins,
        binning=binning,
        mode=mode,
        level=level,
        from_logits=from_logits,
        mask=mask,
        sample_weight=sample_weight,
    )
    ax = axes_or_new(ax)
    off = np.abs([curve.lower, curve.upper] - curve.frequency)
    points = ax.errorbar(
        curve.mean_prob,
        curve.frequency,
        off,
        fmt="o-",
        markersize=4,
        label=label,
    )
    share = curve.count / curve.count.sum()
    ax.stairs(
        0.2 * share / share.max(),
        curve.edges,
        fill=True,
        alpha=0.3,
        color=points[0].get_color(),
    )
    square(ax, "stated probability", "frequency that followed")
    if label is not None:
        ax.legend(frameon=False)
    return ax


def pit(
    cdf: Any,
    cdf_below: Any = None,
    *,
    num_bins: int = 10,
    level: float = 0.95,
    mask: Any = None,
    sample_weight: Any = None,
    ax: Any = None,
) -> Any:
    """Histogram of probability integral transforms: flat if calibrated.

    A U is too narrow, a hump too wide, a slope biased. The band holds a bar
    of a calibrated model with probability `level`, for independent items that
    weigh the same; bars of counts stay well inside.

    Args:
        cdf: Array of `P(Y <= y)` at the values that came: `head.cdf(y,
            y_pred)`, or of a continuous family the `"pit"` of
            `evaluate_uncertainty(per_row=True)`.
        cdf_below: Array of `P(Y < y)`, for counts. Defaults to `None`.
        num_bins: Positive integer, the number of bins. Defaults to `10`.
        level: Float in (0, 1), the level of the band. Defaults to `0.95`.
        mask: Boolean array of what counts. Defaults to `None`.
        sample_weight: Array of weights. Defaults to `None`.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: As `kst.metrics.pit_histogram` does.
        ImportError: If Matplotlib is missing.

    Example:

    >>> head = kst.heads.NormalHead()
    >>> y_pred = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")  # loc, scale
    >>> ax = kst.plots.pit(head.cdf(np.array([[0.3], [1.2]]), y_pred))
    >>> ax.get_xlabel()
    'probability integral transform'
    """
    heights = pit_histogram(
        cdf,
        cdf_below,
        num_bins=num_bins,
        mask=mask,
        sample_weight=sample_weight,
    )
    number = counting(mask, sample_weight, cdf=cdf)[0].size
    reach = central_z(level) * np.sqrt((num_bins - 1) / max(number, 1))
    ax = axes_or_new(ax)
    ax.stairs(heights, np.linspace(0, 1, num_bins + 1), fill=True, alpha=0.5)
    ax.axhspan(1 - reach, 1 + reach, color="0.6", alpha=0.3, linewidth=0)
    ax.axhline(1, color="0.6", linewidth=1, linestyle="--")
    ax.set(
        xlim=(0, 1), xlabel="probability integral transform", ylabel="density"
    )
    ax.set_ylim(bottom=0)
    return ax


def quantile_calibration(
    cdf: Any,
    cdf_below: Any = None,
    *,
    level: float = 0.95,
    mask: Any = None,
    sample_weight: Any = None,
    label: str | None = None,
    ax: Any = None,
) -> Any:
    """How often values came out below their quantiles, by the quantile.

    On the diagonal if calibrated. The band holds a point of a calibrated
    model with probability `level`, for independent items that weigh the same.
    Further models go on the same `ax`.

    Args:
        cdf: Array of `P(Y <= y)` at the values that came, as in `pit`.
        cdf_below: Array of `P(Y < y)`, for counts. Defaults to `None`.
        level: Float in (0, 1), the level of the band. Defaults to `0.95`.
        mask: Boolean array of what counts. Defaults to `None`.
        sample_weight: Array of weights. Defaults to `None`.
        label: String, what the model is called. Defaults to `None`.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: As `kst.metrics.quantile_calibration` does.
        ImportError: If Matplotlib is missing.

    Example:

    >>> ax = kst.plots.quantile_calibration([0.1, 0.6, 0.9, 0.7])
    >>> ax.get_xlabel()
    'quantile'
    """
    levels = np.linspace(0.01, 0.99, 99)
    observed = observed_frequencies(
        cdf, cdf_below, levels=levels, mask=mask, sample_weight=sample_weight
    )
    number = counting(mask, sample_weight, cdf=cdf)[0].size
    reach = central_z(level) * np.sqrt(levels * (1 - levels) / max(number, 1))
    ax = axes_or_new(ax)
    (line,) = ax.plot(levels, observed, label=label)
    ax.fill_between(
        levels,
        levels - reach,
        levels + reach,
        color=line.get_color(),
        alpha=0.15,
        linewidth=0,
    )
    square(ax, "quantile", "share of the values at or below it")
    if label is not None:
        ax.legend(frameon=False)
    return ax
