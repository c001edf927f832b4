"""Smooth calibration error: no bins, and no bandwidth to choose."""

import math
from typing import Any

import numpy as np

from keras_seqtools.metrics._outcomes import outcomes

# Cells of the grid that the errors are laid on.
_CELLS = 4096


def smooth_calibration_error(
    y_true: Any,
    y_prob: Any,
    *,
    mode: str = "auto",
    from_logits: bool = False,
    mask: Any = None,
    sample_weight: Any = None,
) -> float:
    """How far probabilities are from calibration, without bins (smECE).

    The errors `y - p` are smoothed along `p` by a Gaussian kernel, reflected
    at 0 and 1, and the absolute value of what is left is averaged. The wider
    the kernel, the smaller the value; the result is the one that equals its
    bandwidth. It moves little when the probabilities do, where a binned error
    may jump, and is small exactly where a calibrated model is near. The
    errors are laid on a grid of 4096 cells.

    Args:
        y_true: Array of labels, as in `calibration_error`.
        y_prob: Array of probabilities, as in `calibration_error`.
        mode: `"auto"`, `"binary"`, `"top_label"` or `"classwise"`, as in
            `calibration_error`. Defaults to `"auto"`.
        from_logits: Boolean, whether `y_prob` holds logits. Defaults to
            `False`.
        mask: Boolean array, as in `calibration_error`. Defaults to `None`.
        sample_weight: Array, as in `calibration_error`. Defaults to `None`.

    Returns:
        Float in [0, 1], a difference of probabilities. NaN if nothing counts.

    Raises:
        ValueError: As `calibration_error` does.

    Example:

    >>> y_true, y_prob = [0, 1, 1, 1], [0.75, 0.75, 0.75, 0.75]
    >>> round(kst.metrics.smooth_calibration_error(y_true, y_prob), 6)
    0.0
    >>> round(kst.metrics.smooth_calibration_error([1, 1, 1], [0.5] * 3), 3)
    0.5

    Reference:

    - [Blasiok & Nakkiran, 2023](https://arxiv.org/abs/2309.12236)
    """
    columns, chunks = outcomes(
        y_true, y_prob, mode, from_logits, mask, sample_weight
    )
    errors, total = np.zeros(columns * _CELLS), 0.0
    for hits, p, weight in chunks:
        error = weight[:, None] * np.subtract(hits, p, dtype="float64")
        # Shared by the two cells whose middles are nearest.
        place = np.clip(p.astype("float64") * _CELLS - 0.5, 0.0, _CELLS - 1.0)
        cell = np.minimum(place.astype("int64"), _CELLS - 2)
        share = place - cell
        cell += _CELLS * np.arange(columns)
        for cells, part in ((cell, 1.0 - share), (cell + 1, share)):
            errors += np.bincount(
                cells.ravel(), (error * part).ravel(), errors.size
            )
        total += weight.sum()
    if total == 0.0:
        return math.nan
    of_column = [
        _smooth_error(error / total)
        for error in errors.reshape(columns, _CELLS)
    ]
    return float(np.mean(of_column))


def _smooth_error(errors: np.ndarray) -> float:
    """The value that equals the bandwidth that it is taken at."""
    # To reflect at 0 and 1 is to repeat the mirror image for ever.
    spectrum = np.fft.rfft(np.append(errors, errors[::-1]))
    frequency = np.pi * np.arange(len(spectrum))
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        bandwidth = (low + high) / 2.0
        kernel = np.exp(-0.5 * (bandwidth * frequency) ** 2)
        value = np.abs(np.fft.irfft(spectrum * kernel)[:_CELLS]).sum()
        low, high = (bandwidth, high) if value > bandwidth else (low, bandwidth)
    return float(value)
