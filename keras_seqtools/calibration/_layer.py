"""A fitted map as the last layer of a deterministic model."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_seqtools")
class CalibrationLayer(keras.layers.Layer):
    """Calibrates what a model emits, step by step, as its last layer.

    What was fitted is part of its configuration: there is no such layer that
    is not fitted, and training does not move it. It computes in float64 and
    emits float32. A mask is passed on.

    Args:
        calibrator: A calibrator that was fitted to single passes.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.
    """

    def __init__(self, calibrator: Any, **kwargs: Any) -> None:
        if calibrator.num_samples > 1:
            raise ValueError(
                f"This `{type(calibrator).__name__}` was fitted to the mean of "
                f"{calibrator.num_samples} passes. In a layer it would map "
                "each pass before the mean is taken. Pass it on instead: "
                "`predict_uncertainty(model, x, calibrator=...)`."
            )
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.calibrator = calibrator
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(
            axes={-1: calibrator.num_classes}
        )

    def call(self, inputs: Any) -> Any:
        return ops.cast(
            self.calibrator.recalibrate(inputs, ops), self.compute_dtype
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        calibrator = keras.saving.serialize_keras_object(self.calibrator)
        return {**super().get_config(), "calibrator": calibrator}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CalibrationLayer":
        calibrator = keras.saving.deserialize_keras_object(config["calibrator"])
        return cls(**{**config, "calibrator": calibrator})
