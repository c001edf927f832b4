"""What the spline flow promises beyond the table of families."""

import checks
import numpy as np
import pytest
import references
from scipy import integrate
from scipy import stats

from keras_seqtools.heads import SplineFlowHead


def test_the_reference_is_a_monotone_spline_with_the_slope_it_says():
    """By differences: equation 5 of Durkan et al. follows from 4."""
    widths, heights = [[1.8, 0.6, 3.6]], [[0.6, 4.8, 0.6]]
    law = references.SplineFlow(
        np.zeros(1), np.ones(1), *map(np.array, (widths, heights, [[0.3, 4.0]]))
    )
    x = np.linspace(-6.0, 6.0, 2001)[:, None] + 1e-4
    value, log_slope = law._spline(x)
    step = 1e-6
    slope = (law._spline(x + step)[0] - law._spline(x - step)[0]) / (2 * step)
    np.testing.assert_allclose(np.exp(log_slope), slope, rtol=1e-4)
    assert (np.diff(value, axis=0) > 0.0).all()
    knots = np.array([[-3.0], [-1.2], [-0.6], [2.999999999]])
    np.testing.assert_allclose(
        law._spline(knots)[0][:, 0], [-3.0, -2.4, 2.4, 3.0], atol=1e-6
    )


@pytest.mark.parametrize("bins", [2, 8, 40])
def test_starts_as_a_normal_distribution(bins):
    head = SplineFlowHead(bins=bins, kernel_initializer="zeros")
    y_pred = head(np.zeros((1, 3), "float32"))
    law = stats.norm(0.0, np.log(2.0) + 1e-4)
    y = np.linspace(-6.0, 6.0, 25)[:, None]
    many = np.repeat(y_pred, 25, axis=0)
    np.testing.assert_allclose(
        head.log_prob(y, many), law.logpdf(y), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(head.variance(y_pred), law.var(), rtol=1e-5)
    np.testing.assert_allclose(head.mean(y_pred), 0.0, atol=1e-6)


@pytest.mark.parametrize("size", [1.0, 10.0, 1e6])
def test_any_output_of_a_network_is_a_density(size):
    head = SplineFlowHead(bins=4, kernel_initializer="zeros")
    head.build((None, 3))
    raw = size * checks.rng().normal(size=13)
    raw[:2] = 0.0, 1.0  # a location and a scale that quadrature can see
    head.bias.assign(raw)
    y_pred = np.asarray(head(np.zeros((1, 3), "float32")))
    y = np.linspace(-12.0, 12.0, 400_001)[:, None]
    log_prob = head.log_prob(y, np.repeat(y_pred, len(y), axis=0))
    total = integrate.simpson(
        np.exp(np.asarray(log_prob, "float64")[:, 0]), y[:, 0]
    )
    assert abs(total - 1.0) < 2e-3


def test_bins_must_be_few():
    for bins in (0, 1, 501, 2.5):
        with pytest.raises(ValueError, match=r"`bins`"):
            SplineFlowHead(bins=bins)
