"""Indexes of remote shards without an index file, made once a node and kept in the user's cache.

In: a version of a remote shard. Out: its index, if a process of this user has made it before. When several processes
need an index at the same time, the first makes it and the others wait. The cache only saves time: where it cannot be
used, counting goes on without it.

Layout: `<cache>/streamaug/indexes/ab/<key>`, a line of ours and DALI's text; `locks/ab` is held while an index is made.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from streamaug.errors import ShardError, StorageError
from streamaug.shards.checksum import crc32c
from streamaug.shards.index import Sample, read_index, write_index
from streamaug.storage.cache.blocks import key_of
from streamaug.storage.cache.locking import open_locked, unlock
from streamaug.storage.cancellation import cancellation
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage

_MAGIC = "streamaug-scan-1"
_BUSY, _NONE = -1, -2
#: The bound of the length of our line.
_LINE = 128
#: Seconds between tries of a lock, and seconds after which waiting for it ends.
_PAUSE, _PATIENCE = 0.05, 1800.0
#: Seconds without use after which an index is deleted.
_KEPT_SECONDS = 90 * 86400.0


class Kept(NamedTuple):
    """The fields in the first line of an index."""

    num_samples: int
    num_bytes: int


class NodeCache:
    """The user's cache; used by any number of threads and processes.

    Args:
        folder: Its folder; made when the first index is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._swept = False

    @classmethod
    def of_user(cls) -> "NodeCache":
        """`$XDG_CACHE_HOME/streamaug`, else `~/.cache/streamaug`."""
        named = os.environ.get("XDG_CACHE_HOME", "")
        folder = Path(named) if Path(named).is_absolute() else Path("~/.cache").expanduser()
        return cls(folder / "streamaug")

    @property
    def is_usable(self) -> bool:
        """Whether indexes can be kept in it."""
        try:
            self._in("locks").mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # the user has no home folder
            return False
        return os.access(self.folder, os.W_OK)

    @staticmethod
    def key(storage: Storage, shard: Location) -> str | None:
        """The key of the present version of a remote shard; None where its store sends no version.

        Raises:
            StorageError: If it cannot be reached.
        """
        identity = storage.identity(shard)
        if not identity.tag:
            return None
        return key_of(f"{storage.options.endpoint or ''}\0{shard.unsigned}", identity.size, identity.tag)

    def count(self, key: str) -> Kept | None:
        """The number of samples of a kept index; None if none is kept."""
        try:
            with self._file(key).open("rb") as file:
                kept = _first_line(file.read(_LINE))
        except OSError:
            return None
        return None if kept is None else kept[0]

    def read(self, key: str, shard: Location) -> list[Sample] | None:
        """The samples that a kept index lists; None if none is kept, or it is damaged."""
        try:
            data = self._file(key).read_bytes()
            os.utime(self._file(key))
        except OSError:
            return None
        kept = _first_line(data[:_LINE])
        text = data.partition(b"\n")[2]
        if kept is None or crc32c(text) != kept[1]:
            return None
        try:
            return list(read_index(text.decode("utf-8", "surrogateescape"), shard.shown, kept[0].num_bytes))
        except ShardError:
            return None

    def write(self, key: str, samples: Sequence[Sample], num_bytes: int) -> bool:
        """Keep an index; False if it could not be written."""
        text = write_index(samples).encode("utf-8", "surrogateescape")
        line = f"{_MAGIC} {len(samples)} {num_bytes} {crc32c(text):08x}\n".encode()
        try:
            self._sweep()
            file = self._file(key)
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
            try:
                with os.fdopen(descriptor, "wb") as new:
                    new.write(line + text)
                Path(temporary).replace(file)
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError:
            return False
        return True

    @contextmanager
    def making(self, key: str) -> Iterator[None]:
        """Hold the right to make an index; wait while another process or thread has it, for half an hour at most.

        Raises:
            StorageError: If the wait is given up, since the reader was closed.
        """
        descriptor, until = self._locked(key), time.monotonic() + _PATIENCE
        while descriptor == _BUSY and time.monotonic() < until:
            if cancellation.wait(_PAUSE):
                raise StorageError("shards: counting was given up, since its reader was closed.")
            descriptor = self._locked(key)
        try:
            yield
        finally:
            if descriptor >= 0:
                unlock(descriptor)

    def _locked(self, key: str) -> int:
        """The descriptor of the lock; `_BUSY` while another has it, `_NONE` where the file system has no locks."""
        path = self._in("locks", key[:2])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = open_locked(path, os.O_CREAT | os.O_RDWR)
        except OSError:
            return _NONE
        return _BUSY if descriptor is None else descriptor

    def _file(self, key: str) -> Path:
        return self._in("indexes", key[:2]) / key

    def _in(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    def _sweep(self) -> None:
        """Delete indexes that were not used for long, once a process."""
        if self._swept:
            return
        self._swept = True
        before = time.time() - _KEPT_SECONDS
        for file in self._in("indexes").glob("*/*"):
            with suppress(OSError):
                if file.stat().st_mtime < before:
                    file.unlink()


def _first_line(head: bytes) -> tuple[Kept, int] | None:
    """The fields of the first line, and the checksum of the text behind it; None for another line."""
    fields = head.partition(b"\n")[0].decode("ascii", "replace").split(" ")
    if len(fields) != 4 or fields[0] != _MAGIC:
        return None
    try:
        return Kept(int(fields[1]), int(fields[2])), int(fields[3], 16)
    except ValueError:
        return None
