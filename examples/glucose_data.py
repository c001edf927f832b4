"""The glucose record as windows: three hours in, 30 minutes ahead out.

`bokeh_sampledata` ships 52,281 readings of one anonymous person's sensor,
March to October 2010, five minutes apart but for some 190 gaps.

`python examples/glucose_data.py` prints what the three parts hold.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

HISTORY = 36  # readings in: three hours
AHEAD = 6  # steps to the target: 30 minutes
SPAN = HISTORY + AHEAD  # readings a window holds, its target included

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """One part of the record, a row for each window, in time order.

    Attributes:
        inputs: `(n, 36, 2)`, scaled level and scaled difference.
        last: `(n, 1)`, the last reading of the window in mg/dL.
        target: `(n, 1)`, the reading 30 minutes later in mg/dL.
        time: `(n,)`, when the target was read.
        history: `(n, 36)`, the readings of the window in mg/dL.
    """

    inputs: Array
    last: Array
    target: Array
    time: Array
    history: Array

    def __len__(self) -> int:
        return len(self.target)

    @property
    def days(self) -> Array:
        """The calendar day of each target: what a bootstrap resamples."""
        return self.time.astype("datetime64[D]")


def load() -> tuple[Windows, Windows, Windows]:
    """The training, validation and test windows."""
    time, glucose = read_record()
    parts = split(window_starts(time))
    # The scale is part of the model, so only the training part may set it.
    features = level_and_difference(readings(glucose, parts[0])[:, :HISTORY])
    # A million float32 numbers: their sums want more digits.
    mean = features.mean(axis=(0, 1), dtype="float64")
    std = features.std(axis=(0, 1), dtype="float64")

    def windows(starts: Array) -> Windows:
        spans = readings(glucose, starts)
        history = spans[:, :HISTORY]
        scaled = (level_and_difference(history) - mean) / std
        return Windows(
            inputs=scaled.astype("float32"),
            last=history[:, -1:],
            target=spans[:, -1:],
            time=time[starts + SPAN - 1],
            history=history,
        )

    train, validation, test = (windows(starts) for starts in parts)
    return train, validation, test


def read_record() -> tuple[Array, Array]:
    """Times and readings in mg/dL, in time order.

    No reading is missing. The sensor reports nothing below 40 or above 400:
    22 readings are 40, one is 400, and they are taken as they stand.
    """
    # Importing it parses the file, so it waits until somebody asks.
    from bokeh_sampledata.glucose import data

    data = data.sort_index(kind="stable")
    times = data.index.to_numpy(dtype="datetime64[s]")
    return times, data["glucose"].to_numpy(dtype="float32")


def window_starts(time: Array) -> Array:
    """Index of the first reading of every window without a gap inside.

    A gap is any step other than 300 +- 90 seconds. That also shuts out three
    doubled readings and the 16 hours from 28 May 2010 in which two streams
    that disagree by some 9 mg/dL alternate, 60 and 240 seconds apart.
    """
    seconds = np.diff(time) / np.timedelta64(1, "s")
    gaps_before = np.append(0, np.cumsum(np.abs(seconds - 300) > 90))
    first, last = gaps_before[: 1 - SPAN], gaps_before[SPAN - 1 :]
    return np.flatnonzero(first == last)


def split(starts: Array) -> tuple[Array, Array, Array]:
    """70, 15 and 15 % of the windows in time order, sharing no reading.

    The window at which a part begins stays. Those that began before it and
    still reach into it, up to 41, are dropped.
    """
    validation = starts[int(0.70 * len(starts))]
    test = starts[int(0.85 * len(starts))]
    ends = starts + SPAN
    return (
        starts[ends <= validation],
        starts[(starts >= validation) & (ends <= test)],
        starts[starts >= test],
    )


def readings(glucose: Array, starts: Array) -> Array:
    """`(n, 42)`: each window's readings up to and including its target."""
    return np.lib.stride_tricks.sliding_window_view(glucose, SPAN)[starts]


def level_and_difference(history: Array) -> Array:
    """`(n, 36, 2)`: each reading, and its change since the one before.

    The first reading of a window has none before it: its change is 0.
    """
    change = np.diff(history, axis=1, prepend=history[:, :1])
    return np.stack([history, change], axis=-1)


def main() -> None:
    time, _ = read_record()
    print(f"{len(time):,} readings, {len(window_starts(time)):,} windows")
    names = ("training", "validation", "test")
    for name, part in zip(names, load(), strict=True):
        new_lows = (part.last >= 70) & (part.target < 70)
        print(
            f"{name:10}  {len(part):6,} windows  "
            f"{len(np.unique(part.days)):3} days  "
            f"{part.days[0]} to {part.days[-1]}  "
            f"mean {part.target.mean():5.1f}  "
            f"change {(part.target - part.last).std():4.1f} mg/dL  "
            f"below 70: {np.mean(part.target < 70):.1%}  "
            f"newly: {new_lows.sum()}"
        )


if __name__ == "__main__":
    main()
