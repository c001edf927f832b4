"""What forecasts of a model would have been worth, beside naive ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_seqtools._validation import check_fractions
from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.forecasting import _naive
from keras_seqtools.forecasting._inputs import head_of
from keras_seqtools.forecasting._pieces import along
from keras_seqtools.forecasting._pieces import split_at_gaps
from keras_seqtools.forecasting._predicted import by_model
from keras_seqtools.forecasting._predicted import score
from keras_seqtools.forecasting.backtest_scores import Backtest
from keras_seqtools.forecasting.forecast import forecast
from keras_seqtools.uncertainty._checks import check_model


def backtest(
    model: Any,
    series: Any,
    horizon: int,
    stride: int = 1,
    *,
    start: int,
    season_length: int = 1,
    targets: Any = None,
    covariates: Any = None,
    context: int | None = None,
    feedback: Callable[[Any, Any], Any] | None = None,
    num_samples: int = 100,
    level: float = 0.8,
    seed: int | None = None,
) -> Backtest:
    """Scores, by horizon, of forecasts made all along a series.

    At every origin, `start`, `start + stride`, and so on, the model forecasts
    `horizon` steps from the `context` before it, as
    `keras_seqtools.forecasting.forecast` does, and what came is held against
    that. Nothing is fitted again: for scores of data that the model has not
    seen, train it on what lies before `start`.

    Two naive forecasts are scored beside it: persistence, the last value, and
    with a `season_length` the value of the last season seen. Each is given
    the distribution of the errors that it made, at the same horizon, at all
    steps before `start`.

    Scores are means over origins, series and units:

    - `"rmse"`, of the mean of the paths; of a naive forecast, of its value.
    - `"mae"`, of the median of the paths, likewise.
    - `"mase"`, the same absolute error in units of the mean error of the
      seasonal naive forecast of one season ahead (of persistence one step
      ahead without one) before `start`, of each series and unit. NaN if that
      is 0.
    - `"nll"`, in nats, a unit, by `Forecast.log_prob`. NaN for a model without
      a head, and for the naive forecasts: draws have no density.
    - `"crps"`, by the fair estimator, of paths and of past errors alike: the
      number of them makes no difference. A single path has its absolute error.
    - `"coverage"`, the share of what came inside the central interval of
      `level`. Of 100 paths an interval of 0.8 holds 0.784 when all is well,
      of 1,000 paths 0.798; of counts it may hold more.

    Forecasts of origins closer than `horizon` share what came, so that their
    scores vary less than their number would have it.

    Args:
        model: A built Keras model, as for `forecast`.
        series: Array `(time,)` or `(time, features)` without gaps, what the
            model reads; or a list of such, whose lengths may differ.
        horizon: Positive integer, the number of time steps to forecast.
        stride: Positive integer, the number of time steps from one origin to
            the next. Defaults to `1`.
        start: Positive integer, the first origin: the time step, in each
            series, that is forecast first.
        season_length: Positive integer, the number of time steps of a season.
            Defaults to `1`: there is none.
        targets: What to forecast, shaped like `series` but for the features,
            at the same times, where the model reads something else:
            differences, logs, scaled values. It needs a `feedback` then.
            Defaults to `None`: the series themselves.
        covariates: Further features of the input, after those of `series`, at
            the same times, known beforehand; a list if `series` is one.
            Defaults to `None`.
        context: Positive integer, the number of time steps that the model
            reads before an origin, at most `start`. Defaults to `None`:
            `start`, as many as lie before each origin.
        feedback: As for `forecast`. Defaults to `None`.
        num_samples: Positive integer, the number of paths from each origin.
            Those from all origins are drawn at once. Defaults to `100`.
        level: Float in (0, 1), of the interval whose coverage is given.
            Defaults to `0.8`.
        seed: Integer of at least 0. Defaults to `None`: a new one each time.

    Returns:
        A `Backtest`. `print` shows it as a table.

    Raises:
        ValueError: If a series is shorter than `start + horizon`, if less than
            two errors of a naive forecast lie before `start`, if a target is
            not finite or outside of the support of the head, or as `forecast`.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> series = np.sin(np.arange(300) * np.pi / 6) + rng.normal(0, 0.1, 300)
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((None, 1)),
    ...         kst.layers.LayerNormGRU(8, return_sequences=True),
    ...         kst.heads.NormalHead(),
    ...     ]
    ... )
    >>> found = kst.forecasting.backtest(
    ...     model, series, horizon=6, start=200, season_length=12, seed=1
    ... )
    >>> found
    Backtest(origins=95, horizon=6, units=1, level=0.8)
    >>> found.by_horizon["seasonal naive"]["crps"].shape
    (6,)

    Reference:

    - [Hyndman & Koehler, 2006](https://doi.org/10.1016/j.ijforecast.2006.03.001)
    - [Ferro, 2014](https://doi.org/10.1002/qj.2270)
    """
    horizon = check_positive_int("horizon", horizon)
    stride = check_positive_int("stride", stride)
    start = check_positive_int("start", start)
    season_length = check_positive_int("season_length", season_length)
    context = start if context is None else context
    if check_positive_int("context", context) > start:
        raise invalid("context", f"at most `start`, {start}", context)
    check_fractions("level", level)
    head = head_of(check_model(model))
    pieces = split_at_gaps(series, targets)
    lengths = np.diff(pieces.origin, append=len(pieces.x))
    _check_lengths(lengths, start, horizon, season_length)
    y = pieces.y.astype("float64")
    if not np.isfinite(y).all():
        name = "series" if targets is None else "targets"
        raise ValueError(f"`{name}` must be finite. Received: NaN or infinity")
    origins = [np.arange(start, n - horizon + 1, stride) for n in lengths]
    number = np.repeat(np.arange(len(lengths)), [len(at) for at in origins])
    origin = np.concatenate(origins)
    first = (pieces.origin[number] + origin)[:, None]
    past, to_come = first + np.arange(-context, 0), first + np.arange(horizon)
    y_true = y[to_come]
    if head is not None:
        head.validate(y_true)
    known = {}
    if covariates is not None:
        steps = along("covariates", series, covariates)
        known["past_covariates"] = steps[past]
        known["future_covariates"] = steps[to_come]
    ahead = forecast(
        model,
        pieces.x[past],
        horizon,
        num_samples=num_samples,
        seed=seed,
        feedback=feedback,
        **known,
    )
    if ahead.samples.shape[1:] != y_true.shape:
        raise ValueError(
            f"`{model.name}` forecasts {ahead.samples.shape[-1]} units. "
            f"Received: {y_true.shape[-1]} to compare with"
        )
    each = np.split(y, pieces.origin[1:])
    found = {
        "model": by_model(ahead, y_true, level),
        **_naive.forecasts(each, start, origins, horizon, season_length, level),
    }
    error = [_naive.usual_error(one[:start], season_length) for one in each]
    usual_error = np.stack(error)[number, None]
    by_horizon, pooled = {}, {}
    for name, predicted in found.items():
        by_horizon[name], pooled[name] = score(predicted, y_true, usual_error)
    return Backtest(by_horizon, pooled, level, ahead, y_true, number, origin)


def _check_lengths(
    lengths: np.ndarray, start: int, horizon: int, season_length: int
) -> None:
    """Enough before the first origin, enough after it."""
    longest = _naive.lags(season_length, horizon)[-1]
    if start < longest + 2:
        raise invalid(
            "start",
            f"at least {longest + 2}: naive forecasts look up to {longest} "
            "steps back, and need two errors",
            start,
        )
    for place, length in enumerate(lengths):
        if length < start + horizon:
            raise ValueError(
                f"Each series needs at least {start + horizon} time steps, "
                f"`start + horizon`. Received: series {place} with {length}"
            )
