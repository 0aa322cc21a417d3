"""Where wanted samples lie: byte ranges to fetch, and the place of every row in them.

In: a `Want` and the indexes of its shards. Out: a `Piece`, whose parts are ranges of 16 MB at most, cut where samples
end, and merged where the bytes between two wanted samples are fewer than a request is worth. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from streamaug.batch import Int64Array
from streamaug.reader.schedule import Want
from streamaug.shards import ShardIndex

MERGE_GAP = 256 << 10  # bytes that a request costs less to read than to skip
FOREIGN_GAP = 4 << 10  # the same where another rank reads them: headers and padding, no image
PART_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A byte range of a shard, [start, stop)."""

    shard: int
    start: int
    stop: int


@dataclass(slots=True, eq=False)
class Piece:
    """Samples fetched together.

    Attributes:
        want: Positions and samples, m of each.
        keys: m keys.
        parts: The ranges.
        part: int64 (m, C), the part that holds a component; -1 where the sample lacks it.
        begin: int64 (m, C), where the component begins in that part.
        end: int64 (m, C), where it ends.
        checksums: int64 (m, C) CRC-32C, -1 where no companion has one.
        num_bytes: What the parts hold together.
        taken: How many of the samples were delivered.
    """

    want: Want
    keys: list[str]
    parts: list[Part]
    part: Int64Array
    begin: Int64Array
    end: Int64Array
    checksums: Int64Array
    num_bytes: int
    taken: int = field(default=0)


def shards_of(starts: Int64Array, sample_ids: Int64Array) -> Int64Array:
    """The shard of each sample, int64 (m,); starts is (S+1,), the first sample of each shard."""
    return np.searchsorted(starts, sample_ids, side="right") - 1


def locate(want: Want, starts: Int64Array, indexes: Mapping[int, ShardIndex], *, exclusive: bool) -> Piece:
    """Turn a want into ranges, by the indexes of all its shards; exclusive: no other rank reads what lies between."""
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
    parts, part = _ranges(shards, offsets, sizes, MERGE_GAP if exclusive else FOREIGN_GAP)
    origin = np.array([each.start for each in parts] + [0], np.int64)[part]
    return Piece(
        want=want,
        keys=keys,
        parts=parts,
        part=part,
        begin=offsets - origin,
        end=offsets - origin + sizes,
        checksums=checksums,
        num_bytes=sum(each.stop - each.start for each in parts),
    )


def _ranges(shards: Int64Array, offsets: Int64Array, sizes: Int64Array, gap: int) -> tuple[list[Part], Int64Array]:
    """Ranges that cover all components that are there, and the number of the range of each component."""
    part = np.full(offsets.shape, -1, np.int64)
    rows, columns = np.nonzero(offsets >= 0)
    begins = offsets[rows, columns]
    by_place = np.lexsort((begins, shards[rows]))
    rows, columns, begins = rows[by_place], columns[by_place], begins[by_place]
    ends = begins + sizes[rows, columns]
    parts: list[Part] = []
    shard = first = last = -1
    row_before = -1
    for k, (row, begin, end) in enumerate(zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True)):
        here = int(shards[row])
        full = max(last, end) - first > PART_BYTES and row != row_before
        if here != shard or begin - last > gap or full:
            if shard >= 0:
                parts.append(Part(shard, first, last))
            shard, first, last = here, begin, end
        last, row_before = max(last, end), row
        part[row, columns[k]] = len(parts)
    if shard >= 0:
        parts.append(Part(shard, first, last))
    return parts, part
