"""Distributions that SciPy lacks, in float64, by their definitions.

Each has what is used of a frozen distribution of SciPy. Parameters are
`(..., 1)`, those of mixtures and splines `(..., 1, k)`.
"""

import itertools

import numpy as np
from scipy import integrate
from scipy import special
from scipy import stats


def search(cdf, q, lower, upper, discrete=False):
    """The smallest y with cdf(y) >= q, by halving what may hold it."""
    q, lower, upper = np.broadcast_arrays(q, lower, upper)
    for _ in range(200):
        middle = (lower + upper) / 2.0
        if discrete:
            middle = np.floor(middle)
        is_below = cdf(middle) < q
        lower = np.where(is_below, middle, lower)
        upper = np.where(is_below, upper, middle)
    return upper


class ZeroInflated:
    """0 for certain with probability `sigmoid(zero_logit)`, else `law`."""

    def __init__(self, zero_logit, law):
        self.log_zero = special.log_expit(zero_logit)
        self.log_rest = special.log_expit(-zero_logit)
        self.zero, self.rest = np.exp(self.log_zero), np.exp(self.log_rest)
        self.law = law

    def logpmf(self, y):
        some = self.log_rest + self.law.logpmf(y)
        return np.where(y == 0, np.logaddexp(self.log_zero, some), some)

    def cdf(self, y):
        return np.where(y < 0, 0.0, self.zero + self.rest * self.law.cdf(y))

    def sf(self, y):
        return np.where(y < 0, 1.0, self.rest * self.law.sf(y))

    def mean(self):
        return self.rest * self.law.mean()

    def var(self):
        square = self.law.var() + self.law.mean() ** 2
        return self.rest * square - self.mean() ** 2

    def std(self):
        return np.sqrt(self.var())

    def ppf(self, q):
        high = self.law.ppf(np.maximum(q, 0.5))
        return search(self.cdf, q, -1.0, high, discrete=True)


class Mixture:
    """Components of one family, with the softmax of `logits` for weights."""

    def __init__(self, logits, components):
        self.log_weights = special.log_softmax(logits, axis=-1)
        self.weights = np.exp(self.log_weights)
        self.components = components

    def _average(self, values):
        return (self.weights * values).sum(-1)

    def logpdf(self, y):
        log_density = self.components.logpdf(y[..., None])
        return special.logsumexp(self.log_weights + log_density, axis=-1)

    def cdf(self, y):
        return self._average(self.components.cdf(np.asarray(y)[..., None]))

    def sf(self, y):
        return self._average(self.components.sf(np.asarray(y)[..., None]))

    def mean(self):
        return self._average(self.components.mean())

    def var(self):
        deviation = self.components.mean() - self.mean()[..., None]
        return self._average(self.components.var() + deviation**2)

    def std(self):
        return np.sqrt(self.var())

    def ppf(self, q):
        ends = self.components.ppf(np.asarray(q)[..., None])
        return search(self.cdf, q, ends.min(-1) - 1e-9, ends.max(-1) + 1e-9)


class RoundedMixture(Mixture):
    """A mixture of logistics rounded to the integers from low to high."""

    def __init__(self, logits, loc, scale, low, high):
        super().__init__(logits, stats.logistic(loc, scale))
        self.loc, self.low, self.high = loc, low, high
        self.integers = np.arange(low, high + 1.0)

    def logpmf(self, y):
        y = np.asarray(y, "float64")[..., None]
        upper = np.where(y >= self.high, np.inf, y + 0.5)
        lower = np.where(y <= self.low, -np.inf, y - 0.5)
        # Of the two tails whichever is the smaller, so that nothing cancels.
        below = self.components.cdf(upper) - self.components.cdf(lower)
        above = self.components.sf(lower) - self.components.sf(upper)
        return np.log(self._average(np.where(lower > self.loc, above, below)))

    def cdf(self, y):
        y = np.floor(y)
        inside = super().cdf(y + 0.5)
        return np.where(
            y < self.low, 0.0, np.where(y >= self.high, 1.0, inside)
        )

    def sf(self, y):
        return 1.0 - self.cdf(y)

    def _table(self):
        integers = self.integers.reshape(-1, *[1] * (self.loc.ndim - 1))
        return integers, np.exp(self.logpmf(integers))

    def mean(self):
        integers, p = self._table()
        return (integers * p).sum(0)

    def var(self):
        integers, p = self._table()
        return ((integers - self.mean()) ** 2 * p).sum(0)

    def ppf(self, q):
        return search(self.cdf, q, self.low - 1.0, self.high, discrete=True)


class SplineFlow:
    """`spline((y - loc) / scale)` is standard normal; Durkan et al., 2019."""

    bound = 3.0

    def __init__(self, loc, scale, bin_widths, bin_heights, knot_slopes):
        self.loc, self.scale = loc, scale
        ends = [(0, 0)] * loc.ndim
        self.widths, self.heights = bin_widths, bin_heights
        self.x = np.pad(bin_widths.cumsum(-1), [*ends, (1, 0)]) - self.bound
        self.y = np.pad(bin_heights.cumsum(-1), [*ends, (1, 0)]) - self.bound
        self.slopes = np.pad(knot_slopes, [*ends, (1, 1)], constant_values=1.0)

    def _spline(self, x):
        """Equations 4 and 5: its value, and the logarithm of its slope."""
        shape = np.broadcast_shapes(x.shape, self.loc.shape)
        x = np.broadcast_to(x, shape)
        k = (x[..., None] >= self.x[..., 1:-1]).sum(-1)

        def at(values, k):
            values = np.broadcast_to(values, (*shape, values.shape[-1]))
            return np.take_along_axis(values, k[..., None], -1)[..., 0]

        w, h = at(self.widths, k), at(self.heights, k)
        left, right = at(self.slopes, k), at(self.slopes, k + 1)
        s, t = h / w, (x - at(self.x, k)) / w
        below = s + (left + right - 2 * s) * t * (1 - t)
        value = at(self.y, k) + h * (s * t**2 + left * t * (1 - t)) / below
        slope = s**2 * (
            right * t**2 + 2 * s * t * (1 - t) + left * (1 - t) ** 2
        )
        inside = np.abs(x) < self.bound
        slope = np.where(inside, slope, 1.0) / np.where(inside, below, 1.0) ** 2
        return np.where(inside, value, x), np.log(slope)

    def _standardise(self, y):
        return (np.asarray(y, "float64") - self.loc) / self.scale

    def logpdf(self, y):
        z, log_slope = self._spline(self._standardise(y))
        return stats.norm.logpdf(z) + log_slope - np.log(self.scale)

    def cdf(self, y):
        return stats.norm.cdf(self._spline(self._standardise(y))[0])

    def sf(self, y):
        return stats.norm.sf(self._spline(self._standardise(y))[0])

    def _moment(self, power, center):
        """By quadrature, from one knot to the next and over the tails."""
        total = np.zeros_like(self.loc)
        for index in np.ndindex(total.shape):
            one = SplineFlow(
                *(
                    values[index][None]
                    for values in (
                        self.loc,
                        self.scale,
                        self.widths,
                        self.heights,
                        self.slopes[..., 1:-1],
                    )
                )
            )
            knots = (one.loc + one.scale * one.x[0]).tolist()
            knots = [knots[0] - 8 * one.scale[0], *knots]
            knots = [*knots, knots[-1] + 8 * one.scale[0]]
            for start, end in itertools.pairwise(knots):
                total[index] += integrate.quad(
                    lambda y, one=one, index=index: (
                        (y - center[index]) ** power
                        * np.exp(one.logpdf(np.array([y])))[0]
                    ),
                    start,
                    end,
                )[0]
        return total

    def mean(self):
        return self._moment(1, np.zeros_like(self.loc))

    def var(self):
        return self._moment(2, self.mean())

    def std(self):
        return np.sqrt(self.var())

    def ppf(self, q):
        return search(
            self.cdf,
            q,
            self.loc - 20.0 * self.scale,
            self.loc + 20.0 * self.scale,
        )
