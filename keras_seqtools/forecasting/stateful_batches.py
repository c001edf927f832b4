"""Long series for stateful recurrent layers: batches that continue others."""

from typing import Any

import keras
import numpy as np

from keras_seqtools._validation import check_positive_int
from keras_seqtools.forecasting._pieces import split_at_gaps


class StatefulBatches(keras.utils.PyDataset):
    """Batches of long series for layers with `stateful=True`.

    Row i of a batch continues row i of the batch before it, so that the state
    of a recurrent layer carries the whole past while gradients go back `steps`
    steps: truncated back-propagation through time. That takes three things of
    the user: `shuffle=False` in `fit`, which shuffles by default (a batch out
    of order raises an error); a model whose `keras.Input` has the same
    `batch_size`; and the callback `ResetStates`. Without the callback nothing
    warns, and states leak from one series, and from one epoch, into the next.

    A long series is cut into rows that are read side by side, as many as its
    share of `batch_size`, rounded down, and at least one. A row may take up
    several series, one after another: `ResetStates` sets its state to zero
    where a new one begins. No row spans a gap in the time stamps, which are
    those of `keras_seqtools.forecasting.make_windows`.

    Nothing is dropped, not even NaN. Where a series ends inside a batch, and
    where a row has run out of series, the last value is repeated with a sample
    weight of 0. The other weights are equal, and such that the loss of
    `evaluate` is the mean over the steps of the series; without padding they
    are 1. Metrics count the padding unless they are `weighted_metrics` of
    `compile`.

    Args:
        series: Array `(time,)` or `(time, features)`, or a list of such, whose
            lengths may differ.
        targets: What the model is to say at each time step, shaped like
            `series` but for the features. To predict the next value, give
            `series[:-1]` and `series[1:]`.
        batch_size: Positive integer, the number of rows.
        steps: Positive integer, the number of time steps of a batch.
        timestamps: Array `(time,)` of numbers or `numpy.datetime64` that
            increase, or a list of such, one for each series. Defaults to
            `None`: no gaps.

    Returns:
        Batches `(x, y, sample_weight)` of the shapes
        `(batch_size, steps, features)`, `(batch_size, steps, targets)` and
        `(batch_size, steps)`. The attribute `fresh`, of shape
        `(batches, batch_size)`, says which rows begin anew.

    Raises:
        ValueError: If the batches of an epoch are not read in order. From
            `fit` TensorFlow passes it on as an `InvalidArgumentError`.

    Example:

    >>> series = np.sin(np.arange(0.0, 100.0, 0.1))
    >>> batches = kst.forecasting.StatefulBatches(
    ...     series[:-1], series[1:], batch_size=4, steps=50
    ... )
    >>> x, y, sample_weight = batches[0]
    >>> len(batches), x.shape
    (5, (4, 50, 1))
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((None, 1), batch_size=4),
    ...         kst.layers.LayerNormGRU(
    ...             8, return_sequences=True, stateful=True
    ...         ),
    ...         keras.layers.Dense(1),
    ...     ]
    ... )
    >>> model.compile("adam", "mse")
    >>> history = model.fit(
    ...     batches,
    ...     shuffle=False,
    ...     callbacks=[kst.forecasting.ResetStates(batches)],
    ...     verbose=0,
    ... )

    Reference:

    - [Williams and Peng, 1990](https://doi.org/10.1162/neco.1990.2.4.490)
    """

    def __init__(
        self,
        series: Any,
        targets: Any,
        batch_size: int,
        steps: int,
        *,
        timestamps: Any = None,
    ) -> None:
        super().__init__()
        self.batch_size = check_positive_int("batch_size", batch_size)
        self.steps = check_positive_int("steps", steps)
        pieces = split_at_gaps(series, targets, timestamps)
        self._x, self._y = pieces.x, pieces.y
        rows = _rows(pieces.first, pieces.length, self.batch_size, self.steps)
        self._start, self._count, self.fresh = _table(rows, self.batch_size)
        self._weight = self._count.size * self.steps / self._count.sum()
        self._expected: int | None = None

    def __len__(self) -> int:
        return len(self._start)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        if self._expected is not None:
            if index not in (0, self._expected):
                raise ValueError(
                    "`StatefulBatches` must be read in order, as each batch "
                    "continues the one before. Pass `shuffle=False` to `fit`, "
                    "and no `steps_per_epoch`. Expected: batch "
                    f"{self._expected}. Received: batch {index}"
                )
            self._expected = index + 1
        step, count = np.arange(self.steps), self._count[index][:, None]
        # A row without a step, count 0, shows the last of all steps.
        at = self._start[index][:, None] + np.minimum(step, count - 1)
        weight = np.where(step < count, self._weight, 0.0)
        return self._x[at], self._y[at], weight.astype("float32")

    def on_epoch_begin(self) -> None:
        # Keras looks at the first batches before, to learn their shapes.
        self._expected = 0

    def on_epoch_end(self) -> None:
        self._expected = None


def _rows(
    first: np.ndarray, length: np.ndarray, batch_size: int, steps: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is read without a reset: where each batch begins, its steps."""
    chunks = -(-length // steps)
    shares = np.clip(batch_size * chunks // chunks.sum(), 1, chunks)
    rows = []
    for piece, share in enumerate(shares):
        for row in np.array_split(steps * np.arange(chunks[piece]), share):
            count = np.minimum(steps, length[piece] - row)
            rows.append((first[piece] + row, count))
    return rows


def _table(
    rows: list[tuple[np.ndarray, np.ndarray]], batch_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, steps and freshness by batch and row.

    The longest go first, each where the least is: no row ends much later than
    the others.
    """
    filled = np.zeros(batch_size, int)
    places = []
    rows = sorted(rows, key=lambda row: -len(row[0]))
    for start, _ in rows:
        lane = filled.argmin()
        places.append((slice(filled[lane], filled[lane] + len(start)), lane))
        filled[lane] += len(start)
    table = np.zeros((2, filled.max(), batch_size), int)
    fresh = np.zeros((filled.max(), batch_size), bool)
    fresh[0] = True
    for place, row in zip(places, rows, strict=True):
        table[(slice(None), *place)] = row
        fresh[place[0].start, place[1]] = True
    return table[0], table[1], fresh
