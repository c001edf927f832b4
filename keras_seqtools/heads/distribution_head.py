"""The layer that turns features into the parameters of a distribution."""

from typing import Any
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from keras_seqtools._validation import check_positive_int
from keras_seqtools._validation import invalid
from keras_seqtools.heads import links
from keras_seqtools.heads._family import Family
from keras_seqtools.heads._marginal_fit import minimize

# Links that take a floor.
_FLOORED = {links.positive, links.scale_tril}


class DistributionHead(Family, keras.layers.Layer):
    """Dense projection to the parameters of a distribution of the target.

    The base of all heads. It emits one tensor: the named parameters, already
    valid and in the target's own units, so `model.predict` of a model with a
    `NormalHead` returns `loc` and `scale`. What one asks of the distribution
    is a method that takes that tensor as `y_pred`: `mean`, `variance`,
    `stddev`, `mode`, `log_prob`, `cdf`, `quantile`, `interval`, `prob_below`,
    `prob_above`, `sample`, and `distribution` for the TFP object itself.

    It computes in float32 under every dtype policy: likelihoods in float16
    are not worth having. A mask of the input passes through unchanged.
    Training and inference do not differ.

    A new family names its parameters with their links, in the order of the
    output, and builds the distribution from them. What more it may say:

    - `support`: between what targets lie; open for continuous families,
      closed for discrete ones. Defaults to the real line.
    - `discrete`: whether targets are integers.
    - `locations` and `scales`: the parameters that a shift and a rescaling of
      the target touch. Without them `adapt` finds targets hard to fit that
      are far from 1.
    - `dispersions`: the parameters that `dispersion="constant"` makes so.

    Quantiles need no more of the distribution than a cdf.

    Args:
        units: Positive integer. Number of targets. Defaults to `1`.
        offset: Boolean. Whether the head takes a second input, known
            beforehand, that is added to its location: with the last value of
            a series it predicts the change and reports the level. Only for
            families with a location. Defaults to `False`.
        dispersion: `"input"`, or `"constant"` for a spread that is learned
            but the same for every input. Defaults to `"input"`.
        min_scale: Positive number. What `links.positive` adds to a scale, in
            units of the target's standard deviation after `adapt`. Only for
            families with that link. Defaults to `1e-4`.
        kernel_initializer: Initializer of the weights. Defaults to
            `"glorot_uniform"`.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the weights. Defaults to `None`.
        bias_regularizer: Regularizer of the bias. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape:
        `(..., features)`; with `offset` a list of that and `(..., units)`.

    Output shape:
        `(..., units * number_of_parameters)`: the `units` values of the first
        parameter, then those of the second, and so on. A parameter that is a
        vector has all its numbers for the first unit, then for the second.

    Example:

    >>> from tensorflow_probability import distributions as tfd
    >>> @keras.saving.register_keras_serializable(package="my_package")
    ... class WeibullHead(kst.heads.DistributionHead):
    ...     parameters = {
    ...         "concentration": kst.heads.links.positive,
    ...         "scale": kst.heads.links.positive,
    ...     }
    ...     scales = ("scale",)
    ...     support = (0.0, np.inf)
    ...
    ...     def make_distribution(self, concentration, scale):
    ...         return tfd.Weibull(concentration, scale)
    >>> head = WeibullHead()
    >>> y_pred = head(np.zeros((1, 3), "float32"))
    >>> round(float(head.quantile(y_pred, 0.5)[0, 0, 0]), 3)
    0.409
    """

    second_input: ClassVar[str] = "offset"

    def __init__(
        self,
        units: int = 1,
        offset: bool = False,
        dispersion: str = "input",
        min_scale: float = 1e-4,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        name = type(self).__name__
        if not self.parameters:
            raise TypeError(f"`{name}` must define `parameters`.")
        if self.dtype_policy.name != "float32":
            raise invalid("dtype", "'float32'", self.dtype_policy.name)
        if offset and not self.locations:
            raise ValueError(f"`{name}` has no location to offset.")
        if dispersion not in ("input", "constant"):
            raise invalid("dispersion", "'input' or 'constant'", dispersion)
        if dispersion == "constant" and not self.dispersions:
            raise ValueError(f"`{name}` has no dispersion to be constant.")
        if not 0.0 < min_scale < np.inf:
            raise invalid("min_scale", "a positive number", min_scale)
        if min_scale != 1e-4 and not _FLOORED & set(self.parameters.values()):
            raise ValueError(f"`{name}` has no scale to bound by `min_scale`.")
        self.units = check_positive_int("units", units)
        self.offset = offset
        self.dispersion = dispersion
        self.min_scale = min_scale
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.supports_masking = True

    @property
    def _constants(self) -> tuple[str, ...]:
        """Parameters that do not follow the input: a bias without weights."""
        return self.dispersions if self.dispersion == "constant" else ()

    def build(self, input_shape: Any) -> None:
        features = self._features_shape(input_shape)
        size = sum(self.sizes.values())
        constant = sum(self.sizes[name] for name in self._constants)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features[-1], size - constant),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(size,),
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
        )
        # Data, not parameters: saved with the model, unknown to the loss.
        self.target_shift = self.add_weight(
            name="target_shift",
            shape=(self.units,),
            initializer="zeros",
            trainable=False,
        )
        self.target_scale = self.add_weight(
            name="target_scale",
            shape=(self.units,),
            initializer="ones",
            trainable=False,
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        features, offset = inputs if self.offset else (inputs, 0.0)
        raw = ops.matmul(features, self._full_kernel()) + self.bias
        return self.mark(self._emit(raw, ops.cast(offset, raw.dtype)))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return mask[0] if self.offset and mask is not None else mask

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        features = self._features_shape(input_shape)
        return (*features[:-1], sum(self.sizes.values()))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "offset": self.offset,
            "dispersion": self.dispersion,
            "min_scale": self.min_scale,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "bias_initializer": keras.initializers.serialize(
                self.bias_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "bias_regularizer": keras.regularizers.serialize(
                self.bias_regularizer
            ),
        }

    def adapt(self, y: Any, offset: Any = None) -> None:
        """Starts the head at the marginal distribution of targets `y`.

        Takes the scale of the target, and for families with a location its
        shift, from standard deviation and mean, and sets the bias to the
        maximum-likelihood fit of `y` by a constant, or to where that is out
        of reach: where all features are zero, the untrained head predicts the
        marginal. All of it is saved
        with the model. To be called before `fit`, once the model is built.

        Where it matters, as in reading off coefficients: the shift comes on
        top of the bias, and both they and the kernel are in units of the
        scale.

        Args:
            y: Training targets `(..., units)`, all of them valid; see
                `validate`.
            offset: With `offset=True`, the second input for the same rows,
                one value per target. Defaults to `None`.
        """
        name = type(self).__name__
        if not self.built:
            raise ValueError(
                f"`{name}.adapt` needs a built head: call it once the model "
                "it belongs to has been built."
            )
        if (offset is not None) != self.offset:
            raise ValueError(
                f"`adapt` of `{name}({self.second_input}={self.offset})` was "
                f"called {'without' if offset is None else 'with'} an "
                f"{self.second_input}."
            )
        self.validate(y)
        y = np.asarray(y, "float64").reshape(-1, self.units)
        is_constant = not self.discrete and (y == y[:1]).all(0).any()
        if not y.size or is_constant:
            raise ValueError(
                "`adapt` expects targets that vary. "
                f"Received: {len(y)} targets, the first of them {y[:1]}"
            )
        offset = np.zeros_like(y) if offset is None else np.asarray(offset)
        if offset.size != y.size:
            raise ValueError(
                f"`adapt` expects one {self.second_input} per target. "
                f"Received: {offset.size} for {y.size} targets"
            )
        offset = offset.reshape(y.shape)
        if not np.isfinite(offset).all():
            raise ValueError(
                f"`adapt` expects a finite {self.second_input} for each target."
            )
        shift, scale = self._shift_and_scale(y, offset)
        if self.scales and not (scale > 0.0).all():
            raise ValueError(
                f"`adapt` expects targets that vary beside the "
                f"{self.second_input}."
            )
        if self.locations:
            self.target_shift.assign(shift)
        if self.scales:
            self.target_scale.assign(scale)
        self._fit_bias(y.astype("float32"), offset.astype("float32"))

    def _shift_and_scale(self, y: Any, offset: Any) -> tuple[Any, Any]:
        """Where targets lie, on the axis of the location, and how wide."""
        return (y - offset).mean(0), (y - offset).std(0)

    def _starts(self) -> list[Any]:
        """Biases from which to look for the most likely; one may mislead."""
        size = sum(self.sizes.values())
        return [np.full(size, start, "float32") for start in (0.0, -3.0, 3.0)]

    def _fit_bias(self, y: Any, offset: Any) -> None:
        def negative_log_likelihood(bias: Any) -> Any:
            raw = ops.broadcast_to(bias, (len(y), *bias.shape))
            return -ops.mean(self.log_likelihood(y, self._emit(raw, offset)))

        best = minimize(negative_log_likelihood, self._starts())
        if best is None:
            raise ValueError(
                f"`{type(self).__name__}` could not be fitted to these "
                "targets: their likelihood is not finite."
            )
        lowest = [
            np.full(size, self._lowest_bias(name))
            for name, size in self.sizes.items()
        ]
        self.bias.assign(np.maximum(best, np.concatenate(lowest)))

    def _lowest_bias(self, name: str) -> float:
        # Further down, links are so flat that training would find no gradient
        # to come back by.
        return -np.inf if self.parameters[name] is links.identity else -10.0

    def _full_kernel(self) -> Any:
        """The kernel, with zeros for the parameters that are constant."""
        if not self._constants:
            return self.kernel
        blocks, start = [], 0
        for name, size in self.sizes.items():
            if name in self._constants:
                blocks.append(ops.zeros((self.kernel.shape[0], size)))
            else:
                blocks.append(self.kernel[:, start : start + size])
                start += size
        return ops.concatenate(blocks, axis=-1)

    def _emit(self, raw: Any, offset: Any) -> Any:
        """The parameters, from numbers that may be anything."""
        values = []
        shift, scale = self.target_shift + offset, self.target_scale + 0.0
        for name, value in self.split(raw).items():
            is_vector = name in self.vector_sizes
            link = self.parameters[name]
            value = (
                link(value, self.min_scale) if link in _FLOORED else link(value)
            )
            if name in self.scales:
                value *= ops.expand_dims(scale, -1) if is_vector else scale
            if name in self.locations:
                value += ops.expand_dims(shift, -1) if is_vector else shift
            if is_vector:
                value = ops.reshape(
                    value, (*ops.shape(raw)[:-1], self.sizes[name])
                )
            values.append(value)
        return ops.concatenate(values, axis=-1)

    def _features_shape(self, input_shape: Any) -> Any:
        """The shape of the features, once the inputs are what they must be."""
        if not self.offset:
            if isinstance(input_shape[0], (tuple, list)):
                raise ValueError(
                    f"`{type(self).__name__}` takes one input, unless "
                    f"`{self.second_input}=True`. "
                    f"Received: shapes {input_shape}"
                )
            return input_shape
        shapes = [
            tuple(shape) if isinstance(shape, (tuple, list)) else shape
            for shape in input_shape
        ]
        if len(shapes) != 2 or not all(isinstance(s, tuple) for s in shapes):
            raise ValueError(
                f"`{type(self).__name__}({self.second_input}=True)` takes two "
                f"inputs, [features, {self.second_input}], so it cannot stand "
                "in a Sequential model. Received: input of shape "
                f"{tuple(input_shape)}"
            )
        features, offset = shapes
        if (*features[:-1], self.units) != offset:
            raise ValueError(
                f"`{type(self).__name__}` expects an {self.second_input} of "
                f"shape {(*features[:-1], self.units)}. "
                f"Received: shape {offset}"
            )
        return features


def unbuilt_copy(head: DistributionHead) -> DistributionHead:
    """What a loss or a metric holds of a head: what it is, without weights.

    Keras saves a loss with everything it holds, and could not load one that
    holds the weights of a layer of the model.
    """
    if not isinstance(head, DistributionHead):
        raise TypeError(
            "Invalid value for argument `head`. Expected a head, such as "
            f"`keras_seqtools.heads.NormalHead()`. Received: head={head!r}"
        )
    return type(head).from_config(head.get_config())
