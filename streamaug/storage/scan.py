"""Finding the samples of a shard that has no index file: headers only for local files, one pass for remote ones.

In: a URL. Out: its samples. Remote shards are read in order, in ranges that are retried, checked and cached like any
other.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from streamaug.errors import StorageError
from streamaug.storage.index import Sample, group
from streamaug.storage.local import unreadable
from streamaug.storage.stores import Storage
from streamaug.storage.tar import BLOCK, Member, Seekable, members
from streamaug.storage.urls import is_local, locate, shown

_PIECE = 8 << 20
#: What is called with each member and the file that it can be read from.
Visit = Callable[[Member, Seekable], None]


def scan(storage: Storage, url: str, visit: Visit | None = None) -> tuple[list[Sample], int]:
    """The samples of a shard, and its size in bytes.

    Args:
        storage: Where it lies.
        url: Its name.
        visit: Called for each member in order, when the file may be read forward from it.

    Raises:
        StorageError: If it cannot be read.
        ShardError: If it is no valid shard.
    """
    if not is_local(url):
        size = storage.size(url)
        return list(group(_visited(RangeFile(storage, url, size), url, size, visit), url)), size
    path = Path(locate(url).path)
    size = storage.size(url)
    try:
        with path.open("rb", buffering=0) as file:
            samples = list(group(_visited(file, url, size, visit), url))
    except OSError as error:
        raise unreadable(str(path), error) from error
    storage.size(url)  # an error, if the file changed meanwhile
    return samples, size


def stream(storage: Storage, url: str, num_bytes: int) -> Iterator[tuple[Sample, dict[str, bytes]]]:
    """The samples of a shard one after the other, each with the bytes of its members by suffix.

    Raises:
        StorageError: If it cannot be read.
        ShardError: If it is no valid shard; the samples before the damage have come by then.
    """
    held: dict[int, bytes] = {}

    def keep(member: Member, file: Seekable) -> None:
        file.seek(member.offset)
        held[member.offset] = file.read(member.size)

    for sample in group(_visited(RangeFile(storage, url, num_bytes), url, num_bytes, keep), url):
        yield sample, {suffix: held[member.offset] for suffix, member in sample.members.items()}
        last = max(member.offset for member in sample.members.values())
        for offset in [offset for offset in held if offset <= last]:
            del held[offset]


def _visited(file: Seekable, url: str, size: int, visit: Visit | None) -> Iterator[Member]:
    for member in members(file, url, size):
        if visit is not None:
            visit(member, file)
        yield member


class RangeFile:
    """A remote object as a file that is read forward, piece by piece; it can go back by one tar header.

    Args:
        storage: Where it lies.
        url: Its name.
        size: Its size in bytes.
    """

    def __init__(self, storage: Storage, url: str, size: int) -> None:
        self._storage = storage
        self._url = url
        self._size = size
        self._at = 0
        self._held = bytearray()
        self._held_from = 0
        self._pieces: Iterator[memoryview] | None = None

    def seek(self, offset: int, /) -> int:
        """Go to an absolute offset, at most one header back."""
        self._at = offset
        return offset

    def tell(self) -> int:
        """The present offset."""
        return self._at

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end."""
        stop = min(self._at + size, self._size)
        while self._held_from + len(self._held) < stop:
            self._fetch()
        data = bytes(self._held[self._at - self._held_from : stop - self._held_from])
        self._at += len(data)
        return data

    def _fetch(self) -> None:
        end = self._held_from + len(self._held)
        keep = max(0, min(self._at, end - BLOCK) - self._held_from)
        del self._held[:keep]
        self._held_from += keep
        if self._pieces is None and self._storage.sends_whole(self._url):
            self._pieces = self._storage.stream(self._url, end)  # or each piece would cost the whole object
        if self._pieces is None:
            self._held += self._storage.read(self._url, end, min(end + _PIECE, self._size))
        else:
            piece = next(self._pieces, None)
            if piece is None:
                raise StorageError(f"{shown(self._url)}: must hold {self._size} bytes, got {end}. Copy it again.")
            self._held += piece
