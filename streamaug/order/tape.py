"""The tape of an epoch: all samples in a row, from which the lanes are cut.

In: the shards' sizes, a seed, an epoch. Out: the sample at any index of the tape. A tape is made of pieces, which are
consecutive samples of a shard, and is divided into parts, which are rotated by themselves.
"""

import numpy as np

from streamaug.order.base import Int64Array
from streamaug.random import Stream, keys, uniform


class Tape:
    """The samples of an epoch in a row.

    Args:
        firsts: int64 (P,), the first sample of each piece, in the order of the tape.
        lengths: int64 (P,), the samples of each piece.
        bounds: int64 (Q + 1,), where each part begins, and the end of the last.
        turns: int64 (Q,), the rotation of each part in samples, less than the part's length.
    """

    def __init__(self, firsts: Int64Array, lengths: Int64Array, bounds: Int64Array, turns: Int64Array) -> None:
        self._stops = np.cumsum(lengths)
        self._shifts = firsts - (self._stops - lengths)
        self._bounds, self._turns = bounds, turns

    def ids(self, on_tape: Int64Array) -> Int64Array:
        """The samples at indices of the tape, int64 (M,) each."""
        part = np.searchsorted(self._bounds, on_tape, side="right") - 1
        begin, end = self._bounds[part], self._bounds[part + 1]
        turned = begin + np.mod(on_tape - begin + self._turns[part], end - begin)
        ids: Int64Array = turned + self._shifts[np.searchsorted(self._stops, turned, side="right")]
        return ids


class DealtAnew:
    """Tapes on which each epoch permutes the shards anew, so that lanes hold other shards in each epoch.

    Args:
        sizes: int64 (S,), the samples of each shard.
        seed: With the epoch, the key of every random number.
    """

    def __init__(self, sizes: Int64Array, seed: int) -> None:
        self._sizes, self._starts, self._seed = sizes, np.cumsum(sizes) - sizes, seed

    def tape(self, epoch: int) -> Tape:
        """The tape of an epoch."""
        shards = np.argsort(_keys(self._seed, epoch, len(self._sizes), Stream.SHARD_ORDER), kind="stable")
        bounds = np.array([0, self._sizes.sum()], np.int64)
        return Tape(self._starts[shards], self._sizes[shards], bounds, _turns(self._seed, epoch, bounds))


class DealtOnce:
    """Tapes on which a lane holds the same samples in every epoch, in another order.

    The seed decides in which order the shards are dealt to the lanes. A shard that lies across the border of two lanes
    is split into two pieces. Each epoch permutes the pieces of a lane, and rotates the lane.

    Args:
        sizes: int64 (S,), the samples of each shard.
        bounds: int64 (L + 1,), where each lane begins on the tape, and the end of the last.
        seed: With the epoch, the key of every random number.
    """

    def __init__(self, sizes: Int64Array, bounds: Int64Array, seed: int) -> None:
        shards = np.argsort(_keys(seed, 0, len(sizes), Stream.SHARD_ORDER), kind="stable")
        stops, starts = np.cumsum(sizes[shards]), np.cumsum(sizes) - sizes
        cuts = np.unique(np.concatenate([[0], stops, bounds]))
        begins = cuts[:-1]
        number = np.searchsorted(stops, begins, side="right")
        self._firsts = starts[shards][number] + begins - (stops - sizes[shards])[number]
        self._lengths = np.diff(cuts)
        self._lanes = np.searchsorted(bounds, begins, side="right") - 1
        self._bounds, self._seed = bounds, seed

    def tape(self, epoch: int) -> Tape:
        """The tape of an epoch."""
        order = np.lexsort((_keys(self._seed, epoch, len(self._lanes), Stream.LANE_ORDER), self._lanes))
        turns = _turns(self._seed, epoch, self._bounds)
        return Tape(self._firsts[order], self._lengths[order], self._bounds, turns)


def _keys(seed: int, epoch: int, count: int, stream: Stream) -> "np.typing.NDArray[np.uint64]":
    return keys(seed, epoch, np.arange(count), stream=stream)


def _turns(seed: int, epoch: int, bounds: Int64Array) -> Int64Array:
    """A rotation of each part, uniform over its samples, int64 (Q,)."""
    drawn = uniform(seed, epoch, np.arange(len(bounds) - 1), stream=Stream.TAPE_ROTATION, n=1)[:, 0]
    return (drawn * np.diff(bounds)).astype(np.int64)
