"""What a recurrent model of glucose must beat, fitted and scored alike.

Every baseline is fitted on the training windows; whatever there is to choose
(a penalty, a number of trees, the size of the noise) is chosen on the
validation windows. It is then a function from windows to a `Forecast`, and
`scores` treats all forecasts alike, those of a Keras model too.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np
from glucose_data import AHEAD
from glucose_data import Array
from glucose_data import Windows
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_gamma_deviance
from sklearn.metrics import mean_pinball_loss
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import KFold
from sklearn.model_selection import cross_val_predict
from threadpoolctl import threadpool_limits

from keras_seqtools import metrics

LOW = 70.0  # mg/dL
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NUM_DRAWS = 200

# Two threads are about twice as fast on an idle machine, and were nine times
# as slow on a busy one: they wait for each other.
one_thread = threadpool_limits.wrap(limits=1, user_api="openmp")


@dataclasses.dataclass(frozen=True, eq=False)
class Forecast:
    """What is said of n targets; `None` or empty where nothing is said.

    Attributes:
        mean: `(n, 1)` in mg/dL.
        nll: `(n, 1)`, minus the log-density at what came, in nats of mg/dL.
        quantiles: `(n, 1)` in mg/dL for each of `QUANTILES`.
        draws: `(num_draws, n, 1)` of the predictive distribution in mg/dL.
        prob_low: `(n, 1)`, the chance of a reading below `LOW`.
    """

    mean: Array | None = None
    nll: Array | None = None
    quantiles: Mapping[float, Array] = dataclasses.field(default_factory=dict)
    draws: Array | None = None
    prob_low: Array | None = None


Predict = Callable[[Windows], Forecast]


def fit_all(
    train: Windows, validation: Windows, *, quick: bool = False
) -> dict[str, Predict]:
    """Every baseline by name, in the order of a table."""
    models: dict[str, Predict] = {
        "persistence": persistence,
        "ridge": ridge(train, validation),
    }
    for bends, suffix in ((False, ""), (True, ", bends")):
        models[f"booster{suffix}"] = booster(
            train, validation, bends=bends, quick=quick
        )
        models[f"quantiles{suffix}"] = quantile_booster(
            train, validation, bends=bends, quick=quick
        )
    return models


def persistence(windows: Windows) -> Forecast:
    """The last reading stays: a point, with nothing said about its error."""
    return Forecast(mean=windows.last)


def trend(windows: Windows, steps: int = 1) -> Array:
    """`(n, 1)`: the change of the last `steps` readings carried on.

    One step ranks the lows of the validation part best.
    """
    change = windows.last - windows.history[:, -1 - steps, None]
    return windows.last + change * (AHEAD / steps)


def ridge(train: Windows, validation: Windows) -> Predict:
    """Linear in the 36 readings, Normal noise of one size."""
    x, y = features(train), change_ahead(train)
    center, scale = x.mean(axis=0), x.std(axis=0)

    def predict(windows: Windows, weights: Array, intercept: float) -> Array:
        change = (features(windows) - center) / scale @ weights + intercept
        return windows.last + change[:, None]

    def rmse(fit: tuple[Array, float]) -> float:
        error = predict(validation, *fit) - validation.target
        return float(np.sqrt(np.mean(error**2)))

    fits = [
        ridge_weights((x - center) / scale, y, penalty)
        for penalty in 10.0 ** np.arange(-2, 6)
    ]
    best = min(fits, key=rmse)
    # Errors on the training part would flatter the fit.
    sigma = rmse(best)
    return lambda windows: from_distribution(
        stats.norm(predict(windows, *best), sigma), windows.target
    )


def ridge_weights(x: Array, y: Array, penalty: float) -> tuple[Array, float]:
    """Weights and intercept that minimise `|y - xw - b|^2 + penalty |w|^2`."""
    center = x.mean(axis=0)
    gram = (x - center).T @ (x - center) + penalty * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, (x - center).T @ (y - y.mean()))
    return weights, float(y.mean() - center @ weights)


@one_thread
def booster(
    train: Windows,
    validation: Windows,
    *,
    bends: bool = False,
    quick: bool = False,
) -> Predict:
    """Boosted mean, boosted size of the error, Student-t noise of that size."""
    x, y = features(train, bends), change_ahead(train)
    x_val, y_val = features(validation, bends), change_ahead(validation)
    mean = boost("squared_error", x, y, x_val, y_val, quick=quick)
    # The size of errors on windows not fitted: each fifth of the training
    # time is predicted from the other four. A gamma loss wants them above 0.
    unseen = cross_val_predict(
        HistGradientBoostingRegressor(**mean.get_params()), x, y, cv=KFold(5)
    )
    error, error_val = y - unseen, y_val - mean.predict(x_val)
    size = boost(
        "gamma",
        x,
        np.maximum(np.abs(error), 0.5),
        x_val,
        np.maximum(np.abs(error_val), 0.5),
        quick=quick,
    )
    df, _, scale = stats.t.fit(error_val / size.predict(x_val), floc=0.0)

    @one_thread
    def predict(windows: Windows) -> Forecast:
        x = features(windows, bends)
        loc = windows.last + mean.predict(x)[:, None]
        noise = scale * size.predict(x)[:, None]
        return from_distribution(stats.t(df, loc, noise), windows.target)

    return predict


@one_thread
def quantile_booster(
    train: Windows,
    validation: Windows,
    *,
    bends: bool = False,
    quick: bool = False,
) -> Predict:
    """One booster for each of `QUANTILES`."""
    x, y = features(train, bends), change_ahead(train)
    x_val, y_val = features(validation, bends), change_ahead(validation)
    models = [
        boost("quantile", x, y, x_val, y_val, quantile=quantile, quick=quick)
        for quantile in QUANTILES
    ]

    @one_thread
    def predict(windows: Windows) -> Forecast:
        x = features(windows, bends)
        changes = np.stack([model.predict(x) for model in models], axis=1)
        changes.sort(axis=1)  # fitted one by one, they may cross
        quantiles = (windows.last + changes).T[..., None]
        return Forecast(quantiles=dict(zip(QUANTILES, quantiles, strict=True)))

    return predict


def boost(
    loss: str,
    x: Array,
    y: Array,
    x_val: Array,
    y_val: Array,
    *,
    quantile: float | None = None,
    quick: bool = False,
) -> Any:
    """The booster whose loss on the validation part is least.

    Built-in early stopping holds out rows at random: their neighbours, which
    share 41 of 42 readings, would be trained on.
    """

    def score(y_pred: Array) -> float:
        if loss == "gamma":
            return float(mean_gamma_deviance(y_val, y_pred))
        if loss == "quantile":
            return float(mean_pinball_loss(y_val, y_pred, alpha=quantile))
        return float(mean_squared_error(y_val, y_pred))

    def model(leaves: int, trees: int) -> Any:
        return HistGradientBoostingRegressor(
            loss=loss,
            quantile=quantile,
            learning_rate=0.1 if quick else 0.05,
            max_leaf_nodes=leaves,
            max_iter=trees,
            min_samples_leaf=100,
            early_stopping=False,
        )

    fitted = []
    for leaves in (15,) if quick else (7, 31):
        trained = model(leaves, 60 if quick else 300).fit(x, y)
        losses = [score(y_pred) for y_pred in trained.staged_predict(x_val)]
        fitted.append((min(losses), leaves, int(np.argmin(losses)) + 1))
    _, leaves, trees = min(fitted)
    return model(leaves, trees).fit(x, y)


def features(windows: Windows, bends: bool = False) -> Array:
    """`(n, 36)`: the last reading, and the earlier ones less the last.

    With `bends`, the 34 second differences too: a tree asks about one column
    at a time and cannot subtract two.
    """
    columns = [windows.last, windows.history[:, :-1] - windows.last]
    if bends:
        columns.append(np.diff(windows.history, n=2, axis=1))
    return np.concatenate(columns, axis=1).astype("float64")


def change_ahead(windows: Windows) -> Array:
    """`(n,)`: target minus last reading. Everything is fitted to this."""
    return (windows.target - windows.last)[:, 0].astype("float64")


def from_distribution(predictive: Any, y_true: Array) -> Forecast:
    """All that a frozen SciPy distribution of shape `(n, 1)` can say."""
    return Forecast(
        mean=predictive.mean(),
        nll=-predictive.logpdf(y_true),
        quantiles={q: predictive.ppf(q) for q in QUANTILES},
        draws=predictive.rvs((NUM_DRAWS, *y_true.shape), random_state=0),
        prob_low=predictive.cdf(LOW),
    )


def scores(forecast: Forecast, y_true: Array) -> dict[str, Array]:
    """Each score the forecast can be given, `(n, 1)`, one value a window."""
    result: dict[str, Array] = {}
    if forecast.mean is not None:
        result["squared_error"] = np.square(forecast.mean - y_true)
    if forecast.nll is not None:
        result["nll"] = forecast.nll
    if forecast.draws is not None:
        result["crps"] = metrics.crps_samples(y_true, forecast.draws)
    if forecast.quantiles:
        at = forecast.quantiles
        losses = [metrics.pinball_loss(y_true, at[q], q) for q in QUANTILES]
        result["pinball"] = np.mean(losses, axis=0)
        result["interval_score"] = metrics.interval_score(
            y_true, at[0.05], at[0.95], 0.9
        )
        for level, low, high in ((50, 0.25, 0.75), (90, 0.05, 0.95)):
            inside = (at[low] <= y_true) & (y_true <= at[high])
            result[f"covered_{level}"] = inside
    return result


def bootstrap_over_days(
    per_row_scores: Array, days: Array, num: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean score, had other days been recorded.

    Windows overlap and a bad evening spoils dozens of them, so whole days are
    drawn, with replacement. For an RMSE, take the root of both ends.
    """
    _, day = np.unique(days, return_inverse=True)
    totals = np.bincount(day, weights=np.ravel(per_row_scores))
    counts = np.bincount(day)
    # How often each day was drawn is all that matters.
    drawn = np.random.default_rng(seed).multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), size=num
    )
    low, high = np.quantile(drawn @ totals / (drawn @ counts), (0.025, 0.975))
    return float(low), float(high)
