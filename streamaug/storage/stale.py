"""Whether an index file still fits its shard: a shard may be rewritten and its index forgotten.

In: an index's samples and the shard. Out: nothing, or the error. It looks at tar headers: the last member's and what
follows it for any shard; for a local shard that is newer than its index, all of them.
"""

import tarfile
from collections.abc import Sequence

from streamaug.errors import IndexFormatError
from streamaug.storage import local
from streamaug.storage.index import Sample
from streamaug.storage.stores import Storage
from streamaug.storage.tar import BLOCK, Member
from streamaug.storage.urls import is_local, locate, shown

_LARGEST_OCTAL = 8**11  # beyond it the size stands in another header
_ONE_REQUEST = 1 << 20  # the last member is read over, if it is no larger, to save a request


def check_fresh(storage: Storage, url: str, index: str, samples: Sequence[Sample], num_bytes: int) -> None:
    """Compare an index with the headers of its shard.

    Raises:
        IndexFormatError: If a header does not stand where the index says, or the shard ends without its marker.
    """
    if not samples:
        return
    every = [member for sample in samples for member in sample.members.values()]
    last = max(every, key=lambda member: member.offset)
    begin, end = last.offset - BLOCK, last.offset + -(-last.size // BLOCK) * BLOCK
    if end - begin <= _ONE_REQUEST:
        data = bytes(storage.read_some(url, begin, min(end + BLOCK, num_bytes)))
        header, after = data[:BLOCK], data[end - begin :]
    else:
        header = bytes(storage.read_some(url, begin, begin + BLOCK))
        after = bytes(storage.read_some(url, end, min(end + BLOCK, num_bytes)))
    _check(header, url, index, last)
    if len(after) < BLOCK or (any(after) and _header(after) is None):
        raise _stale(url, index, f"a header or the end-of-archive marker must stand at {end}")
    if is_local(url):
        newer = local.identity(locate(url).path).modified > local.identity(locate(index).path).modified
        for member in every if newer else every[:1]:
            _check(bytes(storage.read(url, member.offset - BLOCK, member.offset)), url, index, member)


def _check(block: bytes, url: str, index: str, member: Member) -> None:
    header = _header(block)
    if header is None or (header.size != member.size and member.size < _LARGEST_OCTAL):
        what = f"the header of {member.name!r}, {member.size} bytes, must stand at {member.offset - BLOCK}"
        raise _stale(url, index, what)


def _header(block: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None


def _stale(url: str, index: str, what: str) -> IndexFormatError:
    return IndexFormatError(
        f"{shown(index)}: must fit {shown(url)}: {what}, got something else. "
        "The shard was rewritten or cut after its index: write it again with `streamaug index`."
    )
