"""How losses and metrics hold a head: as what it is, without its weights.

Keras saves a loss or metric with everything it holds, and cannot load one
that holds the weights of a layer of the model.
"""

from typing import Any

import keras

from keras_seqtools.heads.distribution_head import DistributionHead


def unbuilt_copy(head: DistributionHead) -> DistributionHead:
    if not isinstance(head, DistributionHead):
        raise TypeError(
            "Invalid value for argument `head`. Expected a head, such as "
            f"`keras_seqtools.heads.NormalHead()`. Received: head={head!r}"
        )
    return type(head).from_config(head.get_config())


def serialize(head: DistributionHead) -> dict[str, Any]:
    config: dict[str, Any] = keras.saving.serialize_keras_object(head)
    config.pop("build_config", None)
    return config
