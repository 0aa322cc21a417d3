"""Where wanted samples lie: byte ranges to fetch, and the place of every row in them.

In: a `Want` and the indexes of its shards. Out: a `Piece`, whose parts are ranges of about a given size, cut where
samples end, and merged where the bytes between two wanted samples are fewer than a request is worth. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.batch import Int64Array
from streamaug.reader.schedule import Want
from streamaug.shards import ShardIndex

MERGE_GAP = 256 << 10  # bytes that a request costs less to read than to skip
_SHARD_STRIDE = 1 << 42  # more than a shard has bytes
FOREIGN_GAP = 4 << 10  # the same where another rank reads them: headers and padding, no image


@dataclass(frozen=True, slots=True)
class Part:
    """A byte range of a shard, [start, stop)."""

    shard: int
    start: int
    stop: int


class Places(NamedTuple):
    """Where the m samples of a piece have a component.

    Attributes:
        part: The numbers of the parts, -1 where the sample lacks it.
        begin: Its first byte in the part.
        end: One past its last byte.
        checksum: CRC-32C, -1 where no companion has one.
    """

    part: list[int]
    begin: list[int]
    end: list[int]
    checksum: list[int]


@dataclass(slots=True, eq=False)
class Piece:
    """Samples fetched together.

    Attributes:
        want: Positions and samples, m of each.
        positions: The same positions, ascending, as plain numbers: batches take a few at a time.
        keys: m keys.
        places: For each of C components.
        parts: The ranges.
        needed: The first position that needs each part.
        num_bytes: What the parts hold together.
        taken: How many of the samples were delivered.
    """

    want: Want
    positions: list[int]
    keys: list[str]
    places: list[Places]
    parts: list[Part]
    needed: list[int]
    num_bytes: int
    taken: int = field(default=0)


def shards_of(starts: Int64Array, sample_ids: Int64Array) -> Int64Array:
    """The shard of each sample, int64 (m,); starts is (S+1,), the first sample of each shard."""
    return np.searchsorted(starts, sample_ids, side="right") - 1


def locate(
    want: Want, starts: Int64Array, indexes: Mapping[int, ShardIndex], *, exclusive: bool, part_bytes: int, urgent: int
) -> Piece:
    """Turn a want into ranges.

    Args:
        want: The samples.
        starts: (S+1,), the first sample of each shard.
        indexes: Those of all its shards.
        exclusive: No other rank reads what lies between.
        part_bytes: A part is larger by less than a sample.
        urgent: Samples of earlier positions are parts of their own, so that nobody waits for what lies around them.
    """
    shards = shards_of(starts, want.sample_ids)
    count = len(want.sample_ids)
    components = next(iter(indexes.values())).offsets.shape[1]
    keys = [""] * count
    offsets = np.full((count, components), -1, np.int64)
    sizes = np.zeros((count, components), np.int64)
    checksums = np.full((count, components), -1, np.int64)
    for shard in np.unique(shards).tolist():
        index = indexes[shard]
        rows = np.flatnonzero(shards == shard)
        local = want.sample_ids[rows] - starts[shard]
        offsets[rows], sizes[rows] = index.offsets[local], index.sizes[local]
        for row, place in zip(rows.tolist(), local.tolist(), strict=True):
            keys[row] = index.keys[place]
        if index.checksums is not None:
            checksums[rows] = index.checksums[local]
    apart = want.positions < urgent
    parts, part = _ranges(shards, offsets, sizes, apart, MERGE_GAP if exclusive else FOREIGN_GAP, part_bytes)
    needed = np.full(len(parts) + 1, np.iinfo(np.int64).max)  # the last one is for what no part holds
    np.minimum.at(needed, part, want.positions[:, None])
    begin = offsets - np.array([each.start for each in parts] + [0], np.int64)[part]
    columns = [column.T.tolist() for column in (part, begin, begin + sizes, checksums)]
    return Piece(
        want=want,
        positions=want.positions.tolist(),
        keys=keys,
        places=[Places(*component) for component in zip(*columns, strict=True)],
        parts=parts,
        needed=needed[:-1].tolist(),
        num_bytes=sum(each.stop - each.start for each in parts),
    )


def _ranges(
    shards: Int64Array,
    offsets: Int64Array,
    sizes: Int64Array,
    apart: npt.NDArray[np.bool_],
    gap: int,
    part_bytes: int,
) -> tuple[list[Part], Int64Array]:
    """Ranges that cover all components that are there, and the number of the range of each component."""
    part = np.full(offsets.shape, -1, np.int64)
    rows, columns = np.nonzero(offsets >= 0)
    if not len(rows):
        return [], part
    known, shard = np.unique(shards[rows], return_inverse=True)
    place = shard * _SHARD_STRIDE + offsets[rows, columns]  # one line of addresses, shard after shard
    by_place = np.argsort(place, kind="stable")
    rows, columns, place = rows[by_place], columns[by_place], place[by_place]
    ends = place + sizes[rows, columns]
    other = np.concatenate([[True], rows[1:] != rows[:-1]])  # where another sample begins
    before = np.maximum.accumulate(np.concatenate([[place[0]], ends[:-1]]))
    cut = place - before > gap
    cut |= other & (apart[rows] | np.concatenate([[False], apart[rows[:-1]]]))
    cut[0] = True
    # Within a stretch, a sample belongs to the part in which it begins.
    index = np.arange(len(rows))
    stretch = place[np.maximum.accumulate(np.where(cut, index, 0))]
    begins = np.maximum.accumulate(np.where(other | cut, index, 0))
    number = (place[begins] - stretch) // part_bytes
    cut[1:] |= other[1:] & (number[1:] != number[:-1])
    first = np.flatnonzero(cut)
    part[rows, columns] = np.cumsum(cut) - 1
    last = np.maximum.reduceat(ends, first)
    shard = place[first] // _SHARD_STRIDE
    base = shard * _SHARD_STRIDE
    ranges = zip(known[shard].tolist(), (place[first] - base).tolist(), (last - base).tolist(), strict=True)
    return [Part(*each) for each in ranges], part
