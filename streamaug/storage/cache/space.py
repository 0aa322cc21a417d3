"""The bytes of the disk cache: counts those in use, and deletes the least recently used blocks.

In: sizes of blocks to be written. Out: whether they have room, in the cache's own limit and on its disk. The count is a
number in the file `lock`, changed under its lock by all processes of a node. Bytes are counted before they are written
and discounted after they are deleted, so the count is never too low; making room counts anew from the files.
"""

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamaug.storage.cache.locking import is_at, locked, open_locked, unlock

_COUNT = struct.Struct("<Q")
#: The count is locked for microseconds, and for seconds where room is made among a million blocks.
_LOCK_SECONDS = 20.0
#: The share of the disk, and the bytes, that stay free unless the user sets a number; the smaller of the two counts.
_FREE_SHARE, _FREE_BYTES = 0.1, 10 << 30
#: Bytes that all writers of a node seldom have under way; with less free than this, the files under way are counted.
_NEAR = 256 << 20
#: The share of the limit or the disk to free beyond need, so that room is not made for each block.
_SPARE = 1 / 20
#: File systems give files their bytes in pages of this size.
_PAGE = 4096


class CacheSpace:
    """The count of a cache's folder.

    Args:
        folder: The cache's own folder; files in `blocks/*/*` are finished, those in `writing/*` under way and locked by
            their writers.
        limit: Bytes of all files together, at every moment, each counted in whole pages.
        min_free: Bytes of the disk that are left free; None: 10% of it or 10 GiB, the smaller.
    """

    def __init__(self, folder: Path, limit: int, min_free: int | None) -> None:
        self._folder = folder
        self._limit = limit
        self._min_free = min_free
        self._threads = threading.Lock()

    @contextmanager
    def reserved(self, size: int) -> Iterator[bool]:
        """Whether a file of `size` bytes has room; if so it must have its size when this context ends.

        Raises:
            OSError: If the folder cannot be written, or another process holds its lock for too long.
        """
        size = _pages(size)
        with self._counting() as count:
            used = count.value
            if self._excess(used, size) > 0:
                used = self._make_room(size)
            granted = self._excess(used, size) <= 0
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
        """Delete the least recently used blocks that are beyond the limit, or that others need the disk for.

        Raises:
            OSError: As `reserved` does.
        """
        with self._counting() as count:
            if self._excess(count.value, 0) > 0:
                count.value = self._make_room(0)

    def is_short(self, size: int = 0) -> bool:
        """Whether the disk has less free than `size` and the bytes to leave free, by one system call.

        Raises:
            OSError: If the folder was deleted.
        """
        free, _, min_free = self._disk()
        return free < min_free + size

    def give_back(self, size: int) -> None:
        """Delete at least `size` bytes of the least recently used blocks, although the counts allow them.

        Raises:
            OSError: As `reserved` does.
        """
        with self._counting() as count:
            count.value = self._make_room(0, at_least=size)

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
            if not count.is_stored:
                count.value = self._under_way() + sum(_pages(size) for _, size, _ in self._blocks())
            yield count

    def _disk(self) -> tuple[int, int, int]:
        """Bytes of the disk: those free, all, and those to leave free."""
        status = os.statvfs(self._folder)
        free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
        if self._min_free is not None:
            return free, total, self._min_free
        return free, total, min(int(total * _FREE_SHARE), _FREE_BYTES)

    def _excess(self, used: int, size: int, spare: float = 0.0) -> int:
        """Bytes to delete, with spare room, so that `size` more bytes fit the limit and the disk.

        Args:
            used: Bytes in use.
            size: Bytes more.
            spare: Share of the limit, or of the disk, to free beyond need, where they do not fit.
        """
        over_limit = used + size - self._limit
        free, total, min_free = self._disk()
        over_disk = min_free + size - free
        if -_NEAR < over_disk <= 0:
            over_disk += self._unwritten()
        return max(
            over_limit + int(spare * self._limit) if over_limit > 0 else over_limit,
            over_disk + int(spare * total) if over_disk > 0 else over_disk,
        )

    def _make_room(self, size: int, at_least: int = 0) -> int:
        """Delete the least recently used blocks until `size` fits with spare room; returns the bytes then in use."""
        used = self._under_way()  # first: a block that is finished meanwhile counts twice, and is not missed
        blocks = sorted(self._blocks())
        used += sum(_pages(size) for _, size, _ in blocks)
        goal = used - max(at_least, self._excess(used, size, _SPARE))
        for _, freed, path in blocks:
            if used <= goal:
                break
            path.unlink(missing_ok=True)
            used -= _pages(freed)
        return used

    def _unwritten(self) -> int:
        """Bytes that the files under way will take, but that the disk still counts as free."""
        total = 0
        for entry in os.scandir(self._folder / "writing"):
            with suppress(OSError):
                status = entry.stat()
                total += max(0, status.st_size - 512 * status.st_blocks)
        return total

    def _blocks(self) -> Iterator[tuple[float, int, Path]]:
        """Time of use, size and path of every block."""
        for folder in (self._folder / "blocks").iterdir():
            with suppress(OSError):
                for entry in os.scandir(folder):
                    with suppress(OSError):
                        status = entry.stat()
                        yield status.st_mtime, status.st_size, Path(entry.path)

    def _under_way(self) -> int:
        """Bytes of the files being written; deletes files whose writer has ended."""
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
        self.is_stored = len(stored) == _COUNT.size
        self._value = _COUNT.unpack(stored)[0] if self.is_stored else 0

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
