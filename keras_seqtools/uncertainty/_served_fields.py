"""What results hold and compute, as tensors: for where there is no NumPy.

The names and numbers are those of `RegressionUncertainty` and
`ClassificationUncertainty`.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqtools.uncertainty._outputs import Asked


def served_fields(
    found: dict[str, Any], asked: Asked, num_samples: Any
) -> dict[str, Any]:
    """Tensors by name, of what the accumulator of an output found.

    Args:
        found: From its `finish`.
        asked: What it was asked for.
        num_samples: Integer or tensor, passes of all members together.
    """
    names = ("deterministic", "mcse", "mask")
    fields = {name: found[name] for name in names if name in found}
    if "votes" in found:
        return fields | _classification(found, num_samples)
    return fields | _regression(found, asked)


def _regression(found: dict[str, Any], asked: Asked) -> dict[str, Any]:
    names = ("mean", "epistemic_variance", "aleatoric_variance")
    fields = {name: found[name] for name in names}
    fields["variance"] = sum(found[name] for name in names[1:])
    for name in ("std", "epistemic_std", "aleatoric_std"):
        fields[name] = tf.sqrt(fields[name.replace("std", "variance")])
    for name, key, numbers in (
        ("quantile", "quantiles", asked.quantiles),
        ("prob_below", "below", asked.thresholds),
        ("prob_above", "above", asked.thresholds),
    ):
        for i, number in enumerate(numbers):
            label = np.format_float_positional(number, trim="-")
            fields[f"{name}_{label}"] = found[key][:, i]
    return fields


def _classification(found: dict[str, Any], num_samples: Any) -> dict[str, Any]:
    p = found["mean"]
    # The classes 0 and 1 of a sigmoid have an axis that it does not emit.
    per_label = p.shape.rank > found["deterministic"].shape.rank

    def emitted(classes: Any) -> Any:
        return classes[..., 1] if per_label else classes

    _assert_probabilities(p)
    entropy = -tf.reduce_sum(tf.math.xlogy(p, p), -1)
    disputed = entropy - found["expected_entropy"]
    majority = tf.reduce_max(found["votes"], -1)
    vote_fraction = majority / tf.cast(num_samples, tf.float32)
    return {
        "probabilities": emitted(p),
        "predicted_class": tf.argmax(p, -1),
        "p_max": tf.reduce_max(p, -1),
        "total_std": tf.sqrt(tf.reduce_sum(found["variance"], -1)),
        "predictive_entropy": entropy,
        "expected_entropy": found["expected_entropy"],
        "mutual_information": tf.maximum(disputed, 0.0),
        "votes": emitted(found["votes"]),
        "vote_fraction": vote_fraction,
        "variation_ratio": 1.0 - vote_fraction,
        "mcse": emitted(found["mcse"]),
    }


def _assert_probabilities(p: Any) -> None:
    """As `check_probabilities`: a NaN may pass, for all to see."""
    total = tf.reduce_sum(p, -1, keepdims=True)
    is_wrong = (p < -1e-3) | (tf.abs(total - 1.0) > 0.01)
    tf.debugging.assert_equal(
        tf.reduce_any(is_wrong),
        False,
        "Expected a classifier that emits probabilities. If it emits logits, "
        "export it with `from_logits=True`.",
    )
