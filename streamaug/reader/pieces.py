"""Where wanted samples lie: byte ranges to fetch, and the bytes of each row in them.

In: a `Want` and the indexes of its shards. Out: a `Piece`, whose parts are ranges of about a given size, cut where
samples end, and merged where reading the bytes between two wanted samples costs less than another request. Pure.
"""

from collections.abc import Mapping, Sequence
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
_STRIDE = 1 << 42  # more than a shard has bytes


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
    # Copies of a sample are located once for a want, and needed at the position of the first copy.
    ends = np.cumsum([len(want.positions) for want in wants]).tolist()
    owners = np.repeat(np.arange(len(wants)), np.diff(ends, prepend=0))
    all_positions = np.concatenate([want.positions for want in wants])
    all_samples = np.concatenate([want.sample_ids for want in wants])
    _, firsts, sample_of = np.unique(owners * starts[-1] + all_samples, return_index=True, return_inverse=True)
    owner, positions, samples = owners[firsts], all_positions[firsts], all_samples[firsts]
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
    # Ranges that cover the samples, those of a want after those of the want before, and the first position that needs
    # each.
    apart = positions < single_fetch_before
    gap = MERGE_GAP if may_read_gaps else FOREIGN_GAP
    of_shards, numbers = np.unique(owner * len(starts) + shards, return_inverse=True)
    ranges, part = _ranges(numbers, offsets, sizes, apart, gap, part_bytes)
    stretch, begins, stops = ranges
    needed = np.full(len(begins) + 1, np.iinfo(np.int64).max)  # the last is for components that no part holds
    np.minimum.at(needed, part, positions[:, None])
    part_owner, part_shard = np.divmod(of_shards[stretch], len(starts))
    first_parts = np.searchsorted(part_owner, np.arange(len(wants) + 1)).tolist()
    # Where in its range each component begins and ends; ranges are numbered within their want.
    begin = offsets - np.append(begins, 0)[part]
    part_in_want = np.where(part < 0, -1, part - np.array(first_parts)[owner][:, None])
    columns = [column[sample_of].T.tolist() for column in (part_in_want, begin, begin + sizes, checksums)]
    parts = [Part(*bounds) for bounds in zip(part_shard.tolist(), begins.tolist(), stops.tolist(), strict=True)]
    keys = [keys[number] for number in sample_of.tolist()]
    plain_positions, plain_samples, needs = all_positions.tolist(), all_samples.tolist(), needed.tolist()
    pieces, row = [], 0
    for want, end, first, last in zip(wants, ends, first_parts, first_parts[1:], strict=False):
        own, row = slice(row, end), end
        pieces.append(
            Piece(
                want=want,
                positions=plain_positions[own],
                sample_ids=plain_samples[own],
                keys=keys[own],
                spans=[Spans(*(values[own] for values in component)) for component in zip(*columns, strict=True)],
                parts=parts[first:last],
                needed=needs[first:last],
                num_bytes=sum(part.stop - part.start for part in parts[first:last]),
            )
        )
    return pieces


def _ranges(
    stretches: Int64Array,
    offsets: Int64Array,
    sizes: Int64Array,
    apart: npt.NDArray[np.bool_],
    gap: int,
    part_bytes: int,
) -> tuple[tuple[Int64Array, Int64Array, Int64Array], Int64Array]:
    """Ranges that cover all components that the samples have, and the number of the range of each component.

    Args:
        stretches: int64 (M,), for each sample the number, from 0, of the shard of a want; no range covers two.
        offsets: int64 (M, C), where the components begin in their shards, -1 where a sample lacks one.
        sizes: int64 (M, C), their bytes.
        apart: The samples that are to be ranges of their own.
        gap: The most bytes between two components of a range.
        part_bytes: The bytes of a range, which is larger by less than a sample.

    Returns:
        The ranges by stretch and place: int64 (P,) each, stretch, first byte, and one past the last. And int64 (M, C).
    """
    part = np.full(offsets.shape, -1, np.int64)
    rows, columns = np.nonzero(offsets >= 0)
    if not len(rows):
        return (rows, rows, rows), part
    # All components in one line of addresses, stretch after stretch.
    address = stretches[rows] * _STRIDE + offsets[rows, columns]
    by_address = np.argsort(address, kind="stable")
    rows, columns, address = rows[by_address], columns[by_address], address[by_address]
    ends = address + sizes[rows, columns]
    # Cut where the gap is too wide, and around samples that are to be parts of their own.
    other = np.concatenate([[True], rows[1:] != rows[:-1]])  # where another sample begins
    before = np.maximum.accumulate(np.concatenate([[address[0]], ends[:-1]]))
    cut = address - before > gap
    cut |= other & (apart[rows] | np.concatenate([[False], apart[rows[:-1]]]))
    cut[0] = True
    # Cut runs of bytes that are longer than a part: a sample belongs to the part in which it begins.
    position = np.arange(len(rows))
    whole = address[np.maximum.accumulate(np.where(cut, position, 0))]
    begins = np.maximum.accumulate(np.where(other | cut, position, 0))
    number = (address[begins] - whole) // part_bytes
    cut[1:] |= other[1:] & (number[1:] != number[:-1])
    # From the line of addresses back to places in shards.
    first = np.flatnonzero(cut)
    part[rows, columns] = np.cumsum(cut) - 1
    stretch, begin = np.divmod(address[first], _STRIDE)
    return (stretch, begin, np.maximum.reduceat(ends, first) - stretch * _STRIDE), part
