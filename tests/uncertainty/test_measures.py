"""The measures of a classifier against worked examples, done by hand."""

import numpy as np
import pytest

from keras_seqtools import uncertainty

# Passes over three classes, with values worked out by hand to 5 digits.
AGREEING = np.array(
    [
        (0.08, 0.89, 0.03),
        (0.11, 0.81, 0.08),
        (0.03, 0.94, 0.03),
        (0.16, 0.78, 0.06),
    ]
)
# Here the votes, their majority and the argmax of the mean all differ.
DISAGREEING = np.array(
    [
        (0.05, 0.90, 0.05),
        (0.45, 0.40, 0.15),
        (0.45, 0.40, 0.15),
        (0.42, 0.40, 0.18),
        (0.30, 0.60, 0.10),
    ]
)
GOLDEN = [
    (
        AGREEING,
        {
            "p_max": 0.855,
            "total_std": 0.08185,
            "predictive_entropy": 0.50734,
            "expected_entropy": 0.48772,
            "mutual_information": 0.019622,
            "vote_fraction": 1.0,
            "variation_ratio": 0.0,
        },
    ),
    (
        DISAGREEING,
        {
            "p_max": 0.540,
            "total_std": 0.25244,
            "predictive_entropy": 0.96002,
            "expected_entropy": 0.87054,
            "mutual_information": 0.08948,
            "vote_fraction": 0.6,
            "variation_ratio": 0.4,
        },
    ),
]


@pytest.mark.parametrize(("passes", "expected"), GOLDEN)
def test_golden_cases(passes, expected):
    for name, value in expected.items():
        measure = getattr(uncertainty, name)
        assert abs(float(measure(passes)) - value) < 1e-4, name


def test_entropy_of_one_pass():
    assert abs(float(uncertainty.entropy((0.07, 0.91, 0.02))) - 0.35021) < 1e-5
    assert float(uncertainty.entropy((0.0, 1.0, 0.0))) == 0.0


@pytest.mark.parametrize(("passes", "expected"), GOLDEN)
def test_any_batch_shape(passes, expected):
    samples = np.broadcast_to(passes[:, None, None], (len(passes), 2, 5, 3))
    for name in expected:
        measure = getattr(uncertainty, name)
        np.testing.assert_allclose(
            measure(samples), np.full((2, 5), measure(passes))
        )
