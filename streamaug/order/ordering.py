"""The contract of an ordering: what makes an `Order` for a dataset.

In: the options that a reader is given, and the dataset's counts. Out: the order, and what a saved state must agree
with. A new order is one file with a class of each kind; `ShardSet.ordered_by` takes the `Ordering`.
"""

from abc import ABC, abstractmethod

from streamaug.order.base import Int64Array, Order, OrderOptions
from streamaug.order.repeated import RepeatedOrder


class Ordering(ABC):
    """How the samples of a dataset are ordered: part of a `ShardSet`, before the reader's options are known.

    A subclass is small and can be pickled. `ShardSet.ordered_by(ordering)` gives a dataset that a `ShardReader` reads
    in its order, on any number of ranks and from any saved state.

    Attributes:
        is_plain: Whether the order is the one that every set has when it is opened; only a set of that order can be
            mixed or balanced, which would undo another.
    """

    is_plain = False

    @abstractmethod
    def order(self, shard_sizes: Int64Array, options: OrderOptions) -> Order:
        """The order that a reader takes the samples in.

        Args:
            shard_sizes: int64 (S,), the samples of each shard as listed.
            options: What the reader's user decided.

        Raises:
            ValueError: If the ordering cannot do what the options say; names the option.
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
        """The fingerprint that must be equal in a saved state: of the dataset, and of all else that decides the order.

        Args:
            dataset: The fingerprint of the shards as listed.

        Returns:
            The dataset's fingerprint itself, where nothing else decides; else a hash of it and of all that does.
        """

    def most_lanes(self, shard_sizes: Int64Array) -> int:
        """The most lanes that the order can have: what a reader keeps to that was given no number of them.

        Args:
            shard_sizes: int64 (S,), the samples of each shard as listed.
        """
        return max(1, int(shard_sizes.sum()))

    def describe(self, dataset: str) -> str:
        """The repr of a `ShardSet` with this ordering; `dataset` is that of the plain set."""
        return f"{dataset}.ordered_by({self!r})"
