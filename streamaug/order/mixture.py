"""The order of a mixture of datasets: the dataset that a position takes from, and the sample of it.

In: the shards' sizes of each dataset, and weights. Out: an order. Every lane of an epoch takes a fixed number of
samples from each dataset, in a shuffled pattern; each dataset's own order runs on from epoch to epoch, so that all its
samples are seen equally often, however small its weight. It resumes on any number of ranks.
"""

import hashlib
import heapq
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from math import ceil

import numpy as np

from streamaug.order.base import Int64Array, Order, OrderOptions
from streamaug.order.ordering import Ordering
from streamaug.order.pattern import Pattern
from streamaug.order.repeated import RepeatedOrder
from streamaug.order.shuffled import SampleOrder
from streamaug.order.weights import Quotas, Weight, Weights

_SEED_STEP = 0x9E3779B9  # each dataset's order has a seed of its own, so that no two draw the same numbers


class MixtureOrder(Order):
    """The samples of every epoch of a mixture.

    Args:
        shard_sizes: For each dataset, the samples of each of its shards.
        weights: For each dataset, its share of every epoch, > 0; they need not sum to 1. Or a function from the epoch
            to the share, ≥ 0, which is called for all epochs up to the present one.
        options: As of `SampleOrder`; no dataset may have fewer samples than there are lanes, the window counts the
            samples of all datasets together, and tail fills the last global batch ("pad") or leaves it out ("drop").
        slots: Slots of a lane in an epoch; None: ⌊N/L⌋.

    Attributes:
        num_samples: N, samples of all datasets; ids count through the datasets in the order given.
        num_positions: Positions of one epoch, L·slots.

    Raises:
        ValueError: If a weight is not positive, too small for one sample a lane and epoch, or a dataset has fewer
            samples than there are lanes. A function's weights may be too small in some epochs: they round to no slot.
    """

    def __init__(
        self,
        shard_sizes: Sequence[Sequence[int] | Int64Array],
        weights: Sequence[Weight],
        options: OrderOptions,
        *,
        slots: int | None = None,
    ) -> None:
        if not options.shuffle:
            raise ValueError(
                "shuffle: must be True for a mixture, which has no order of listing, got False. Evaluate each alone."
            )
        self._weights = Weights(weights)
        if len(weights) != len(shard_sizes):
            raise ValueError(
                f"weights: each of {len(shard_sizes)} datasets must have a weight, got {len(weights)}. Give all."
            )
        # Runs have the same length in all epochs, so a window cannot follow weights that vary.
        shares = np.full(len(weights), 1 / len(weights)) if self._weights.vary else self._weights.shares(0)
        counts = [int(np.sum(sizes)) for sizes in shard_sizes]
        self._slots = sum(counts) // options.lanes if slots is None else slots
        super().__init__(options, num_samples=sum(counts), num_positions=self._slots * options.lanes)
        # Each dataset's own order, with its share of the window, and its first sample id in the mixture.
        self._members = [
            SampleOrder(
                sizes,
                seed=self.seed + (i + 1) * _SEED_STEP,
                lanes=self.lanes,
                window=max(self.lanes, int(self.window * share)),
                sticky_lanes=options.sticky_lanes,
            )
            for i, (sizes, share) in enumerate(zip(shard_sizes, shares.tolist(), strict=True))
        ]
        self._bases = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._quotas = Quotas(self._weights, self._slots)
        if not self._weights.vary and min(self._quotas.of(0)) == 0:
            i = self._quotas.of(0).index(0)
            raise ValueError(
                f"weights: each dataset must give at least one sample a lane and epoch, got {weights[i]} for dataset "
                f"{i}, less than one of {self._slots}. Raise it to {1 / self._slots:.3g} of the sum, or leave it out."
            )
        self._patterns: OrderedDict[tuple[int, int], Pattern] = OrderedDict()

    def __repr__(self) -> str:
        shares = [f"{share:.3g}" for share in self._weights.shares(0).tolist()]
        shown = ", ".join(self._weights.names() if self._weights.vary else shares)
        return f"MixtureOrder({self.num_samples} samples, weights {shown}, seed={self.seed}, lanes={self.lanes})"

    def so_far(self, epoch: int, position: int) -> Mapping[str, str]:
        """Where weights vary, a hash of the slots that the datasets had so far, which decide the rest."""
        if not self._weights.vary:
            return {}
        return {"weights": self._quotas.digest(epoch + (position > 0))}

    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch, int64 (M,) each; past the end the lanes wrap when tail is "pad".

        Raises:
            IndexError: If a position is negative, or past the end when tail is "drop".
        """
        checked = self.checked(positions)
        which, slots = self._taken(epoch, checked)
        out = np.zeros(len(checked), np.int64)
        for i, member in enumerate(self._members):
            rows = np.flatnonzero(which == i)
            lanes = checked[rows] % self.lanes
            length = member.lane_length(0)
            rounds = slots[rows] // length
            for number in np.unique(rounds).tolist():
                now = rows[rounds == number]
                inner = slots[now] % length * self.lanes + lanes[rounds == number]
                out[now] = self._bases[i] + member.sample_ids(number, inner)
        return out

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """A lane's slots [start, stop), run by run of each dataset, by first slot; see `SampleOrder.lane_runs`."""
        while start < stop:
            cycle = start // self._slots * self._slots
            end = min(stop, cycle + self._slots)
            streams = [self._member_runs(epoch, lane, i, start, end) for i in range(len(self._members))]
            yield from heapq.merge(*streams, key=lambda run: int(run[0][0]))
            start = end

    def run_samples(self, epoch: int, position: int) -> Int64Array:
        """All samples of the run that holds a position, in the dataset that the position takes from."""
        i, cycle, inner = self._in_member(epoch, position)
        samples: Int64Array = self._bases[i] + self._members[i].run_samples(cycle, inner)
        return samples

    def neighbourhood(self, epoch: int, position: int) -> Int64Array:
        """The samples of the run and those around it, of the same dataset."""
        i, cycle, inner = self._in_member(epoch, position)
        samples: Int64Array = self._bases[i] + self._members[i].neighbourhood(cycle, inner)
        return samples

    def dataset_range(self, epoch: int, position: int) -> range:
        """All samples of the dataset that a position takes from."""
        i, _, _ = self._in_member(epoch, position)
        return range(int(self._bases[i]), int(self._bases[i + 1]))

    def _in_member(self, epoch: int, position: int) -> tuple[int, int, int]:
        """The dataset that a position takes from, and the epoch and the position in that dataset's own order."""
        checked = self.checked(np.array([position], np.int64))
        which, slots = self._taken(epoch, checked)
        i = int(which[0])
        cycle, slot = divmod(int(slots[0]), self._members[i].lane_length(0))
        return i, cycle, slot * self.lanes + int(checked[0]) % self.lanes

    def _member_runs(
        self, epoch: int, lane: int, i: int, start: int, stop: int
    ) -> Iterator[tuple[Int64Array, Int64Array]]:
        """The runs of dataset i in slots [start, stop) of one cycle, consecutive in the dataset's own order."""
        member, pattern = self._members[i], self._pattern(epoch, lane)
        earlier = int(self._quotas.before(epoch)[i])
        cycle = start // self._slots * self._slots
        rank, end = pattern.taken_before(i, start - cycle), pattern.taken_before(i, stop - cycle)
        while rank < end:
            number, slot = divmod(earlier + rank, member.lane_length(0))
            count = min(end - rank, member.lane_length(0) - slot)
            for _, ids in member.lane_runs(number, lane, slot, slot + count):
                yield cycle + pattern.slots(i, rank, len(ids)), self._bases[i] + ids
                rank += len(ids)

    def _taken(self, epoch: int, positions: Int64Array) -> tuple[Int64Array, Int64Array]:
        """The dataset of each position, and the slot in that dataset's own endless order, int64 (M,) each."""
        lanes, slots = np.mod(positions, self.lanes), np.mod(positions // self.lanes, self._slots)
        which, ranks = np.zeros_like(positions), np.zeros_like(positions)
        for lane in np.unique(lanes).tolist():
            rows = np.flatnonzero(lanes == lane)
            which[rows], ranks[rows] = self._pattern(epoch, lane).taken(slots[rows])
        return which, self._quotas.before(epoch)[which] + ranks

    def _pattern(self, epoch: int, lane: int) -> Pattern:
        pattern = self._patterns.get((epoch, lane))
        if pattern is None:
            pattern = self._patterns[epoch, lane] = Pattern(self._quotas.of(epoch), self.seed, epoch, lane)
            while len(self._patterns) > 2 * self.lanes:
                self._patterns.popitem(last=False)
        return pattern


class Mixture(Ordering):
    """The ordering of `ShardSet.mix`: several datasets, each with its share of every epoch.

    Args:
        shard_sizes: For each dataset, int64 (Sᵢ,), the samples of each of its shards.
        weights: For each dataset, its share, > 0, or a function from the epoch to it; they need not sum to 1.
        fingerprints: For each dataset, the fingerprint of its shards.

    Attributes:
        weights: The weights, checked.

    Raises:
        ValueError: If a weight is no positive number, or a function returns no weight for epoch 0.
    """

    def __init__(
        self, shard_sizes: Sequence[Int64Array], weights: Sequence[Weight], fingerprints: Sequence[str]
    ) -> None:
        self._shard_sizes, self._fingerprints = list(shard_sizes), list(fingerprints)
        self.weights = Weights(weights)

    def order(self, shard_sizes: Int64Array, options: OrderOptions) -> MixtureOrder:
        """The order that reads the mixture."""
        del shard_sizes  # of all datasets one after the other; this class has their borders
        return MixtureOrder(self._shard_sizes, self.weights.weights, options)

    def repeated(self, shard_sizes: Int64Array, options: OrderOptions, repeats: int) -> RepeatedOrder:
        """The order in which samples come several times: each epoch keeps the shares, with fewer samples."""
        slots = int(shard_sizes.sum()) // options.lanes
        order = MixtureOrder(self._shard_sizes, self.weights.weights, options, slots=-(-slots // repeats))
        return RepeatedOrder(order, repeats, slots * options.lanes)

    def most_lanes(self, shard_sizes: Int64Array) -> int:
        """The most lanes that leave each dataset a sample for each lane, in total and in each epoch."""
        smallest = min(int(sizes.sum()) for sizes in self._shard_sizes)
        if self.weights.vary:
            return max(1, smallest)
        samples_for_one = ceil(1 / float(self.weights.shares(0).min()))
        return max(1, min(smallest, int(shard_sizes.sum()) // samples_for_one))

    def fingerprint(self, dataset: str) -> str:
        """SHA-256 (hex) over the datasets' fingerprints and shares: weights of 1 and 3 are those of 2 and 6.

        It does not cover shares that vary: a state has a hash of the slots so far, see `MixtureOrder.so_far`.
        """
        del dataset
        shares = [None] * len(self._fingerprints) if self.weights.vary else self.weights.shares(0).tolist()
        facts = [list(fact) for fact in zip(self._fingerprints, shares, strict=True)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def describe(self, dataset: str) -> str:
        """The call that makes it."""
        del dataset
        parts = (
            f"ShardSet({len(sizes)} shards, {int(sizes.sum())} samples): {weight}"
            for sizes, weight in zip(self._shard_sizes, self.weights.names(), strict=True)
        )
        return f"ShardSet.mix({{{', '.join(parts)}}})"
