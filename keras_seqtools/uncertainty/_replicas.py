"""One batch on several devices, each with rows of its own."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


class Replicated:
    """A function of a batch, whose rows the replicas of a strategy share.

    Each is told the number of its first row, so that all find the noise they
    would find on one device.

    Args:
        function: Takes inputs, the number of their first row, and more.
        strategy: A `tf.distribute.Strategy`.
        any_size: Whether sizes that turn out to vary are left open.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        strategy: tf.distribute.Strategy,
        any_size: bool,
    ) -> None:
        self.function = tf.function(
            function, reduce_retracing=any_size, autograph=False
        )
        self.strategy = strategy

    def __call__(self, x: Any, first_row: Any, *args: Any) -> Any:
        number = self.strategy.num_replicas_in_sync
        size = len(tf.nest.flatten(x)[0]) // number

        def share(context: Any) -> Any:
            start = context.replica_id_in_sync_group * size

            def rows(tensor: Any) -> Any:
                is_batch = len(tensor.shape) > 0
                return tensor[start : start + size] if is_batch else tensor

            return (
                tf.nest.map_structure(rows, x),
                first_row + start,
                *map(rows, args),
            )

        found = self.strategy.run(
            self.function,
            args=self.strategy.experimental_distribute_values_from_function(
                share
            ),
        )
        return tf.nest.map_structure(
            lambda leaf: tf.concat(
                self.strategy.experimental_local_results(leaf), axis=0
            ),
            found,
        )
