"""Checks that an index file still fits its shard, which may have been rewritten since.

In: an index's samples and the shard. Out: nothing, or the error. It reads tar headers: the last member's and, where
members follow it, theirs, for any shard; all headers for a local shard that is newer than its index.
"""

import re
import tarfile
from collections.abc import Sequence
from itertools import islice

from streamaug.errors import IndexFormatError, ShardError
from streamaug.shards.foreign import HEAD
from streamaug.shards.index import Sample, samples_of
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
    error = None if head is None else not_a_tar(head, shard.shown)
    # For `read_head` a page is the answer of a server that has no such file, and a compressed object is an object like
    # any other; as a part of a shard each is an error that says more.
    if (head is None and shard.is_web) or (error is not None and not shard.is_local):
        return not_a_tar(bytes(storage.read_some(shard, 0, HEAD)), shard.shown)
    return error


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
    parts = (Member(info.name, info.offset_data, info.size) for info in infos if info.isreg())
    last = samples[-1].key
    for sample in samples_of(parts, shard.shown, PassedOver()):
        if sample.key != last:
            raise IndexFormatError(
                f"{index.shown}: must list every sample of {shard.shown}, got none of {sample.key!r}, behind its last. "
                "The shard grew after its index: write it again with `streamaug index`."
            )


class _Pieces:
    """A shard, local or remote, as a file of which only the bytes asked for are read.

    A `RangeFile` reads ahead and through gaps, to its advantage where every header is read; here a few are.
    """

    def __init__(self, storage: Storage, shard: Location, num_bytes: int) -> None:
        self._storage, self._shard, self._num_bytes, self._at = storage, shard, num_bytes, 0

    def read(self, size: int, /) -> bytes:
        data = bytes(self._storage.read_some(self._shard, self._at, min(self._at + size, self._num_bytes)))
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
