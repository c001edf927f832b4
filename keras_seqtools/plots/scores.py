"""Pictures of scores: what they tell apart, and what they are worth."""

from typing import Any

import numpy as np

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.metrics import auroc
from keras_seqtools.metrics import risk_coverage_curve
from keras_seqtools.metrics._ranks import counted_labels
from keras_seqtools.metrics._ranks import rank_labels
from keras_seqtools.plots._axes import axes_or_new
from keras_seqtools.plots._axes import square


def roc(
    y_true: Any,
    score: Any,
    *,
    mask: Any = None,
    sample_weight: Any = None,
    label: str | None = None,
    ax: Any = None,
) -> Any:
    """ROC curve: the positives found, by the negatives flagged along.

    The diagonal is chance. The legend has the area, `auroc`. Further scores
    go on the same `ax`.

    Args:
        y_true: Array of 0 and 1; 1 are the positives, novel or wrong.
        score: Array of the same shape, higher for what looks positive.
        mask: As in `kst.metrics.auroc`. Defaults to `None`.
        sample_weight: As in `kst.metrics.auroc`. Defaults to `None`.
        label: String, what the score is called. Defaults to `None`.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: As `kst.metrics.auroc` does, or if one of the two kinds
            does not occur.
        ImportError: If Matplotlib is missing.

    Example:

    >>> is_novel = [0, 0, 1, 1]
    >>> ax = kst.plots.roc(is_novel, [0.1, 0.4, 0.3, 0.8], label="entropy")
    >>> ax = kst.plots.roc(is_novel, [0.2, 0.1, 0.3, 0.4], label="MI", ax=ax)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['entropy: 0.750', 'MI: 1.000']
    """
    _, count, positive = rank_labels(
        y_true, score, mask, sample_weight, highest_first=True
    )
    if not 0.0 < positive[-1] < count[-1]:
        raise ValueError("A ROC curve needs both kinds, zeros and ones.")
    negative = count - positive
    area = auroc(y_true, score, mask=mask, sample_weight=sample_weight)
    ax = axes_or_new(ax)
    ax.plot(
        negative / negative[-1],
        positive / positive[-1],
        label=f"{label or 'score'}: {area:.3f}",
    )
    square(ax, "share of the negatives flagged", "share of the positives found")
    ax.legend(frameon=False, loc="lower right", title="AUROC")
    return ax


def risk_coverage(
    loss: Any,
    score: Any,
    *,
    mask: Any = None,
    sample_weight: Any = None,
    label: str | None = None,
    ax: Any = None,
) -> Any:
    """Risk-coverage curve: the mean loss of what is kept, by how much is.

    A score that says nothing is flat. Further scores go on the same `ax`.

    Args:
        loss: Array of losses, or of whether each item is wrong.
        score: Array of the same shape, higher for what is less sure.
        mask: As in `kst.metrics.risk_coverage_curve`. Defaults to `None`.
        sample_weight: As in `kst.metrics.risk_coverage_curve`. Defaults to
            `None`.
        label: String, what the score is called. Defaults to `None`.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: As `kst.metrics.risk_coverage_curve` does, or if nothing
            counts.
        ImportError: If Matplotlib is missing.

    Example:

    >>> wrong, entropy = [False, False, True, False], [0.1, 0.2, 0.9, 0.8]
    >>> ax = kst.plots.risk_coverage(wrong, entropy)
    >>> ax.get_xlabel()
    'share of the items kept'
    """
    curve = risk_coverage_curve(
        loss, score, mask=mask, sample_weight=sample_weight
    )
    if not len(curve.risk):
        raise invalid("loss", "at least one item that counts", loss)
    ax = axes_or_new(ax)
    ax.plot(curve.coverage, curve.risk, label=label, drawstyle="steps-post")
    ax.set(
        xlim=(0, 1), xlabel="share of the items kept", ylabel="their mean loss"
    )
    # From 0 on, or the lowest, and room for the curves that are there already.
    lowest = min(0.0, *(line.get_ydata().min() for line in ax.lines))
    top = max(1.05 * curve.risk.max(), ax.get_ylim()[1])
    ax.set_ylim(1.05 * lowest, top)
    if label is not None:
        ax.legend(frameon=False)
    return ax


def score_histogram(
    y_true: Any, score: Any, *, num_bins: int = 30, ax: Any = None
) -> Any:
    """Histograms of a score, for what is known and for what is novel.

    Each is a share of its own kind, so that few novel items show too.

    Args:
        y_true: Array of 0 and 1; 1 are novel, or wrong.
        score: Array of the same shape, higher for what is less sure.
        num_bins: Positive integer, the number of bins. Defaults to `30`.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: If the shapes differ, a label is not 0 or 1, a score is
            not finite, or one of the two kinds does not occur.
        ImportError: If Matplotlib is missing.

    Example:

    >>> ax = kst.plots.score_histogram([0, 0, 1], [0.1, 0.2, 0.9])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['known', 'novel']
    """
    num_bins = check_positive_int("num_bins", num_bins)
    is_novel, score, _ = counted_labels(y_true, score, None, None)
    if not np.isfinite(score).all():
        raise invalid("score", "finite numbers", score)
    kinds = {"known": score[~is_novel], "novel": score[is_novel]}
    if not all(values.size for values in kinds.values()):
        raise ValueError(
            "Expected items that are novel, and some that are not."
        )
    edges = np.histogram_bin_edges(score, num_bins)
    ax = axes_or_new(ax)
    for name, values in kinds.items():
        share = np.full(values.shape, 1.0 / values.size)
        ax.hist(values, edges, weights=share, alpha=0.5, label=name)
    ax.set(xlabel="score", ylabel="share of the kind")
    ax.legend(frameon=False)
    return ax
