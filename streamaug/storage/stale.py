"""Whether an index file still fits its shard: a shard may be rewritten and its index forgotten.

In: an index's samples and the shard. Out: nothing, or the error. It reads single tar headers, never data: the last
member's and what follows it for any shard, and for a local shard that is newer than its index, all of them.
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


def check_fresh(storage: Storage, url: str, index: str, samples: Sequence[Sample], num_bytes: int) -> None:
    """Compare an index with the headers of its shard.

    Raises:
        IndexFormatError: If a header does not stand where the index says, or the shard ends without its marker.
    """
    if not samples:
        return
    every = [member for sample in samples for member in sample.members.values()]
    last = max(every, key=lambda member: member.offset)
    end = last.offset + -(-last.size // BLOCK) * BLOCK
    after = bytes(storage.read_some(url, end, min(end + BLOCK, num_bytes)))
    if len(after) < BLOCK or (any(after) and _header(after) is None):
        raise _stale(url, index, f"a header or the end-of-archive marker must stand at {end}")
    suspects = [every[0], last]
    if is_local(url) and local.identity(locate(url).path)[1] > local.identity(locate(index).path)[1]:
        suspects = every
    for member in suspects:
        _check(storage, url, index, member)


def _check(storage: Storage, url: str, index: str, member: Member) -> None:
    header = _header(bytes(storage.read(url, member.offset - BLOCK, member.offset)))
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
