"""The class-balanced order: every class equally often, whatever the dataset's counts.

In: the class of each sample. Out: an order. Every K consecutive positions hold each of the K classes once, in a
shuffled order; within a class the samples follow each other in a permutation of their own, which runs on from epoch to
epoch, so that all samples of a class are seen equally often. It resumes on any number of ranks, as every order does.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from streamaug.order.base import Int64Array, Order, OrderOptions
from streamaug.order.ordering import Ordering
from streamaug.random import Stream, keys

_CACHED = 4096


class BalancedOrder(Order):
    """The samples of every epoch, each class equally often.

    Args:
        labels: The class of each sample, int64 (N,).
        options: As of `SampleOrder`. Here lanes only divide the samples among ranks, the window counts the samples that
            all lanes fetch together, and tail fills the last global batch ("pad") or leaves it out ("drop").

    Attributes:
        num_samples: N.
        num_classes: K, classes that have a sample.
        num_positions: Positions of one epoch, L·⌊N/L⌋.

    Raises:
        ValueError: If there are fewer samples than lanes.
    """

    def __init__(self, labels: Int64Array, options: OrderOptions) -> None:
        if not options.shuffle:
            raise ValueError("shuffle: must be True for balanced classes, got False. Evaluate the plain set.")
        if options.sticky_lanes:
            raise ValueError(
                "sticky_lanes: must be False for balanced classes, whose samples have no lane of their own, got True. "
                "Mix a set for each class instead."
            )
        if options.lanes > len(labels):
            raise ValueError(
                f"lanes: must lie in 1..{len(labels)}, the number of samples, got {options.lanes}. Use fewer."
            )
        super().__init__(options, num_samples=len(labels), num_positions=len(labels) // options.lanes * options.lanes)
        classes, which = np.unique(labels, return_inverse=True)
        self.num_classes = len(classes)
        by_class = np.argsort(which, kind="stable")
        self._members = np.split(by_class, np.cumsum(np.bincount(which))[:-1])
        self._class_of = which
        self._rounds = -(-self.num_positions // self.num_classes)
        self._permutations: OrderedDict[tuple[int, int], Int64Array] = OrderedDict()

    def __repr__(self) -> str:
        counts = f"{self.num_samples} samples, {self.num_classes} classes"
        return f"BalancedOrder({counts}, seed={self.seed}, lanes={self.lanes})"

    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch, int64 (M,) each; past the end it wraps when tail is "pad".

        Raises:
            IndexError: If a position is negative, or past the end when tail is "drop".
        """
        checked = self.checked(positions)
        rounds, turns = np.divmod(np.mod(checked, self.num_positions), self.num_classes)
        out = np.zeros(len(checked), np.int64)
        for number in np.unique(rounds).tolist():
            rows = np.flatnonzero(rounds == number)
            classes = self._class_order(epoch, number)[turns[rows]]
            for row, chosen in zip(rows.tolist(), classes.tolist(), strict=True):
                out[row] = self._nth(chosen, epoch * self._rounds + number)
        return out

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """A lane's slots [start, stop) and their samples, in pieces of as many slots as the window gives a lane."""
        together = max(1, self.window // self.lanes)
        while start < stop:
            end = min(stop, (start // together + 1) * together)
            slots = np.arange(start, end, dtype=np.int64)
            yield slots, self.sample_ids(epoch, slots * self.lanes + lane)
            start = end

    def run_samples(self, epoch: int, position: int) -> Int64Array:
        """All samples of the class at a position, so that a stand-in keeps the balance."""
        own = self.sample_ids(epoch, np.array([position], np.int64))
        return self._members[int(self._class_of[own[0]])]

    def _class_order(self, epoch: int, number: int) -> Int64Array:
        """The order of the classes in one round of K positions."""
        return self._shuffled(self.seed, epoch, -1, number, self.num_classes)

    def _nth(self, chosen: int, turn: int) -> int:
        """The n-th sample of a class, counted over all epochs."""
        members = self._members[chosen]
        cycle, nth = divmod(turn, len(members))
        return int(members[self._shuffled(self.seed + 1, cycle, chosen, 0, len(members))[nth]])

    def _shuffled(self, seed: int, epoch: int, owner: int, number: int, count: int) -> Int64Array:
        """A permutation of `count`, keyed by all the other arguments."""
        key = (owner, epoch if owner >= 0 else epoch << 40 | number)
        permutation = self._permutations.get(key)
        if permutation is None:
            base = (owner + 1) << 32 if owner >= 0 else number * count
            drawn = keys(seed, epoch, np.arange(base, base + count), stream=Stream.MIXTURE)
            permutation = self._permutations[key] = np.argsort(drawn, kind="stable")
            while len(self._permutations) > max(_CACHED, 2 * self.num_classes):
                self._permutations.popitem(last=False)
        return permutation


class Balanced(Ordering):
    """The ordering of `ShardSet.balance_classes`: every class equally often.

    Args:
        labels: The class of each sample, int64 (N,).
    """

    def __init__(self, labels: Int64Array) -> None:
        self._labels = labels

    def order(self, shard_sizes: Int64Array, options: OrderOptions) -> BalancedOrder:
        """The order that reads it."""
        del shard_sizes  # the labels decide
        return BalancedOrder(self._labels, options)

    def fingerprint(self, dataset: str) -> str:
        """SHA-256 (hex) over the dataset's fingerprint and all labels."""
        return hashlib.sha256(dataset.encode() + self._labels.astype("<i8").tobytes()).hexdigest()

    def describe(self, dataset: str) -> str:
        """The call that makes it."""
        return f"{dataset}.balance_classes()"
