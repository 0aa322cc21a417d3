"""The contract of an ordering, which makes an `Order` for a dataset.

In: the reader's options, and the dataset's counts. Out: the order, and the fingerprint of a saved state. A new order is
a file with an `Order` and an `Ordering`; `ShardSet.ordered_by` takes the `Ordering`.
"""

from abc import ABC, abstractmethod

from streamaug.order.base import Int64Array, Order, OrderOptions
from streamaug.order.repeated import RepeatedOrder


class Ordering(ABC):
    """Makes the order of a dataset's samples: part of a `ShardSet`, which does not have the reader's options yet.

    A subclass is small and can be pickled. `ShardSet.ordered_by(ordering)` gives a dataset that a `ShardReader` reads
    in its order, on any number of ranks and from any saved state.

    Attributes:
        is_plain: Whether the order is that of a set as it is opened; only such a set can be mixed or balanced, which
            would undo another order.
    """

    is_plain = False

    @abstractmethod
    def order(self, shard_sizes: Int64Array, options: OrderOptions) -> Order:
        """The order in which a reader takes the samples.

        Args:
            shard_sizes: int64 (S,), the samples of each shard as listed.
            options: The options of the reader's user.

        Raises:
            ValueError: If the ordering does not support an option; names it.
        """

    def repeated(self, shard_sizes: Int64Array, options: OrderOptions, repeats: int) -> Order:
        """The order in which each sample comes several times, in consecutive slots of its lane.

        Args:
            shard_sizes: As of `order`.
            options: As of `order`.
            repeats: Copies of each sample, at least 2.

        Raises:
            ValueError: As `order` does, or if the order cannot repeat so often.
        """
        return RepeatedOrder(self.order(shard_sizes, options), repeats)

    @abstractmethod
    def fingerprint(self, dataset: str) -> str:
        """The fingerprint that must be equal in a saved state: of the dataset and of all values that decide the order.

        Args:
            dataset: The fingerprint of the shards as listed.

        Returns:
            The dataset's fingerprint itself, where no other value decides; else a hash of it and of these values.
        """

    def most_lanes(self, shard_sizes: Int64Array) -> int:
        """The most lanes that the order can have, which bound a reader's default.

        Args:
            shard_sizes: int64 (S,), the samples of each shard as listed.
        """
        return max(1, int(shard_sizes.sum()))

    def describe(self, dataset: str) -> str:
        """The repr of a `ShardSet` with this ordering; `dataset` is that of the plain set."""
        return f"{dataset}.ordered_by({self!r})"
