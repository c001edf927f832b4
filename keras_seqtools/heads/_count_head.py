"""What heads for counts share: the integers from 0, and an exposure."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_seqtools._validation import invalid
from keras_seqtools.heads.distribution_head import DistributionHead


class CountHead(DistributionHead):
    """A head for 0, 1, 2, ..., with the logarithm of a rate for location.

    The exposure is how long, or among how many, one has counted. Its logarithm
    is the offset of a generalised linear model.
    """

    support = (0.0, np.inf)
    discrete = True
    second_input = "exposure"

    def __init__(
        self, units: int = 1, exposure: bool = False, **kwargs: Any
    ) -> None:
        if kwargs.pop("offset", False):
            raise ValueError(
                f"`{type(self).__name__}` takes no offset but `exposure=True`."
            )
        super().__init__(units, offset=exposure, **kwargs)
        self.exposure = exposure

    def call(self, inputs: Any) -> Any:
        if self.exposure:
            features, exposure = inputs
            # NaN, and not a rate of 0, of an exposure that cannot be.
            exposure = ops.where(exposure > 0, exposure, np.nan)
            inputs = [features, ops.log(exposure)]
        return super().call(inputs)

    def adapt(self, y: Any, exposure: Any = None) -> None:
        """Starts the head at the most likely constant rate of counts `y`.

        As `DistributionHead.adapt`; the second input is the exposure.

        Args:
            y: Training targets `(..., units)`, all of them valid.
            exposure: With `exposure=True`, the second input for the same
                rows, one value per target. Defaults to `None`.
        """
        if exposure is not None:
            exposure = np.asarray(exposure, "float64")
            if not (exposure > 0.0).all():
                raise invalid("exposure", "numbers above 0", exposure.min())
            exposure = np.log(exposure)
        super().adapt(y, exposure)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["exposure"] = config.pop("offset")
        return config

    def _shift_and_scale(self, y: Any, offset: Any) -> tuple[Any, Any]:
        # Half an event, so that the logarithm exists where there is none.
        rate = (y.sum(0) + 0.5) / np.exp(offset).sum(0)
        return np.log(rate), np.ones_like(rate)

    def _tail_function(self, y_pred: Any) -> Callable[..., Any]:
        parameters = self.split(y_pred)
        # Nothing is above this, and of infinity formulas make NaN.
        return lambda y, above: self._tail(
            ops.minimum(y, 1e300), above, **parameters
        )

    def _tail(self, y: Any, above: bool, *args: Any, **parameters: Any) -> Any:
        """P(Y <= y), or with `above` P(Y > y), for `y >= 0`, in float64."""
        raise NotImplementedError


def split_seed(seed: Any) -> Any:
    """Two seeds for draws that have nothing to do with each other."""
    from tensorflow_probability import random  # slow to import

    return random.split_seed(seed)
