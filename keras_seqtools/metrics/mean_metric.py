"""Ordinary regression metrics, for models that emit a distribution."""

from typing import Any

import keras

from keras_seqtools._keras_internals import get_mask
from keras_seqtools._keras_internals import set_mask
from keras_seqtools.heads import DistributionHead
from keras_seqtools.heads.distribution_head import unbuilt_copy


@keras.saving.register_keras_serializable(package="keras_seqtools")
class MeanMetric(keras.metrics.Metric):
    """Any Keras metric, of the mean of a head's distribution.

    `metrics=["mae"]` would compare the targets with the parameters that the
    head emits, `scale` and all, and print a number that means nothing;
    `metrics=[MeanMetric(head, "mae")]` compares them with the mean. Masks and
    sample weights reach the metric as ever.

    Args:
        head: The `keras_seqtools.heads.DistributionHead` that emits `y_pred`.
            Of its family only a copy is kept.
        metric: A `keras.metrics.Metric`, or the name of one.
        name: Name of the metric. Defaults to `None`: the name of `metric`.
        **kwargs: Arguments of `keras.metrics.Metric`.

    Example:

    >>> head = kst.heads.NormalHead()
    >>> metric = kst.metrics.MeanMetric(head, "mae")
    >>> y_pred = np.array([[3.0, 9.0]], "float32")  # loc, scale
    >>> metric.update_state(np.array([[1.0]]), y_pred)
    >>> float(metric.result())
    2.0
    """

    def __init__(
        self,
        head: DistributionHead,
        metric: Any,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        metric = keras.metrics.get(metric)
        if not isinstance(metric, keras.metrics.Metric):
            raise TypeError(
                "`MeanMetric` expects a `keras.metrics.Metric` or the name of "
                f"one. Received: metric={metric!r}"
            )
        super().__init__(name=name or metric.name, **kwargs)
        self.head = unbuilt_copy(head)
        self.metric = metric

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        self.head.check_emitted(y_pred)
        y_true = self.head.align(y_true, y_pred)
        mean = set_mask(self.head.mean(y_pred), get_mask(y_pred))
        return self.metric.update_state(y_true, mean, sample_weight)

    def result(self) -> Any:
        return self.metric.result()

    def reset_state(self) -> None:
        self.metric.reset_state()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "head": keras.saving.serialize_keras_object(self.head),
            "metric": keras.saving.serialize_keras_object(self.metric),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MeanMetric":
        return cls(
            **{
                **config,
                "head": keras.saving.deserialize_keras_object(config["head"]),
                "metric": keras.saving.deserialize_keras_object(
                    config["metric"]
                ),
            }
        )
