"""Checks that an index file still fits its shard, which may have been rewritten since.

In: an index's samples and the shard. Out: nothing, or the error. It reads tar headers: the last member's for any shard,
and all for a local shard that is newer than its index. `unlisted` looks for samples that the index lacks.
"""

import re
import tarfile
from collections.abc import Sequence

from streamaug.errors import IndexFormatError, ShardError
from streamaug.shards.foreign import HEAD
from streamaug.shards.index import Sample
from streamaug.shards.tar import BLOCK, Member, header_of, not_a_tar
from streamaug.shards.unlisted import Unlisted, stale_error
from streamaug.storage import local
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage

#: Bytes before a header in which an extended header (pax) may stand, with the size that it gives.
_LONGEST_EXTENSION = 64 << 10
_PAX_SIZE = re.compile(rb"(?:^|\n)\d+ size=(\d+)\n")
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
    if len(after) < BLOCK or (any(after) and header_of(after) is None):
        raise stale_error(shard, index, f"a header or the end-of-archive marker must stand at {end}")
    search = Unlisted(storage, shard, index, samples, num_bytes)
    if any(after):
        search.refuse_behind(end)
    search.refuse_between()
    if shard.is_local and index.is_local:
        newer = local.identity(shard.path).modified > local.identity(index.path).modified
        for member in every if newer else every[:1]:
            _check(storage, bytes(storage.read(shard, member.offset - BLOCK, member.offset)), shard, index, member)


def _check(storage: Storage, block: bytes, shard: Location, index: Location, member: Member) -> None:
    header = header_of(block)
    if header is None or (header.size != member.size and _size_before(storage, shard, member) != member.size):
        what = f"the header of {member.name!r}, {member.size} bytes, must stand at {member.offset - BLOCK}"
        raise stale_error(shard, index, what)


def _size_before(storage: Storage, shard: Location, member: Member) -> int | None:
    """The size of a member in an extended header (pax), which overrides its own; None without such a header.

    The extended header stands before the member's own, and is as long as its own size says.
    """
    end = member.offset - BLOCK
    start = max(0, end - _LONGEST_EXTENSION)
    blocks = bytes(storage.read_some(shard, start, end))
    for at in range(len(blocks) - 2 * BLOCK, -1, -BLOCK):
        header = header_of(blocks[at : at + BLOCK])
        if header is None or header.type not in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            continue
        content = blocks[at + BLOCK :]
        size = _PAX_SIZE.search(content[: header.size])
        return int(size[1]) if size is not None and -(-header.size // BLOCK) * BLOCK == len(content) else None
    return None
