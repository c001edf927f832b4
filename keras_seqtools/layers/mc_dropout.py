"""Dropout that never switches off, so that plain predictions are samples."""

from typing import Any

import keras

from keras_seqtools._validation import check_rate
from keras_seqtools.layers._always_on import always_on


@keras.saving.register_keras_serializable(package="keras_seqtools")
class MCDropout(keras.layers.Dropout):
    """Dropout that is active in every call: fit, evaluate, predict, plain.

    Each call draws one mask per row; kept units are scaled by
    `1 / (1 - rate)`. Repeated predictions of one input therefore differ, and
    their spread is a Monte Carlo estimate of the model's own uncertainty.

    For `predict_uncertainty` an ordinary `keras.layers.Dropout` is enough: it
    is switched on there. Use `MCDropout` where plain `predict` must sample.
    `evaluate` and validation losses are then noisy too;
    `keras_seqtools.predict_deterministic` switches it off.

    A mask of the input passes through unchanged.

    Args:
        rate: Float in [0, 1). Fraction of the units to drop.
        noise_shape: Tuple of integers and `None`, the shape of the mask that
            is broadcast to the input, `None` standing for the input's own
            size. `(None, 1, None)` ties the mask over time. Defaults to
            `None`: every unit has its own.
        seed: Integer seed. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        Any.

    Output shape:
        Same as the input.

    Example:

    >>> layer = kst.layers.MCDropout(0.5, seed=1)
    >>> y = layer(keras.ops.ones((1, 1000)))
    >>> sorted(set(y.numpy().ravel().tolist()))
    [0.0, 2.0]

    Reference:

    - [Gal & Ghahramani, 2016](https://arxiv.org/abs/1506.02142)
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            check_rate("rate", rate),
            noise_shape=noise_shape,
            seed=seed,
            **kwargs,
        )

    def call(self, inputs: Any) -> Any:
        return super().call(inputs, training=always_on())


@keras.saving.register_keras_serializable(package="keras_seqtools")
class MCSpatialDropout1D(MCDropout):
    """Always-on dropout of whole features, with one mask for all time steps.

    The mask of a sequence does not change over time, as variational dropout
    of a sequence model asks; it differs between rows and calls. A mask of the
    input passes through unchanged.

    Args:
        rate: Float in [0, 1). Fraction of the features to drop.
        seed: Integer seed. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        `(batch, time, features)`.

    Output shape:
        Same as the input.

    Example:

    >>> layer = kst.layers.MCSpatialDropout1D(0.5, seed=1)
    >>> y = layer(keras.ops.ones((1, 5, 100))).numpy()
    >>> bool((y == y[:, :1]).all())
    True

    Reference:

    - [Tompson et al., 2015](https://arxiv.org/abs/1411.4280)
    - [Gal & Ghahramani, 2016](https://arxiv.org/abs/1512.05287)
    """

    def __init__(
        self, rate: float, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(rate, noise_shape=(None, 1, None), seed=seed, **kwargs)
        self.input_spec = keras.InputSpec(ndim=3)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["noise_shape"]
        return config


@keras.saving.register_keras_serializable(package="keras_seqtools")
class MCGaussianDropout(keras.layers.GaussianDropout):
    """Gaussian dropout that is active in every call.

    Multiplies each unit by noise of mean 1 and standard deviation
    `sqrt(rate / (1 - rate))`, in fit, evaluate, predict and plain calls. A
    mask of the input passes through unchanged.

    Args:
        rate: Float in [0, 1), the rate of the binary dropout whose variance
            the noise has.
        seed: Integer seed. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        Any.

    Output shape:
        Same as the input.

    Example:

    >>> layer = kst.layers.MCGaussianDropout(0.2, seed=1)
    >>> round(float(layer(keras.ops.ones((100, 1000))).numpy().std()), 2)
    0.5

    Reference:

    - [Srivastava et al., 2014](https://jmlr.org/papers/v15/srivastava14a.html)
    """

    def __init__(
        self, rate: float, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(check_rate("rate", rate), seed=seed, **kwargs)

    def call(self, inputs: Any) -> Any:
        return super().call(inputs, training=always_on())
