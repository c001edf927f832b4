"""What metrics that are sums over the items share."""

from collections.abc import Iterable
from typing import Any

import keras


class StreamingMetric(keras.metrics.Metric):
    """A metric whose state is nothing but float64 sums.

    Batches may therefore come in any sizes and any order, and states of the
    same configuration may be added.
    """

    def add_sum(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        """A variable that starts at 0, float64 under any policy."""
        # A float32 sum would stop counting at 2**24 items.
        return self.add_variable(shape, "zeros", "float64", name=name)

    def merge_state(self, metrics: Iterable[Any]) -> None:
        """Adds the state of others, as if this one had seen their data too.

        Args:
            metrics: Metrics of the same class and configuration; names may
                differ. They are left as they are.

        Raises:
            ValueError: If one is of another class or configuration.
        """
        metrics = list(metrics)
        for metric in metrics:
            if _meaning(metric) != _meaning(self):
                raise ValueError(
                    "Only metrics of one class and configuration can be "
                    f"merged. Expected {_meaning(self)}. "
                    f"Received: {_meaning(metric)}"
                )
        for metric in metrics:
            for own, other in zip(
                self.variables, metric.variables, strict=True
            ):
                own.assign_add(other)


def _meaning(metric: Any) -> tuple[type, dict[str, Any]]:
    """What the sums of a metric depend on."""
    config = metric.get_config()
    return type(metric), {
        name: value
        for name, value in config.items()
        if name not in ("name", "dtype")
    }
