"""Pictures of forecasts, and of single items."""

import math
from typing import Any

import numpy as np

from keras_seqtools._validation import invalid
from keras_seqtools.heads import DistributionHead
from keras_seqtools.metrics import count_calibration
from keras_seqtools.metrics._head_items import counted_items
from keras_seqtools.metrics._results import is_classification
from keras_seqtools.metrics._results import is_forecast
from keras_seqtools.metrics._results import is_regression
from keras_seqtools.plots._axes import axes_or_new


def fan(
    result: Any, y_true: Any = None, *, x: Any = None, ax: Any = None
) -> Any:
    """Fan chart: the mean of a regression, and its intervals as bands.

    One band for each central interval that was asked for; of a `Forecast`,
    for 50 % and 90 % of its paths. The items lie side by side: the rows of a
    model that predicts one number, or the steps of one sequence, `result[i]`.

    Args:
        result: A `RegressionUncertainty` of one number an item, with
            `levels`; or a `keras_seqtools.forecasting.Forecast` of one series.
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
    bands = _bands(result)
    mean = _one_axis("result", result.mean)
    places = np.arange(len(mean)) if x is None else np.asarray(x)
    if places.shape != mean.shape:
        raise invalid("x", f"{len(mean)} places", x)
    if y_true is not None:
        y_true = _one_axis("y_true", y_true)
        if y_true.shape != mean.shape:
            raise invalid("y_true", f"{len(mean)} values", y_true)
    ax = axes_or_new(ax)
    for level, ends in bands:
        lower, upper = (end.reshape(-1) for end in ends)
        ax.fill_between(
            places,
            lower,
            upper,
            color="C0",
            alpha=0.8 / (1 + len(bands)),
            linewidth=0,
            label=f"{level:.0%}",
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
    if not is_classification(result):
        raise invalid("result", "a `ClassificationUncertainty`", result)
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
    mask: Any = None,
    ax: Any = None,
) -> Any:
    """Hanging rootogram: how often each count came, and was to be expected.

    Bars of the frequencies that came hang from those that the predictions add
    up to, both as square roots. A bar that does not reach 0 is a count that
    came too seldom, one that passes it came too often; an excess of zeros
    shows at the first.

    Args:
        y_true: Array of counts, as `kst.metrics.count_calibration` takes them.
        y_pred: What the model emitted for them.
        head: A `keras_seqtools.heads.DistributionHead` of counts.
        max_count: Positive integer, the largest count shown. Defaults to
            `None`: the largest that came, 50 at most.
        mask: Boolean array of what counts, likewise. Defaults to `None`.
        ax: Axes of Matplotlib to draw on. Defaults to `None`: new ones.

    Returns:
        The axes.

    Raises:
        ValueError: As `kst.metrics.count_calibration` does, or if nothing
            counts.
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
    y, _, _ = counted_items(y_true, y_pred, head, mask, None)
    if not y.size:
        raise invalid("y_true", "at least one item that counts", y_true)
    if max_count is None:
        max_count = max(1, min(int(y.max()), 50))
    shares = count_calibration(
        y_true, y_pred, head, max_count=max_count, mask=mask
    )
    top, height = (
        np.sqrt(y.size * shares[name]) for name in ("probability", "frequency")
    )
    counts = np.arange(max_count + 1)
    ax = axes_or_new(ax)
    ax.bar(counts, height, bottom=top - height, color="0.8", label="came")
    ax.plot(counts, top, "o-", color="C1", markersize=3, label="expected")
    ax.axhline(0, color="0.3", linewidth=1)
    ax.set(xlabel="count", ylabel="square root of how often")
    ax.legend(frameon=False)
    return ax


def _bands(result: Any) -> list[tuple[float, Any]]:
    """Levels and the ends of their intervals, the widest first."""
    if is_forecast(result):
        return [(level, result.interval(level)) for level in (0.9, 0.5)]
    if not is_regression(result):
        expected = "a `RegressionUncertainty` or a `Forecast`"
        raise invalid("result", expected, result)
    table = result.quantiles
    bands = [
        (high - low, (table[low], table[high]))
        for low in sorted(table)
        for high in table
        if low < 0.5 and math.isclose(low + high, 1.0)
    ]
    if not bands:
        raise ValueError(
            "`fan` draws intervals, and none were computed. Ask for them with "
            "`predict_uncertainty(..., levels=(0.5, 0.9))`."
        )
    return bands


def _one_axis(name: str, values: Any) -> np.ndarray:
    """The values of items that lie side by side."""
    values = np.asarray(values)
    if values.size != max(values.shape, default=0):
        raise invalid(name, "one number an item, on one axis", values.shape)
    return values.reshape(-1)
