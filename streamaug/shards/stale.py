"""Checks that an index file still fits its shard, which may have been rewritten since.

In: an index's samples and the shard. Out: nothing, or the error. It reads tar headers: for any shard the last member's
and, where other members follow it or room for a sample lies between two, theirs; all headers for a local shard that is
newer than its index.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from streamaug.errors import IndexFormatError, ShardError
from streamaug.shards.foreign import HEAD
from streamaug.shards.index import Sample, samples_of, start_of
from streamaug.shards.names import PassedOver
from streamaug.shards.tar import BLOCK, Member, headers_from, not_a_tar
from streamaug.storage import local
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage

#: Bytes before a header in which an extended header (pax) may stand, with the size that it gives.
_LONGEST_EXTENSION = 64 << 10
_PAX_SIZE = re.compile(rb"(?:^|\n)\d+ size=(\d+)\n")
#: Members behind the last of an index to look at; there are more only where many files are part of no sample.
_MOST_BEHIND = 64
#: Gaps of an index to look into, the largest ones, and members to look at in each: in shards whose other files are as
#: large as samples, every sample has such a gap.
_MOST_GAPS, _MOST_INSIDE = 2, 32
_LEAST_ROOM = 2 * BLOCK  # a sample's header and data
_AHEAD = 16 << 10  # bytes that are read with a header, since others may follow
_ONE_REQUEST = 1 << 20  # a last member up to this size is read through, to save a request


def check_fresh(
    storage: Storage, shard: Location, samples: Sequence[Sample], num_bytes: int, index: Location | None = None
) -> None:
    """Compare the index of a shard with the shard's headers.

    Args:
        storage: Reads the shard.
        shard: The shard.
        samples: The samples that its index lists.
        num_bytes: Its size.
        index: Its index; None: the index beside it.

    Raises:
        IndexFormatError: If a header does not stand where the index says, or the shard ends without its marker.
        ShardError: If the file is no shard, but a web page for instance.
    """
    try:
        _compare(storage, shard, shard.index if index is None else index, samples, num_bytes)
    except IndexFormatError as error:
        raise instead_of_a_shard(storage, shard) or error from None


def instead_of_a_shard(storage: Storage, shard: Location) -> ShardError | None:
    """The error for a file that a server sends in place of a shard; None where it may be a tar."""
    head = storage.read_head(shard, HEAD)
    # For `read_head` a page is the answer of a server that has no such file, and a compressed object is an object like
    # any other; as a part of a shard each is an error that says more.
    if shard.is_web or (head is not None and not shard.is_local):
        head = bytes(storage.read_some(shard, 0, HEAD))
    return None if head is None else not_a_tar(head, shard.shown)


def _compare(storage: Storage, shard: Location, index: Location, samples: Sequence[Sample], num_bytes: int) -> None:
    if not samples:
        return
    every = [member for sample in samples for member in sample.members.values()]
    last = max(every, key=lambda member: member.offset)
    begin, end = last.offset - BLOCK, last.offset + -(-last.size // BLOCK) * BLOCK
    if end - begin <= _ONE_REQUEST:
        data = bytes(storage.read_some(shard, begin, min(end + BLOCK, num_bytes)))
        header, after = data[:BLOCK], data[end - begin :]
    else:
        header = bytes(storage.read_some(shard, begin, begin + BLOCK))
        after = bytes(storage.read_some(shard, end, min(end + BLOCK, num_bytes)))
    _check(storage, header, shard, index, last)
    if len(after) < BLOCK or (any(after) and _header(after) is None):
        raise _stale(shard, index, f"a header or the end-of-archive marker must stand at {end}")
    if any(after):
        _check_behind(storage, shard, index, samples, end, num_bytes)
    for start, stop in _gaps(samples, every):
        _check_gap(storage, shard, index, samples, start, stop, num_bytes)
    if shard.is_local and index.is_local:
        newer = local.identity(shard.path).modified > local.identity(index.path).modified
        for member in every if newer else every[:1]:
            _check(storage, bytes(storage.read(shard, member.offset - BLOCK, member.offset)), shard, index, member)


def _check_behind(
    storage: Storage, shard: Location, index: Location, samples: Sequence[Sample], start: int, num_bytes: int
) -> None:
    """Refuse a sample behind the last data of the index.

    Other files, links that the index lists, and more files of its last sample may stand there.
    """
    infos = islice(headers_from(_Pieces(storage, shard, num_bytes), shard.shown, num_bytes, start), _MOST_BEHIND)
    last = samples[-1].key
    for sample in _samples(infos, shard):
        if sample.key != last:
            raise IndexFormatError(
                f"{index.shown}: must list every sample of {shard.shown}, got none of {sample.key!r}, behind its last. "
                "The shard grew after its index: write it again with `streamaug index`."
            )


def _gaps(samples: Sequence[Sample], every: Sequence[Member]) -> list[tuple[int, int]]:
    """The largest parts of a shard before its last listed member that belong to none, and have room for a sample.

    Each is (start, offset of the data of the next listed member): the headers of that member end it. Headers alone,
    those of folders and links among them, take less room than any listed sample does, but for tiny ones.
    """
    offsets = np.array([member.offset for member in every], np.int64)
    sizes = np.array([member.size for member in every], np.int64)
    ends = offsets + (sizes + BLOCK - 1) // BLOCK * BLOCK
    order = np.argsort(offsets, kind="stable")
    stops, starts = offsets[order], np.concatenate([[0], np.maximum.accumulate(ends[order])[:-1]])
    room = stops - BLOCK - starts
    between = room[1:][room[1:] >= 0]  # links share their data
    room -= between.min() if between.size else 0  # as much as every member's extended headers take
    if room.max() < _LEAST_ROOM:
        return []
    least = min(
        max(member.offset + member.size for member in sample.members.values()) - start_of(sample) for sample in samples
    )
    largest = np.argsort(-room, kind="stable")[:_MOST_GAPS]
    return [(int(starts[at]), int(stops[at])) for at in sorted(largest) if room[at] >= max(least, _LEAST_ROOM)]


def _check_gap(
    storage: Storage,
    shard: Location,
    index: Location,
    samples: Sequence[Sample],
    start: int,
    stop: int,
    num_bytes: int,
) -> None:
    """Refuse a sample between two members of the index.

    Other files, links and more files of the samples that it lists may stand there.
    """
    file = _Pieces(storage, shard, stop)
    file.seek(start)
    block = file.read(BLOCK)
    if not any(block):
        return  # a hole, or tars one after the other
    if _header(block) is None:
        raise _stale(shard, index, f"a header must stand at {start}")
    infos = list(islice(_before(stop, headers_from(file, shard.shown, num_bytes, start)), _MOST_INSIDE))
    found = list(_samples(infos, shard))
    listed = {sample.key for sample in samples}
    for sample in found if len(infos) < _MOST_INSIDE else found[:-1]:  # more members of the last may follow
        if sample.key not in listed:
            raise IndexFormatError(
                f"{index.shown}: must list every sample of {shard.shown}, got none of {sample.key!r}, at offset "
                f"{start_of(sample)}. The index is incomplete: write it again with `streamaug index`."
            )


def _before(stop: int, infos: Iterable[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    """The headers of the members before the one whose data begins at `stop`; reads no header for nothing."""
    for info in infos:
        if info.offset_data >= stop:
            return
        yield info
        if info.isreg() and info.offset_data + -(-info.size // BLOCK) * BLOCK >= stop - BLOCK:
            return


def _samples(infos: Iterable[tarfile.TarInfo], shard: Location) -> Iterator[Sample]:
    parts = (Member(info.name, info.offset_data, info.size) for info in infos if info.isreg())
    return samples_of(parts, shard.shown, PassedOver())


class _Pieces:
    """The beginning of a shard as a file of which only the bytes asked for are read, and some behind them."""

    def __init__(self, storage: Storage, shard: Location, num_bytes: int) -> None:
        self._storage, self._shard, self._num_bytes, self._at = storage, shard, num_bytes, 0
        self._held, self._held_from = b"", 0

    def read(self, size: int, /) -> bytes:
        stop = min(self._at + size, self._num_bytes)
        if self._at < self._held_from or stop > self._held_from + len(self._held):
            until = min(max(stop, self._at + _AHEAD), self._num_bytes)
            self._held, self._held_from = bytes(self._storage.read_some(self._shard, self._at, until)), self._at
        data = self._held[self._at - self._held_from : max(self._at, stop) - self._held_from]
        self._at += len(data)
        return data

    def seek(self, offset: int, /) -> int:
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at


def _check(storage: Storage, block: bytes, shard: Location, index: Location, member: Member) -> None:
    header = _header(block)
    if header is None or (header.size != member.size and _size_before(storage, shard, member) != member.size):
        what = f"the header of {member.name!r}, {member.size} bytes, must stand at {member.offset - BLOCK}"
        raise _stale(shard, index, what)


def _size_before(storage: Storage, shard: Location, member: Member) -> int | None:
    """The size of a member in an extended header (pax), which overrides its own; None without such a header.

    The extended header stands before the member's own, and is as long as its own size says.
    """
    end = member.offset - BLOCK
    start = max(0, end - _LONGEST_EXTENSION)
    blocks = bytes(storage.read_some(shard, start, end))
    for at in range(len(blocks) - 2 * BLOCK, -1, -BLOCK):
        header = _header(blocks[at : at + BLOCK])
        if header is None or header.type not in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            continue
        content = blocks[at + BLOCK :]
        size = _PAX_SIZE.search(content[: header.size])
        return int(size[1]) if size is not None and -(-header.size // BLOCK) * BLOCK == len(content) else None
    return None


def _header(block: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None


def _stale(shard: Location, index: Location, what: str) -> IndexFormatError:
    return IndexFormatError(
        f"{index.shown}: must fit {shard.shown}: {what}, got something else. "
        "The shard was rewritten or cut after its index: write it again with `streamaug index`."
    )
