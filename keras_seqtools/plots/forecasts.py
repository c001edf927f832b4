"""Pictures of forecasts, and of single items."""

import math
from typing import Any

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.heads import DistributionHead
from keras_seqtools.plots._axes import axes_or_new


def fan(
    result: Any, y_true: Any = None, *, x: Any = None, ax: Any = None
) -> Any:
    """Fan chart: the mean of a regression, and its intervals as bands.

    One band for each central interval that was asked for. The items lie
    side by side: the rows of a model that predicts one number, or the steps
    of one sequence, `result[i]`.

    Args:
        result: A `RegressionUncertainty` of one number an item, with
            `levels`.
        y_true: Array of the values that came, one an item, to be drawn as
            points. Defaults to `None`.
        x: Array of places on the horizontal axis, times say. Defaults to
            `None`: 0, 1, and so on.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: If there is more than one number an item, no interval, or
            another number of `y_true` or `x`.
        ImportError: If Matplotlib is missing.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), kst.heads.NormalHead()])
    >>> x, y = np.zeros((48, 2)), np.zeros(48)
    >>> u = kst.predict_uncertainty(model, x, levels=(0.5, 0.9), verbose=0)
    >>> ax = kst.plots.fan(u, y)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['90%', '50%', 'mean', 'came']
    """
    mean = _one_axis("result", result.mean)
    pairs = [
        (low, high)
        for low in sorted(result.quantiles)
        for high in result.quantiles
        if low < 0.5 and math.isclose(low + high, 1.0)
    ]
    if not pairs:
        raise ValueError(
            "`fan` draws intervals, and none were computed. Ask for them with "
            "`predict_uncertainty(..., levels=(0.5, 0.9))`."
        )
    places = np.arange(len(mean)) if x is None else np.asarray(x)
    if places.shape != mean.shape:
        raise invalid("x", f"{len(mean)} places", x)
    if y_true is not None:
        y_true = _one_axis("y_true", y_true)
        if y_true.shape != mean.shape:
            raise invalid("y_true", f"{len(mean)} values", y_true)
    ax = axes_or_new(ax)
    for low, high in pairs:
        lower, upper = (result.quantiles[q].reshape(-1) for q in (low, high))
        ax.fill_between(
            places,
            lower,
            upper,
            color="C0",
            alpha=0.8 / (1 + len(pairs)),
            linewidth=0,
            label=f"{high - low:.0%}",
        )
    ax.plot(places, mean, color="C0", label="mean")
    if y_true is not None:
        ax.plot(places, y_true, "k.", markersize=4, label="came")
    ax.legend(frameon=False)
    return ax


def class_draws(
    result: Any, row: int, *, names: Any = None, ax: Any = None
) -> Any:
    """Monte Carlo draws of one item: what each pass gave to each class.

    A dot is a pass, the line is the mean. Dots that agree are sure; dots that
    fly apart are what `mutual_information` measures.

    Args:
        result: A `ClassificationUncertainty` of class probabilities
            `(batch, classes)`, with `return_samples=True`.
        row: Integer, which row of the result.
        names: Names of the classes. Defaults to `None`: 0, 1, and so on.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: If there are no samples, or not of one item a row.
        ImportError: If Matplotlib is missing.

    Example:

    >>> layers = [keras.layers.Dropout(0.5), keras.layers.Dense(3, "softmax")]
    >>> model = keras.Sequential([keras.Input((2,)), *layers])
    >>> u = kst.predict_uncertainty(
    ...     model, np.ones((1, 2)), return_samples=True, verbose=0
    ... )
    >>> ax = kst.plots.class_draws(u, 0, names=["bad", "good", "best"])
    >>> ax.get_ylabel()
    'probability'
    """
    if result.samples is None:
        raise ValueError(
            "`class_draws` needs the passes. Ask for them with "
            "`predict_uncertainty(..., return_samples=True)`."
        )
    if result.samples.ndim != 3:
        raise ValueError(
            "`class_draws` expects class probabilities `(batch, classes)`. "
            f"Received: {result.samples.shape[1:]}"
        )
    draws = result.samples[:, row]
    passes, classes = draws.shape
    # Side by side, in the order of the passes: no dot hides another.
    offsets = np.linspace(-0.3, 0.3, passes)[:, None]
    places = np.arange(classes)
    ax = axes_or_new(ax)
    ax.plot(places + offsets, draws, "o", color="C0", alpha=0.4, markersize=3)
    mean = result.probabilities[row]
    ax.hlines(mean, places - 0.4, places + 0.4, color="C1", label="mean")
    ax.set(ylim=(0, 1), xlabel="class", ylabel="probability")
    ax.set_xticks(places, places if names is None else names)
    ax.legend(frameon=False)
    return ax


def rootogram(
    y_true: Any,
    y_pred: Any,
    head: DistributionHead,
    *,
    max_count: int | None = None,
    ax: Any = None,
) -> Any:
    """Hanging rootogram: how often each count came, and was to be expected.

    Bars of the frequencies that came hang from those that the predictions add
    up to, both as square roots. A bar that does not reach 0 is a count that
    came too seldom, one that passes it came too often; an excess of zeros
    shows at the first.

    Args:
        y_true: Array of counts, as `head.validate` takes them.
        y_pred: What the model emitted for them.
        head: A `keras_seqtools.heads.DistributionHead` of counts.
        max_count: Integer, the largest count shown. Defaults to `None`: the
            largest that came, 50 at most.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: If the head is not one of counts, or as `head.validate`.
        ImportError: If Matplotlib is missing.

    Example:

    >>> head = kst.heads.PoissonHead()
    >>> y_pred = np.zeros((5, 1), "float32")  # log_rate
    >>> y = np.array([[0], [0], [1], [2], [3]])
    >>> ax = kst.plots.rootogram(y, y_pred, head)
    >>> ax.get_xlabel()
    'count'

    Reference:

    - [Kleiber & Zeileis, 2016](https://doi.org/10.1080/00031305.2016.1173590)
    """
    if not head.discrete:
        raise invalid("head", "a head of counts", head)
    head.validate(y_true)
    y = np.asarray(y_true).ravel()
    if max_count is None:
        max_count = min(int(y.max()), 50)
    counts = np.arange(max_count + 1)
    came = np.bincount(y.astype("int64"), minlength=len(counts))[: len(counts)]
    like = np.asarray(head.mean(y_pred))
    expected = [
        np.exp(np.asarray(head.log_prob(np.full_like(like, k), y_pred))).sum()
        for k in counts
    ]
    top, height = np.sqrt(expected), np.sqrt(came)
    ax = axes_or_new(ax)
    ax.bar(counts, height, bottom=top - height, color="0.8", label="came")
    ax.plot(counts, top, "o-", color="C1", markersize=3, label="expected")
    ax.axhline(0, color="0.3", linewidth=1)
    ax.set(xlabel="count", ylabel="square root of how often")
    ax.legend(frameon=False)
    return ax


def _one_axis(name: str, values: Any) -> np.ndarray:
    """The values of items that lie side by side."""
    values = np.asarray(values)
    if values.size != max(values.shape, default=0):
        raise invalid(name, "one number an item, on one axis", values.shape)
    return values.reshape(-1)
