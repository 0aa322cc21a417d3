"""Where wanted samples lie: byte ranges to fetch, and the bytes of each row in them.

In: a `Want` and the indexes of its shards. Out: a `Piece`, whose parts are ranges of about a given size, cut where
samples end, and merged where reading the bytes between two wanted samples costs less than another request; `covering`
cuts and merges. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streamaug.batch import Int64Array
from streamaug.reader.covering import covering
from streamaug.reader.schedule import Want
from streamaug.shards.catalogue import shards_of
from streamaug.shards.index import ShardIndex

MERGE_GAP = 256 << 10  # bytes that a request costs less to read than to skip
FOREIGN_GAP = 4 << 10  # where another rank reads the bytes between: headers and padding, but no image


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
    """Turn a want into ranges; the arguments are those of `locate_all`."""
    (piece,) = locate_all(
        [want],
        starts,
        indexes,
        may_read_gaps=may_read_gaps,
        part_bytes=part_bytes,
        single_fetch_before=single_fetch_before,
    )
    return piece


def locate_all(
    wants: Sequence[Want],
    starts: Int64Array,
    indexes: Mapping[int, ShardIndex],
    *,
    may_read_gaps: bool,
    part_bytes: int,
    single_fetch_before: int,
) -> list[Piece]:
    """Turn each of several wants, at least one, into ranges of its own.

    All go through numpy together: for a want of a few samples its calls cost ten times what the samples do.

    Args:
        wants: The samples.
        starts: int64 (S + 1,), the first sample of each shard.
        indexes: The indexes of all shards of the wants.
        may_read_gaps: Whether a part may hold the bytes between two wanted samples.
        part_bytes: A part is larger by less than a sample.
        single_fetch_before: Samples of earlier positions are parts of their own, so that no batch waits for the bytes
            around them.
    """
    samples = _distinct(wants, starts)
    rows = _rows_of(samples, starts, indexes)
    ranges = _ranges_of(
        samples,
        rows,
        num_shards=len(starts) - 1,
        gap=MERGE_GAP if may_read_gaps else FOREIGN_GAP,
        part_bytes=part_bytes,
        single_fetch_before=single_fetch_before,
    )
    return _pieces(wants, samples, rows, ranges)


class _Samples(NamedTuple):
    """The samples of several wants in one line, want after want; a want's copies of a sample are one of the N.

    Attributes:
        owner: int64 (N,), the number of the want.
        positions: int64 (N,), the first position that needs it.
        sample_ids: int64 (N,).
        shards: int64 (N,).
        wanted_positions: int64 (M,), all positions of the wants.
        wanted_ids: int64 (M,), the samples there.
        number_of: int64 (M,), their numbers among the N.
    """

    owner: Int64Array
    positions: Int64Array
    sample_ids: Int64Array
    shards: Int64Array
    wanted_positions: Int64Array
    wanted_ids: Int64Array
    number_of: Int64Array


class _Rows(NamedTuple):
    """The rows of the indexes for N samples.

    Attributes:
        keys: N keys.
        offsets: int64 (N, C), where the components begin in their shards, -1 where a sample lacks one.
        sizes: int64 (N, C), their bytes.
        checksums: int64 (N, C), -1 where the shard has none.
    """

    keys: list[str]
    offsets: Int64Array
    sizes: Int64Array
    checksums: Int64Array


class _Ranges(NamedTuple):
    """P ranges that cover the samples, those of a want after those of the want before.

    Attributes:
        owner: int64 (P,), the number of the want.
        shard: int64 (P,).
        start: int64 (P,), the first byte.
        stop: int64 (P,), one past the last byte.
        needed: int64 (P,), the first position that needs the range.
        of: int64 (N, C), the number of the range that holds a component, -1 where the sample lacks it.
    """

    owner: Int64Array
    shard: Int64Array
    start: Int64Array
    stop: Int64Array
    needed: Int64Array
    of: Int64Array


def _distinct(wants: Sequence[Want], starts: Int64Array) -> _Samples:
    """The samples of the wants: copies are located once for a want, and needed at the position of the first copy."""
    owners = np.repeat(np.arange(len(wants)), [len(want.positions) for want in wants])
    positions = np.concatenate([want.positions for want in wants])
    ids = np.concatenate([want.sample_ids for want in wants])
    _, firsts, number_of = np.unique(owners * starts[-1] + ids, return_index=True, return_inverse=True)
    distinct = ids[firsts]
    shards = shards_of(starts, distinct)
    return _Samples(owners[firsts], positions[firsts], distinct, shards, positions, ids, number_of)


def _rows_of(samples: _Samples, starts: Int64Array, indexes: Mapping[int, ShardIndex]) -> _Rows:
    """The rows of the indexes for the samples."""
    count, components = len(samples.sample_ids), next(iter(indexes.values())).offsets.shape[1]
    found = _Rows(
        keys=[""] * count,
        offsets=np.full((count, components), -1, np.int64),
        sizes=np.zeros((count, components), np.int64),
        checksums=np.full((count, components), -1, np.int64),
    )
    for shard in np.unique(samples.shards).tolist():
        index = indexes[shard]
        rows = np.flatnonzero(samples.shards == shard)
        local = samples.sample_ids[rows] - starts[shard]
        found.offsets[rows], found.sizes[rows] = index.offsets[local], index.sizes[local]
        for row, number in zip(rows.tolist(), local.tolist(), strict=True):
            found.keys[row] = index.keys[number]
        if index.checksums is not None:
            found.checksums[rows] = index.checksums[local]
    return found


def _ranges_of(
    samples: _Samples, rows: _Rows, *, num_shards: int, gap: int, part_bytes: int, single_fetch_before: int
) -> _Ranges:
    """The ranges that cover the samples, none of two wants, and the first position that needs each."""
    stretches, numbers = np.unique(samples.owner * num_shards + samples.shards, return_inverse=True)
    apart = samples.positions < single_fetch_before
    (stretch, start, stop), of = covering(numbers, rows.offsets, rows.sizes, apart, gap, part_bytes)
    needed = np.full(len(start) + 1, np.iinfo(np.int64).max)  # the last is for components that no range holds
    np.minimum.at(needed, of, samples.positions[:, None])
    owner, shard = np.divmod(stretches[stretch], num_shards)
    return _Ranges(owner, shard, start, stop, needed[:-1], of)


def _pieces(wants: Sequence[Want], samples: _Samples, rows: _Rows, ranges: _Ranges) -> list[Piece]:
    """A piece for each want, as plain numbers; ranges are numbered within their want."""
    first_parts = np.searchsorted(ranges.owner, np.arange(len(wants) + 1))
    # Where in its range each component begins and ends.
    begin = rows.offsets - np.append(ranges.start, 0)[ranges.of]
    part = np.where(ranges.of < 0, -1, ranges.of - first_parts[samples.owner][:, None])
    spans = [column[samples.number_of].T.tolist() for column in (part, begin, begin + rows.sizes, rows.checksums)]
    bounds = zip(ranges.shard.tolist(), ranges.start.tolist(), ranges.stop.tolist(), strict=True)
    parts, needed = [Part(*bound) for bound in bounds], ranges.needed.tolist()
    keys = [rows.keys[number] for number in samples.number_of.tolist()]
    positions, sample_ids = samples.wanted_positions.tolist(), samples.wanted_ids.tolist()
    pieces, row = [], 0
    for want, (first, last) in zip(wants, pairwise(first_parts.tolist()), strict=True):
        own = slice(row, row + len(want.positions))
        row = own.stop
        pieces.append(
            Piece(
                want=want,
                positions=positions[own],
                sample_ids=sample_ids[own],
                keys=keys[own],
                spans=[Spans(*(values[own] for values in component)) for component in zip(*spans, strict=True)],
                parts=parts[first:last],
                needed=needed[first:last],
                num_bytes=sum(part.stop - part.start for part in parts[first:last]),
            )
        )
    return pieces
