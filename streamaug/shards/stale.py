"""Whether an index file still fits its shard: a shard may be rewritten and its index forgotten.

In: an index's samples and the shard. Out: nothing, or the error. It looks at tar headers: the last member's and what
follows it for any shard; for a local shard that is newer than its index, all of them.
"""

import re
import tarfile
from collections.abc import Sequence

from streamaug.errors import IndexFormatError, ShardError
from streamaug.shards.foreign import HEAD
from streamaug.shards.index import Sample
from streamaug.shards.tar import BLOCK, Member, not_a_tar
from streamaug.storage import local
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage

#: Bytes before a header in which one that extends it is looked for, and what it says of the size.
_LONGEST_EXTENSION = 64 << 10
_PAX_SIZE = re.compile(rb"(?:^|\n)\d+ size=(\d+)\n")
_ONE_REQUEST = 1 << 20  # the last member is read over, if it is no larger, to save a request


def check_fresh(
    storage: Storage, shard: Location, samples: Sequence[Sample], num_bytes: int, index: Location | None = None
) -> None:
    """Compare the index of a shard with the shard's headers.

    Args:
        storage: What reads it.
        shard: The shard.
        samples: The samples that its index lists.
        num_bytes: Its size.
        index: Its index; None: the one beside it.

    Raises:
        IndexFormatError: If a header does not stand where the index says, or the shard ends without its marker.
        ShardError: If something else came in the place of the shard, a web page for instance.
    """
    try:
        _compare(storage, shard, shard.index if index is None else index, samples, num_bytes)
    except IndexFormatError as error:
        raise instead_of_a_shard(storage, shard) or error from None


def instead_of_a_shard(storage: Storage, shard: Location) -> ShardError | None:
    """The error that names what a server sends in the place of a shard; None where that may be a tar."""
    head = storage.read_head(shard, HEAD)
    if head is None and shard.is_web:  # `read_head` takes a page for the answer of a server that has no such file
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
    if shard.is_local and index.is_local:
        newer = local.identity(shard.path).modified > local.identity(index.path).modified
        for member in every if newer else every[:1]:
            _check(storage, bytes(storage.read(shard, member.offset - BLOCK, member.offset)), shard, index, member)


def _check(storage: Storage, block: bytes, shard: Location, index: Location, member: Member) -> None:
    header = _header(block)
    if header is None or (header.size != member.size and _size_before(storage, shard, member) != member.size):
        what = f"the header of {member.name!r}, {member.size} bytes, must stand at {member.offset - BLOCK}"
        raise _stale(shard, index, what)


def _size_before(storage: Storage, shard: Location, member: Member) -> int | None:
    """The size that an extended header (pax) says of a member, which counts more than its own; None if there is none.

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
