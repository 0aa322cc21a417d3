"""Where wanted samples lie: byte ranges to fetch, and the bytes of each row in them.

In: a `Want` and the indexes of its shards. Out: a `Piece`, whose parts are ranges of about a given size, cut where
samples end, and merged where reading the bytes between two wanted samples costs less than another request. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.batch import Int64Array
from streamaug.reader.schedule import Want
from streamaug.shards.catalogue import shards_of
from streamaug.shards.index import ShardIndex

MERGE_GAP = 256 << 10  # bytes that a request costs less to read than to skip
FOREIGN_GAP = 4 << 10  # where another rank reads the bytes between: headers and padding, but no image
_SHARD_STRIDE = 1 << 42  # more than a shard has bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A byte range of a shard, [start, stop)."""

    shard: int
    start: int
    stop: int


class Spans(NamedTuple):
    """Where the m samples of a piece have a component.

    Attributes:
        part: The numbers of the parts, -1 where the sample lacks the component.
        begin: Its first byte in the part.
        end: One past its last byte.
        checksum: CRC-32C, -1 where the shard has no checksums.
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
        positions: The positions, ascending, as plain numbers: batches take a few at a time.
        sample_ids: The samples, likewise.
        keys: m keys.
        spans: For each of C components its bytes in the parts.
        parts: The ranges.
        needed: The first position that needs each part.
        num_bytes: The bytes of all parts together.
        taken: How many of the samples were delivered.
    """

    want: Want
    positions: list[int]
    sample_ids: list[int]
    keys: list[str]
    spans: list[Spans]
    parts: list[Part]
    needed: list[int]
    num_bytes: int
    taken: int = field(default=0)


def locate(
    want: Want,
    starts: Int64Array,
    indexes: Mapping[int, ShardIndex],
    *,
    may_read_gaps: bool,
    part_bytes: int,
    single_fetch_before: int,
) -> Piece:
    """Turn a want into ranges.

    Args:
        want: The samples.
        starts: int64 (S + 1,), the first sample of each shard.
        indexes: The indexes of all shards of the want.
        may_read_gaps: Whether a part may hold the bytes between two wanted samples.
        part_bytes: A part is larger by less than a sample.
        single_fetch_before: Samples of earlier positions are parts of their own, so that no batch waits for the bytes
            around them.
    """
    # Copies of a sample are located once, and needed at the position of the first copy.
    samples, firsts, sample_of = np.unique(want.sample_ids, return_index=True, return_inverse=True)
    positions = want.positions[firsts]
    shards = shards_of(starts, samples)
    count = len(samples)
    components = next(iter(indexes.values())).offsets.shape[1]
    keys = [""] * count
    offsets = np.full((count, components), -1, np.int64)
    sizes = np.zeros((count, components), np.int64)
    checksums = np.full((count, components), -1, np.int64)
    # The rows of the indexes for each sample.
    for shard in np.unique(shards).tolist():
        index = indexes[shard]
        rows = np.flatnonzero(shards == shard)
        local = samples[rows] - starts[shard]
        offsets[rows], sizes[rows] = index.offsets[local], index.sizes[local]
        for row, number in zip(rows.tolist(), local.tolist(), strict=True):
            keys[row] = index.keys[number]
        if index.checksums is not None:
            checksums[rows] = index.checksums[local]
    # Ranges that cover the samples, and the first position that needs each.
    apart = positions < single_fetch_before
    parts, part = _ranges(shards, offsets, sizes, apart, MERGE_GAP if may_read_gaps else FOREIGN_GAP, part_bytes)
    needed = np.full(len(parts) + 1, np.iinfo(np.int64).max)  # the last span is for components that no part holds
    np.minimum.at(needed, part, positions[:, None])
    # Where in its range each component begins and ends.
    begin = offsets - np.array([covering.start for covering in parts] + [0], np.int64)[part]
    columns = [column[sample_of].T.tolist() for column in (part, begin, begin + sizes, checksums)]
    return Piece(
        want=want,
        positions=want.positions.tolist(),
        sample_ids=want.sample_ids.tolist(),
        keys=[keys[number] for number in sample_of.tolist()],
        spans=[Spans(*component) for component in zip(*columns, strict=True)],
        parts=parts,
        needed=needed[:-1].tolist(),
        num_bytes=sum(covering.stop - covering.start for covering in parts),
    )


def _ranges(
    shards: Int64Array,
    offsets: Int64Array,
    sizes: Int64Array,
    apart: npt.NDArray[np.bool_],
    gap: int,
    part_bytes: int,
) -> tuple[list[Part], Int64Array]:
    """Ranges that cover all components that the samples have, and the number of the range of each component."""
    part = np.full(offsets.shape, -1, np.int64)
    rows, columns = np.nonzero(offsets >= 0)
    if not len(rows):
        return [], part
    # All components in one line of addresses, shard after shard.
    numbers, nth_shard = np.unique(shards[rows], return_inverse=True)
    address = nth_shard * _SHARD_STRIDE + offsets[rows, columns]
    by_address = np.argsort(address, kind="stable")
    rows, columns, address = rows[by_address], columns[by_address], address[by_address]
    ends = address + sizes[rows, columns]
    # Cut where the gap is too wide, and around samples that are to be parts of their own.
    other = np.concatenate([[True], rows[1:] != rows[:-1]])  # where another sample begins
    before = np.maximum.accumulate(np.concatenate([[address[0]], ends[:-1]]))
    cut = address - before > gap
    cut |= other & (apart[rows] | np.concatenate([[False], apart[rows[:-1]]]))
    cut[0] = True
    # Cut stretches that are longer than a part: a sample belongs to the part in which it begins.
    position = np.arange(len(rows))
    stretch = address[np.maximum.accumulate(np.where(cut, position, 0))]
    begins = np.maximum.accumulate(np.where(other | cut, position, 0))
    number = (address[begins] - stretch) // part_bytes
    cut[1:] |= other[1:] & (number[1:] != number[:-1])
    # From the line of addresses back to ranges of shards.
    first = np.flatnonzero(cut)
    part[rows, columns] = np.cumsum(cut) - 1
    last = np.maximum.reduceat(ends, first)
    nth_shard = address[first] // _SHARD_STRIDE
    base = nth_shard * _SHARD_STRIDE
    ranges = zip(numbers[nth_shard].tolist(), (address[first] - base).tolist(), (last - base).tolist(), strict=True)
    return [Part(*bounds) for bounds in ranges], part
