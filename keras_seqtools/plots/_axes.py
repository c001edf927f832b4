"""Matplotlib, where it is installed."""

from typing import Any


def axes_or_new(ax: Any) -> Any:
    """The axes, or those of a new figure."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "`keras_seqtools.plots` draws with Matplotlib. To install it: "
            "`pip install keras-seqtools[plot]`"
        ) from error
    _, ax = plt.subplots(layout="constrained")
    return ax


def square(ax: Any, x: str, y: str) -> None:
    """Probabilities on both axes, and where they agree."""
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=x, ylabel=y)
