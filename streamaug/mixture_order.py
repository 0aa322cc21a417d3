"""The order of a mixture of datasets: which of them a position takes from, and which of its samples.

In: the shards' sizes of each dataset, and weights. Out: the same interface as `SampleOrder`. Every lane of an epoch
takes a fixed number of samples from each dataset, in a shuffled pattern; each dataset's own order runs on from epoch to
epoch, so that all its samples are seen equally often, however small its weight. Elastic and resumable alike.
"""

import heapq
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from streamaug.order import RUN_LENGTH, Int64Array, SampleOrder, Tail, checked_positions
from streamaug.random import Stream, words

_SEED_STEP = 0x9E3779B9  # members draw apart from each other, whatever the seed
_KEYS_AT_ONCE = 8192  # Philox four times as fast as in one piece: what it computes with stays in the cache


class MixtureOrder:
    """The samples of every epoch of a mixture.

    Args:
        shard_sizes: For each dataset, the samples of each of its shards.
        weights: For each dataset, its share of every epoch, > 0; they need not sum to 1.
        seed: As of `SampleOrder`.
        lanes: As of `SampleOrder`; no dataset may have fewer samples.
        window: Samples in the shuffle window, over all datasets; None: 256 a lane.
        tail: Fills the last global batch ("pad") or leaves it out ("drop").

    Attributes:
        num_samples: Of all datasets; ids count through the datasets in the order given.
        num_positions: Positions of one epoch, L·⌊N/L⌋.

    Raises:
        ValueError: If a weight is not positive, too small for one sample a lane and epoch, or a dataset has fewer
            samples than there are lanes.
    """

    shuffle = True

    def __init__(
        self,
        shard_sizes: Sequence[Sequence[int] | Int64Array],
        weights: Sequence[float],
        *,
        seed: int = 0,
        lanes: int = 32,
        window: int | None = None,
        tail: Tail = "drop",
    ) -> None:
        shares = normalized(weights)
        if len(shares) != len(shard_sizes):
            raise ValueError(
                f"weights: must be one for each of the {len(shard_sizes)} datasets, got {len(shares)}. Give each one."
            )
        if tail not in ("drop", "pad"):
            raise ValueError(f'tail: must be "drop" or "pad", got {tail!r}. Training wants "drop".')
        self.seed, self.lanes, self.tail = int(seed), int(lanes), tail
        self.window = RUN_LENGTH * lanes if window is None else int(window)
        self._members = [
            SampleOrder(
                sizes, seed=seed + (i + 1) * _SEED_STEP, lanes=lanes, window=max(lanes, int(self.window * share))
            )
            for i, (sizes, share) in enumerate(zip(shard_sizes, shares.tolist(), strict=True))
        ]
        counts = [member.num_samples for member in self._members]
        self._bases = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.num_samples = sum(counts)
        self._slots = self.num_samples // self.lanes
        self._quotas = _apportion(shares, self._slots)
        self._weights = [round(share, 12) for share in shares.tolist()]
        if min(self._quotas) == 0:
            i = self._quotas.index(0)
            raise ValueError(
                f"weights: each dataset must give at least one sample a lane and epoch, got {weights[i]} for dataset "
                f"{i}, less than one of {self._slots}. Raise it to {1 / self._slots:.3g} of the sum, or leave it out."
            )
        self.num_positions = self._slots * self.lanes
        self._patterns: OrderedDict[tuple[int, int], _Pattern] = OrderedDict()

    def __repr__(self) -> str:
        shares = ", ".join(f"{weight:.3g}" for weight in self._weights)
        return f"MixtureOrder({self.num_samples} samples, weights {shares}, seed={self.seed}, lanes={self.lanes})"

    @property
    def parameters(self) -> dict[str, int | bool | str]:
        """What a saved state must agree with, besides dataset and seed; weights are part of the fingerprint."""
        return {"lanes": self.lanes, "window": self.window, "shuffle": True, "tail": self.tail}

    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch, int64 (M,) each; past the end the lanes wrap when tail is "pad".

        Raises:
            IndexError: If a position is negative, or past the end when tail is "drop".
        """
        places = checked_positions(self, positions)
        which, slots = self._taken(epoch, places)
        out = np.zeros(len(places), np.int64)
        for i, member in enumerate(self._members):
            rows = np.flatnonzero(which == i)
            lanes = places[rows] % self.lanes
            length = member.lane_length(0)
            rounds = slots[rows] // length
            for number in np.unique(rounds).tolist():
                now = rows[rounds == number]
                inner = slots[now] % length * self.lanes + lanes[rounds == number]
                out[now] = self._bases[i] + member.sample_ids(number, inner)
        return out

    def is_padding(self, epoch: int, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions only fill up the last global batch, bool (M,)."""
        del epoch
        return checked_positions(self, positions) >= self.num_positions

    def lane_length(self, lane: int) -> int:
        """Slots of a lane before it wraps."""
        del lane
        return self._slots

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """A lane's slots [start, stop), run by run of each dataset, by first slot; see `SampleOrder.lane_runs`."""
        while start < stop:
            cycle = start // self._slots * self._slots
            end = min(stop, cycle + self._slots)
            streams = [self._member_runs(epoch, lane, i, start, end) for i in range(len(self._members))]
            yield from heapq.merge(*streams, key=lambda run: int(run[0][0]))
            start = end

    def run_members(self, epoch: int, position: int, *, wide: bool = False) -> Int64Array:
        """All samples of the run that holds a position; wide: and those around it, of the same dataset."""
        places = checked_positions(self, np.array([position], np.int64))
        which, slots = self._taken(epoch, places)
        i = int(which[0])
        member = self._members[i]
        number, slot = divmod(int(slots[0]), member.lane_length(0))
        inner = slot * self.lanes + int(places[0]) % self.lanes
        members: Int64Array = self._bases[i] + member.run_members(number, inner, wide=wide)
        return members

    def dataset_ids(self, epoch: int, position: int) -> range:
        """All samples of the dataset that a position takes from."""
        which, _ = self._taken(epoch, checked_positions(self, np.array([position], np.int64)))
        return range(int(self._bases[which[0]]), int(self._bases[which[0] + 1]))

    def _member_runs(
        self, epoch: int, lane: int, i: int, start: int, stop: int
    ) -> Iterator[tuple[Int64Array, Int64Array]]:
        """The runs of dataset i that slots [start, stop) of one cycle take, consecutive in the dataset's own order."""
        member, pattern = self._members[i], self._pattern(epoch, lane)
        cycle = start // self._slots * self._slots
        rank, end = pattern.taken_before(i, start - cycle), pattern.taken_before(i, stop - cycle)
        while rank < end:
            number, slot = divmod(epoch * self._quotas[i] + rank, member.lane_length(0))
            count = min(end - rank, member.lane_length(0) - slot)
            for _, ids in member.lane_runs(number, lane, slot, slot + count):
                yield cycle + pattern.slots(i, rank, len(ids)), self._bases[i] + ids
                rank += len(ids)

    def _taken(self, epoch: int, places: Int64Array) -> tuple[Int64Array, Int64Array]:
        """For each position the dataset and the slot in that dataset's own endless order, int64 (M,) each."""
        lanes, slots = np.mod(places, self.lanes), np.mod(places // self.lanes, self._slots)
        which, ranks = np.zeros_like(places), np.zeros_like(places)
        for lane in np.unique(lanes).tolist():
            rows = np.flatnonzero(lanes == lane)
            which[rows], ranks[rows] = self._pattern(epoch, lane).taken(slots[rows])
        return which, epoch * np.array(self._quotas, np.int64)[which] + ranks

    def _pattern(self, epoch: int, lane: int) -> "_Pattern":
        known = self._patterns.get((epoch, lane))
        if known is None:
            known = self._patterns[epoch, lane] = _Pattern(self._quotas, self.seed, epoch, lane)
            while len(self._patterns) > 2 * self.lanes:
                self._patterns.popitem(last=False)
        return known


class _Pattern:
    """Which dataset each slot of a lane takes from: the quotas' worth of each, in the order of Philox keys.

    It takes one to four bytes a slot: a lane of a large mixture has millions of slots, and an epoch has all lanes.

    Args:
        quotas: For each dataset, its slots; all slots of the lane together.
        seed: With the epoch, the key of the random numbers.
        epoch: The epoch.
        lane: The lane.
    """

    def __init__(self, quotas: Sequence[int], seed: int, epoch: int, lane: int) -> None:
        slots, datasets = sum(quotas), len(quotas)
        labels = np.repeat(np.arange(datasets, dtype=np.min_scalar_type(datasets - 1)), quotas)
        self._which = by_key(_keys(seed, epoch, lane * slots, slots), labels)
        self._block = max(256, 8 * datasets)  # counts before each block then take no more than a byte a slot
        blocks = -(-slots // self._block)
        #: int64 (datasets, blocks + 1): slots of each dataset before each block.
        self._before = np.zeros((datasets, blocks + 1), np.int64)
        cells = np.repeat(np.arange(blocks) * datasets, self._block)[:slots] + self._which
        counts = np.bincount(cells, minlength=blocks * datasets).reshape(blocks, datasets)
        self._before[:, 1:] = np.cumsum(counts.T, axis=1)

    def taken(self, slots: Int64Array) -> tuple[Int64Array, Int64Array]:
        """For each slot its dataset, and how many earlier slots took from the same one; int64 (M,) each."""
        which = self._which[slots].astype(np.int64)
        blocks = slots // self._block
        ranks = self._before[which, blocks]
        for number in np.unique(blocks).tolist():
            rows = np.flatnonzero(blocks == number)
            ranks[rows] += self._ranks_inside(number)[slots[rows] - number * self._block]
        return which, ranks

    def taken_before(self, dataset: int, slot: int) -> int:
        """How many of the first `slot` slots take from a dataset."""
        number, inside = divmod(slot, self._block)
        first = number * self._block
        return int(self._before[dataset, number] + np.count_nonzero(self._which[first : first + inside] == dataset))

    def slots(self, dataset: int, rank: int, count: int) -> Int64Array:
        """The slots that take the rank-th and the following samples of a dataset, int64 (count,); count ≥ 1."""
        before = self._before[dataset]
        first, last = np.searchsorted(before, [rank, rank + count - 1], side="right") - 1
        begin = int(first) * self._block
        found = np.flatnonzero(self._which[begin : (int(last) + 1) * self._block] == dataset)
        return begin + found[rank - int(before[first]) :][:count]

    def _ranks_inside(self, number: int) -> Int64Array:
        """For each slot of a block, how many earlier ones of the block took from the same dataset."""
        inside = self._which[number * self._block : (number + 1) * self._block]
        order = np.argsort(inside, kind="stable")
        firsts = np.searchsorted(inside[order], np.arange(len(self._before)))
        ranks = np.empty(len(inside), np.int64)
        ranks[order] = np.arange(len(inside)) - firsts[inside[order]]
        return ranks


def _keys(seed: int, epoch: int, first: int, count: int) -> npt.NDArray[np.uint64]:
    """Random keys of the ids first, first + 1, …, uint64 (count,)."""
    keys = np.empty(count, np.uint64)
    for start in range(0, count, _KEYS_AT_ONCE):
        ids = np.arange(first + start, first + min(count, start + _KEYS_AT_ONCE))
        raw = words(seed, epoch, ids, stream=Stream.MIXTURE, blocks=1).astype(np.uint64)
        keys[start : start + _KEYS_AT_ONCE] = (raw[:, 0] << np.uint64(32)) | raw[:, 1]
    return keys


def by_key(keys: npt.NDArray[np.uint64], labels: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
    """The labels in the order of their keys, those of equal keys as given: `labels[argsort(keys)]`, in 0.6 of the time.

    The labels are sorted along in the keys' low bits; where that could decide the order, it is done the long way.
    """
    low = np.uint64((1 << int(labels.max(initial=0)).bit_length()) - 1)
    joined = (keys & ~low) | labels
    joined.sort()
    same_key = (joined[1:] & ~low) == (joined[:-1] & ~low)
    if (same_key & (joined[1:] != joined[:-1])).any():
        return labels[np.argsort(keys, kind="stable")]
    return (joined & low).astype(labels.dtype)


def normalized(weights: Sequence[float]) -> npt.NDArray[np.float64]:
    """The weights as shares of their sum, float64 (D,).

    Raises:
        ValueError: If there is none, one is no positive number, or their sum is too large for a float.
    """
    for i, weight in enumerate(weights):
        if not _is_positive(weight):
            raise ValueError(
                f"weights: each must be a positive number, got {weight!r} for dataset {i}. Leave out what gets none."
            )
    shares = np.array(weights, np.float64)
    with np.errstate(over="ignore"):
        total = float(shares.sum())
    if not 0 < total <= sys.float_info.max:
        raise ValueError(
            f"weights: must be at least one, with a finite sum, got {list(weights)}. Write shares, such as 0.3 and 0.7."
        )
    return shares / total


def _is_positive(weight: object) -> bool:
    if isinstance(weight, bool) or not isinstance(weight, float | int | np.floating | np.integer):
        return False
    return bool(0 < weight <= sys.float_info.max)


def _apportion(shares: npt.NDArray[np.float64], seats: int) -> list[int]:
    """Whole numbers that sum to `seats`, in proportion to the shares, by largest remainder."""
    exact = shares * seats
    whole = np.floor(exact).astype(np.int64)
    left = seats - int(whole.sum())
    whole[np.argsort(-(exact - whole), kind="stable")[:left]] += 1
    out: list[int] = whole.tolist()
    return out
