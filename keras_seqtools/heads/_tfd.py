"""`tensorflow_probability.distributions`, imported when first asked for.

TFP adds a third to the time that importing Keras takes, and much of a model's
life (building, fitting a plain loss, loading) needs none of it.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    from tensorflow_probability import distributions

    return getattr(distributions, name)
