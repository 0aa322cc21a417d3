"""Which samples one rank needs in a pass, grouped as they should be fetched, in the order of first need.

Pure: order and rank in, groups of positions out. Never touches a shard.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamaug.batch import Int64Array
from streamaug.order.base import RUN_LENGTH, Order


@dataclass(frozen=True, slots=True)
class Share:
    """One rank's share of every global batch."""

    batch_size: int
    rank: int
    world_size: int
    interleaved: bool

    @property
    def global_batch(self) -> int:
        """G, samples of all ranks together in a step."""
        return self.batch_size * self.world_size

    def positions(self, start: int) -> Int64Array:
        """This rank's positions, int64 (B,), of the global batch that begins at a position."""
        rows = np.arange(self.batch_size, dtype=np.int64)
        if self.interleaved:
            return start + (self.rank - start) % self.world_size + self.world_size * rows
        return start + self.rank * self.batch_size + rows

    def owns(self, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions of a shuffled order are this rank's, bool (M,)."""
        mine: npt.NDArray[np.bool_] = positions % self.world_size == self.rank
        return mine

    def row(self, position: int, start: int) -> int:
        """The row of a position in that global batch; the inverse of `positions`."""
        if self.interleaved:
            return (position - start) // self.world_size
        return position - start - self.rank * self.batch_size

    def num_batches(self, order: Order, start: int = 0) -> int:
        """Global batches from a position to the end of the epoch."""
        left = max(0, order.num_positions - start)
        return left // self.global_batch if order.tail == "drop" else -(-left // self.global_batch)

    def may_read_gaps(self, order: Order) -> bool:
        """Whether the bytes between wanted samples may be read too: not where they certainly belong to another rank."""
        return self.world_size == 1 or order.shuffle

    def lanes(self, order: Order) -> list[int]:
        """The lanes this rank reads from."""
        if not order.shuffle:
            return [0]
        common = math.gcd(self.world_size, order.lanes)
        return list(range(self.rank % common, order.lanes, common))


@dataclass(frozen=True, slots=True, eq=False)
class Want:
    """Samples that lie in one contiguous part of the data: positions ascending, int64 (m,), and their samples."""

    positions: Int64Array
    sample_ids: Int64Array

    @property
    def first(self) -> int:
        """The first position that needs a sample of it."""
        return int(self.positions[0])

    def whole(self, count: int) -> int:
        """About `count`, such that consecutive copies of a sample are not split; at least 1."""
        other = np.flatnonzero(np.diff(self.sample_ids)) + 1  # where another sample begins
        ends = np.append(other, len(self.sample_ids))
        within = int(np.searchsorted(ends, count, side="right"))
        return int(ends[max(0, within - 1)])

    def split(self, count: int) -> "tuple[Want, Want]":
        """The first `count` rows, and the rest."""
        return Want(self.positions[:count], self.sample_ids[:count]), Want(
            self.positions[count:], self.sample_ids[count:]
        )


def wants(order: Order, share: Share, epoch: int, start: int, num_batches: int) -> Iterator[Want]:
    """Everything this rank needs for `num_batches` global batches from position `start`, by first need."""
    stop = start + num_batches * share.global_batch
    if not order.shuffle:
        return _blocks(order, share, epoch, start, num_batches)
    runs = order.runs(epoch, share.lanes(order), start, stop)
    return (Want(positions[mine], ids[mine]) for positions, ids in runs if (mine := share.owns(positions)).any())


def _blocks(order: Order, share: Share, epoch: int, start: int, num_batches: int) -> Iterator[Want]:
    """The unshuffled order: consecutive batches, some 256 samples together."""
    together = max(1, RUN_LENGTH // share.batch_size)
    for first in range(0, num_batches, together):
        starts = [start + k * share.global_batch for k in range(first, min(first + together, num_batches))]
        positions = np.concatenate([share.positions(batch_start) for batch_start in starts])
        yield Want(positions, order.sample_ids(epoch, positions))
