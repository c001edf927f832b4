"""Drop-in Keras models with one method more."""

import abc
from typing import Any

import keras

from keras_seqtools.uncertainty.predict import predict_uncertainty
from keras_seqtools.uncertainty.results import ClassificationUncertainty
from keras_seqtools.uncertainty.results import RegressionUncertainty


class _PredictsUncertainty:
    def predict_uncertainty(
        self, x: Any, **options: Any
    ) -> ClassificationUncertainty | RegressionUncertainty:
        """Predictions for `x`, and how sure the model is of each.

        Takes the options of `keras_seqtools.predict_uncertainty`.
        """
        return predict_uncertainty(self, x, **options)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class FunctionalUncertaintyModel(_PredictsUncertainty, keras.Model):
    """What `UncertaintyModel(inputs, outputs)` makes.

    Keras gives the class of such a model other bases, for good. Done to
    `UncertaintyModel` itself, it would break whatever subclasses that.
    """


@keras.saving.register_keras_serializable(package="keras_seqtools")
class UncertaintyModel(
    _PredictsUncertainty, keras.Model, metaclass=abc.ABCMeta
):
    """A `keras.Model` with the method `predict_uncertainty`.

    In all else it is a `keras.Model`: functional, as in the example, or a
    base to subclass. `keras.models.clone_model` keeps everything but the
    class; `keras_seqtools.predict_uncertainty` takes any model.

    Args:
        *args: Inputs and outputs, as in `keras.Model`; none in a subclass.
        **kwargs: Other arguments of `keras.Model`, such as `name`.

    Example:

    >>> x = keras.Input((4,))
    >>> h = keras.layers.Dropout(0.2)(x)
    >>> model = kst.models.UncertaintyModel(x, kst.heads.NormalHead()(h))
    >>> u = model.predict_uncertainty(np.ones((3, 4)), seed=1, verbose=0)
    >>> u.epistemic_std.shape
    (3, 1)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is UncertaintyModel and (args or "inputs" in kwargs):
            return FunctionalUncertaintyModel(*args, **kwargs)
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or "inputs" in kwargs:
            raise TypeError(
                "A subclass of `UncertaintyModel` defines `call`. For a "
                "functional model use `UncertaintyModel(inputs, outputs)` "
                "itself, or `with_uncertainty` around any other."
            )
        super().__init__(**kwargs)


UncertaintyModel.register(FunctionalUncertaintyModel)


@keras.saving.register_keras_serializable(package="keras_seqtools")
class UncertaintySequential(_PredictsUncertainty, keras.Sequential):
    """A `keras.Sequential` with the method `predict_uncertainty`.

    In all else it is a `keras.Sequential`. `keras.models.clone_model` keeps
    everything but the class; `keras_seqtools.predict_uncertainty` takes any
    model.

    Args:
        layers: List of layers. Defaults to `None`.
        trainable: Boolean. Whether its weights train. Defaults to `True`.
        name: Name of the model. Defaults to `None`.

    Example:

    >>> model = kst.models.UncertaintySequential(
    ...     [
    ...         keras.Input((4,)),
    ...         kst.layers.MCDropout(0.2),
    ...         kst.heads.NormalHead(),
    ...     ]
    ... )
    >>> u = model.predict_uncertainty(np.ones((3, 4)), seed=1, verbose=0)
    >>> u.epistemic_std.shape
    (3, 1)
    """


class _WithUncertainty:
    """The model itself, to all who ask, with one method more."""

    def __init__(self, model: keras.Model) -> None:
        object.__setattr__(self, "_model", model)

    def predict_uncertainty(
        self, x: Any, **options: Any
    ) -> ClassificationUncertainty | RegressionUncertainty:
        return predict_uncertainty(self._model, x, **options)

    @property
    def __wrapped__(self) -> keras.Model:
        return self._model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_model"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)

    def __repr__(self) -> str:
        return f"with_uncertainty({self._model!r})"


def with_uncertainty(model: keras.Model) -> Any:
    """Any model that exists, with the method `predict_uncertainty`.

    Every attribute of what is returned is the model's, read or set, so the
    model can be compiled, fitted and saved through it. Nothing is copied, and
    the model is not changed. Where Keras itself asks for a model, as in
    `keras.models.clone_model`, give it the model.

    Args:
        model: A `keras.Model`.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dropout(0.2),
    ...         keras.layers.Dense(1),
    ...     ]
    ... )
    >>> model = kst.models.with_uncertainty(model)
    >>> u = model.predict_uncertainty(np.ones((3, 4)), seed=1, verbose=0)
    >>> u.mean.shape
    (3, 1)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"Expected a `keras.Model`. Received: {model!r}")
    return _WithUncertainty(model)
