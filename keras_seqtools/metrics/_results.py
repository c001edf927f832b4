"""Results of the package, known by what they hold, not imported."""

from typing import Any


def is_classification(value: Any) -> bool:
    return hasattr(value, "class_probabilities")


def is_regression(value: Any) -> bool:
    return hasattr(value, "aleatoric_variance")


def is_forecast(value: Any) -> bool:
    return hasattr(value, "joint")
