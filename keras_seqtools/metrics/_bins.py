"""Outcomes in bins of their probability, and the errors that follow.

`sums[m, column, bin, hit]` is the sum of `weight * p**m` over the items of one
column and bin that came (`hit` 1) or did not (0). It is additive over items.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.metrics._outcomes import Outcomes
from keras_seqtools.metrics._outcomes import gather

_BINNINGS = ("uniform", "quantile")


def binned_sums(
    columns: int,
    chunks: Iterable[Outcomes],
    num_bins: int,
    *,
    binning: str = "uniform",
    threshold: float = 0.0,
    moments: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """The edges `(columns, num_bins + 1)` of the bins, and the sums in them.

    Bins contain their left edge, the last one its right edge too. With a
    threshold, probabilities that are not above it do not count.
    """
    num_bins = check_positive_int("num_bins", num_bins)
    if binning not in _BINNINGS:
        raise invalid("binning", f"one of {_BINNINGS}", binning)
    edges = uniform_edges(num_bins, columns)
    if binning == "quantile":
        chunks = list(chunks)
        _, p, weight = gather(chunks)
        for k in range(columns):
            kept = p[:, k] > threshold if threshold else slice(None)
            edges[k] = _equal_mass_edges(p[kept, k], weight[kept], num_bins)
    sums = np.zeros((moments, columns, num_bins, 2))
    for hits, p, weight in chunks:
        if binning == "quantile":
            bins = np.empty(p.shape, "int64")
            for k in range(columns):
                bins[:, k] = _find_bins(p[:, k], edges[k])
        else:
            bins = np.minimum((p * num_bins).astype("int64"), num_bins - 1)
        bins += num_bins * np.arange(columns)
        bins *= 2
        bins += hits
        weight = np.broadcast_to(weight[:, None], p.shape)
        if threshold:
            weight = np.where(p > threshold, weight, 0.0)
        for moment, total in enumerate(sums):
            if moment:
                weight = weight * p
            total += np.bincount(
                bins.ravel(), weight.ravel(), total.size
            ).reshape(total.shape)
    return edges, sums


def uniform_edges(num_bins: int, columns: int) -> np.ndarray:
    """Edges of bins of equal width, the same for every column."""
    return np.tile(np.arange(num_bins + 1) / num_bins, (columns, 1))


def mass_prob_hits(sums: Any) -> tuple[Any, Any, Any]:
    """Of each column and bin: its weight, and the sums of `p` and of hits."""
    mass, prob = sums[0], sums[1]
    return (
        mass[..., 0] + mass[..., 1],
        prob[..., 0] + prob[..., 1],
        mass[..., 1],
    )


def binned_error(sums: Any, norm: str, debias: bool = False) -> Any:
    """The calibration error, a scalar tensor; NaN if nothing was summed."""
    mass, prob, hits = mass_prob_hits(sums)
    filled = ops.cast(mass != 0.0, "float64")
    safe = mass + (1.0 - filled)
    gap = ops.abs(prob - hits) / safe
    if norm == "max":
        error = ops.max(gap)
    else:
        weight = filled if norm == "average" else mass
        if norm == "l2":
            gap **= 2
        if debias:
            # What the variance of the frequency adds to the squared gap.
            bias = hits * (safe - hits) / safe**2
            bias = ops.divide_no_nan(bias, mass - 1.0)
            gap = ops.where(mass > 1.0, gap - bias, 0.0)
            # Of one row or less there is no variance to be taken off.
            gap = ops.where(ops.any(mass > 1.0), gap, math.nan)
        of_column = ops.divide_no_nan(
            ops.sum(weight * gap, axis=-1), ops.sum(weight, axis=-1)
        )
        present = ops.count_nonzero(ops.sum(mass, axis=-1))
        error = ops.divide_no_nan(
            ops.sum(ops.maximum(of_column, 0.0)),
            ops.cast(present, "float64"),
        )
        if norm == "l2":
            error = ops.sqrt(error)
    return ops.where(ops.sum(mass) > 0.0, error, math.nan)


def _equal_mass_edges(
    p: np.ndarray, weight: np.ndarray, num_bins: int
) -> np.ndarray:
    """Edges of bins of equal mass; ties stay together, in the upper bin.

    Where ties leave a bin empty its edges are equal. Whole-number weights
    count rows, and rows are divided as `np.array_split` does it.
    """
    if not p.size:
        return np.full(num_bins + 1, np.nan)
    is_even = weight.min() == weight.max()
    if is_even:
        p, weight = np.sort(p), weight[:1]  # much faster than the order
        total = p.size * weight[0]
    else:
        order = np.argsort(p)
        p, weight = p[order], weight[order]
        reach = np.cumsum(weight)
        total = reach[-1]
    share, rest = total / num_bins, 0.0
    if (weight == np.floor(weight)).all():
        share, rest = divmod(total, num_bins)
    cuts = np.arange(num_bins)
    mass = cuts * share + np.minimum(cuts, rest)
    if is_even:
        cuts = (mass / weight).astype("int64")
    else:
        cuts = np.searchsorted(reach, mass, "right")
    return p[np.append(np.minimum(cuts, p.size - 1), -1)]


def _find_bins(p: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """`np.searchsorted(edges[1:-1], p, "right")`, but fast for few bins."""
    p = np.ascontiguousarray(p)
    bins = np.zeros(p.shape, np.min_scalar_type(len(edges)))
    for edge in edges[1:-1]:
        bins += p >= edge
    return bins
