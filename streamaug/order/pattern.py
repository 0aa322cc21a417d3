"""The pattern of a mixture: the dataset of each slot of a lane, in the order of Philox keys.

In: how many slots each dataset has. Out: the dataset of a slot, and the slots of a dataset. A lane of a large mixture
has millions of slots, and an epoch has all lanes, so a pattern takes one to four bytes a slot.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamaug.order.base import Int64Array
from streamaug.random import Stream, keys

_KEYS_AT_ONCE = 8192  # Philox four times as fast as in one piece, because its operands stay in the cache


class Pattern:
    """The dataset of each slot of a lane: the quotas, shuffled.

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
        # How many slots of each dataset stand before each block of slots.
        self._block = max(256, 8 * datasets)  # these counts then take no more than a byte a slot
        blocks = -(-slots // self._block)
        #: int64 (datasets, blocks + 1): slots of each dataset before each block.
        self._before = np.zeros((datasets, blocks + 1), np.int64)
        cells = np.repeat(np.arange(blocks) * datasets, self._block)[:slots] + self._which
        counts = np.bincount(cells, minlength=blocks * datasets).reshape(blocks, datasets)
        self._before[:, 1:] = np.cumsum(counts.T, axis=1)

    def taken(self, slots: Int64Array) -> tuple[Int64Array, Int64Array]:
        """The dataset of each slot, and how many earlier slots took from the same dataset; int64 (M,) each."""
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
        own = np.flatnonzero(self._which[begin : (int(last) + 1) * self._block] == dataset)
        return begin + own[rank - int(before[first]) :][:count]

    def _ranks_inside(self, number: int) -> Int64Array:
        """For each slot of a block, how many earlier slots of the block took from the same dataset."""
        inside = self._which[number * self._block : (number + 1) * self._block]
        order = np.argsort(inside, kind="stable")
        firsts = np.searchsorted(inside[order], np.arange(len(self._before)))
        ranks = np.empty(len(inside), np.int64)
        ranks[order] = np.arange(len(inside)) - firsts[inside[order]]
        return ranks


def _keys(seed: int, epoch: int, first: int, count: int) -> npt.NDArray[np.uint64]:
    """Random keys of the ids first, first + 1, …, uint64 (count,)."""
    out = np.empty(count, np.uint64)
    for start in range(0, count, _KEYS_AT_ONCE):
        ids = np.arange(first + start, first + min(count, start + _KEYS_AT_ONCE))
        out[start : start + _KEYS_AT_ONCE] = keys(seed, epoch, ids, stream=Stream.MIXTURE)
    return out


def by_key(keys: npt.NDArray[np.uint64], labels: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
    """The labels in the order of their keys, stable: `labels[argsort(keys)]`, in 0.6 of the time.

    The keys' low bits carry the labels through the sort; where these bits could decide the order, argsort does it.
    """
    low = np.uint64((1 << int(labels.max(initial=0)).bit_length()) - 1)
    joined = (keys & ~low) | labels
    joined.sort()
    same_key = (joined[1:] & ~low) == (joined[:-1] & ~low)
    if (same_key & (joined[1:] != joined[:-1])).any():
        return labels[np.argsort(keys, kind="stable")]
    return (joined & low).astype(labels.dtype)
