"""Windows of long series, and what follows each of them."""

import dataclasses
import warnings
from typing import Any

import numpy as np

from keras_seqtools._validation import check_positive_int
from keras_seqtools.forecasting._pieces import split_at_gaps


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """Windows of series, what follows them, and where they came from.

    Attributes:
        x: `(windows, input_steps, features)`.
        y: `(windows, horizon, targets)`, the steps right after `x`.
        series: `(windows,)`, the number of the series, 0 if there is only one.
        start: `(windows,)`, the time step of that series where `x` begins.

    Example:

    >>> windows = kst.forecasting.make_windows(np.arange(9.0), 4, horizon=2)
    >>> end = windows.start + 4 + 2
    >>> train, test = end <= 7, windows.start >= 3  # they share no step of y
    >>> windows.x[train].shape, windows.y[test].ravel()
    ((2, 4, 1), array([7., 8.]))
    """

    x: np.ndarray
    y: np.ndarray
    series: np.ndarray
    start: np.ndarray


def make_windows(
    series: Any,
    input_steps: int,
    horizon: int = 1,
    *,
    targets: Any = None,
    timestamps: Any = None,
    stride: int = 1,
) -> Windows:
    """Cuts series into windows, each with the steps that follow it.

    No window spans a gap in the time stamps or mixes two series. A gap is a
    step in time that is off the median step of its series by more than half of
    that: calendar months have none, a missing value leaves one. What lies
    between two gaps and is too short for a window is left out, with a warning.

    A NaN is kept, in every window that holds it. To have windows without,
    leave such steps out of the series and of its `timestamps`: they turn into
    gaps.

    The same `x` serves a model of one step, `horizon=1`, and one that forecasts
    `horizon` steps at once, such as a causal stack that ends in
    `keras_seqtools.layers.CausalSlice(horizon)`.

    Args:
        series: Array `(time,)` or `(time, features)`, or a list of such, whose
            lengths may differ.
        input_steps: Positive integer, the number of time steps of an input.
        horizon: Positive integer, the number of time steps to forecast.
            Defaults to `1`.
        targets: What to forecast, shaped like `series` but for the features,
            at the same times. Defaults to `None`: the series themselves.
        timestamps: Array `(time,)` of numbers or `numpy.datetime64` that
            increase, or a list of such, one for each series. Defaults to
            `None`: no gaps.
        stride: Positive integer, the number of time steps from the start of a
            window to that of the next. Defaults to `1`.

    Returns:
        `Windows`, with `x` of shape `(windows, input_steps, features)` and `y`
        of shape `(windows, horizon, targets)`.

    Raises:
        ValueError: If a series is shorter than `input_steps + horizon`, or if
            all that lies between gaps is.

    Example:

    >>> series = np.sin(np.arange(100.0))
    >>> windows = kst.forecasting.make_windows(series, 24, horizon=3)
    >>> windows.x.shape, windows.y.shape
    ((74, 24, 1), (74, 3, 1))
    >>> model = keras.Sequential(
    ...     [
    ...         keras.layers.Conv1D(8, 4, padding="causal"),
    ...         keras.layers.Dense(1),
    ...         kst.layers.CausalSlice(3),  # output j forecasts 3 steps ahead
    ...     ]
    ... )
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(windows.x, windows.y, verbose=0)

    One step ahead, from a layer that returns its last output alone:

    >>> windows = kst.forecasting.make_windows(series, 24)
    >>> model = keras.Sequential(
    ...     [kst.layers.LayerNormGRU(8), keras.layers.Dense(1)]
    ... )
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(windows.x, windows.y[:, 0], verbose=0)
    """
    input_steps = check_positive_int("input_steps", input_steps)
    horizon = check_positive_int("horizon", horizon)
    stride = check_positive_int("stride", stride)
    pieces = split_at_gaps(series, targets, timestamps)
    span = input_steps + horizon
    lengths = np.diff(pieces.origin, append=len(pieces.x))
    if (lengths < span).any():
        short = np.flatnonzero(lengths < span)[0]
        raise ValueError(
            f"Each series needs at least {span} time steps, "
            f"`input_steps + horizon`. Received: series {short} with "
            f"{lengths[short]} time steps"
        )
    fits = pieces.length >= span
    if not fits.any():
        raise ValueError(
            f"A window needs {span} time steps without a gap, "
            f"`input_steps + horizon`. Received: at most {pieces.length.max()}"
            " between two gaps of `timestamps`"
        )
    if not fits.all():
        warnings.warn(
            f"{(~fits).sum()} of {len(fits)} pieces between gaps are left "
            f"out, being shorter than {span} time steps.",
            stacklevel=2,
        )
    last = pieces.first + pieces.length - span
    starts = [
        np.arange(pieces.first[piece], last[piece] + 1, stride)
        for piece in np.flatnonzero(fits)
    ]
    number = np.repeat(pieces.series[fits], [len(start) for start in starts])
    start = np.concatenate(starts)
    return Windows(
        x=_runs(pieces.x, input_steps)[start],
        y=_runs(pieces.y, horizon)[start + input_steps],
        series=number,
        start=start - pieces.origin[number],
    )


def _runs(values: np.ndarray, length: int) -> np.ndarray:
    """A view of all that is `length` steps long, `(run, length, features)`."""
    runs = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)
    return np.moveaxis(runs, -1, 1)
