"""The bytes of the disk cache: how many are in use, and whose turn it is to go.

In: sizes of blocks that are about to be written. Out: whether they may be. The count is a number in the file `lock`,
changed under its lock by all processes of a node. Bytes are counted before they are written and discounted after they
are deleted, so the count is never too low; making room counts anew from the files.
"""

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamaug.storage.locking import is_at, locked, open_locked, unlock

_COUNT = struct.Struct("<Q")
#: The count is locked for microseconds, and for seconds where room is made among a million blocks.
_LOCK_SECONDS = 20.0
#: What file systems give files in.
_PAGE = 4096


class CacheSpace:
    """The count of a cache's folder.

    Args:
        folder: The cache's own; `blocks/*/*` are finished, `writing/*` under way and locked by their writers.
        limit: Bytes of all files together, at every moment, each counted in whole pages.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._threads = threading.Lock()

    @contextmanager
    def reserved(self, size: int) -> Iterator[bool]:
        """Whether a file of that many bytes may be; if so it must have its size when this ends.

        Raises:
            OSError: If the folder cannot be written, or another process holds its lock for too long.
        """
        size = _pages(size)
        with self._counting() as count:
            used = count.value
            if used + size > self._limit:
                used = self._make_room(size)
            granted = used + size <= self._limit
            count.value = used + size if granted else used
            yield granted

    def discard(self, path: Path) -> None:
        """Delete a block.

        Raises:
            OSError: As `reserved` does.
        """
        with self._counting() as count:
            size = _pages(path.stat().st_size)
            path.unlink()
            count.value = max(0, count.value - size)

    def trim(self) -> None:
        """Delete the least recently used blocks that are beyond the limit, which may have been higher before.

        Raises:
            OSError: As `reserved` does.
        """
        with self._counting() as count:
            if count.value > self._limit:
                count.value = self._make_room(0)

    def clear(self) -> None:
        """Delete every block.

        Raises:
            OSError: As `reserved` does.
        """
        with self._counting() as count:
            under_way = self._under_way()
            for _, _, path in list(self._blocks()):
                path.unlink(missing_ok=True)
            count.value = under_way

    def held(self) -> tuple[int, int]:
        """Bytes and number of blocks held, counted from the files."""
        sizes = [size for _, size, _ in self._blocks()]
        return sum(sizes), len(sizes)

    @contextmanager
    def _counting(self) -> "Iterator[_Count]":
        """The count of bytes, locked against every other process and thread."""
        with self._threads, locked(self._folder / "lock", patience=_LOCK_SECONDS) as descriptor:
            count = _Count(descriptor)
            if not count.known:
                count.value = self._under_way() + sum(_pages(size) for _, size, _ in self._blocks())
            yield count

    def _make_room(self, size: int) -> int:
        """Delete the least recently used blocks until `size` fits with a twentieth to spare; the bytes then in use."""
        used = self._under_way()  # first: a block that is finished meanwhile is counted twice, and never missed
        blocks = sorted(self._blocks())
        used += sum(_pages(size) for _, size, _ in blocks)
        goal = self._limit - size - self._limit // 20
        for _, freed, path in blocks:
            if used <= goal:
                break
            path.unlink(missing_ok=True)
            used -= _pages(freed)
        return used

    def _blocks(self) -> Iterator[tuple[float, int, Path]]:
        """Time of use, size and path of every block."""
        for folder in (self._folder / "blocks").iterdir():
            with suppress(OSError):
                for entry in os.scandir(folder):
                    with suppress(OSError):
                        status = entry.stat()
                        yield status.st_mtime, status.st_size, Path(entry.path)

    def _under_way(self) -> int:
        """Bytes of the files being written; those whose writer is gone are deleted."""
        total = 0
        for entry in os.scandir(self._folder / "writing"):
            with suppress(OSError):
                descriptor = open_locked(entry.path, os.O_RDONLY)
                if descriptor is None:
                    total += _pages(entry.stat().st_size)
                    continue
                with suppress(OSError):
                    if is_at(descriptor, entry.path):
                        Path(entry.path).unlink()
                unlock(descriptor)
        return total


class _Count:
    """The number in the lock file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        stored = os.pread(descriptor, _COUNT.size, 0)
        self.known = len(stored) == _COUNT.size
        self._value = _COUNT.unpack(stored)[0] if self.known else 0

    @property
    def value(self) -> int:
        return int(self._value)

    @value.setter
    def value(self, value: int) -> None:
        self._value = value
        os.pwrite(self._descriptor, _COUNT.pack(value), 0)


def _pages(size: int) -> int:
    """The bytes that a file of that size occupies."""
    return -(-size // _PAGE) * _PAGE
