"""The bytes of the disk cache: how many are in use, and which blocks are deleted first.

In: sizes of blocks that are about to be written. Out: whether there is room for them, in the cache's own limit and on
its disk. The count is a number in the file `lock`, changed under its lock by all processes of a node. Bytes are counted
before they are written and discounted after they are deleted, so the count is never too low; making room counts anew
from the files.
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
#: More than all writers of a node have under way, as a rule: below it these are counted.
_NEAR = 256 << 20
#: Of the limit or the disk, what is freed beyond need, so that room is not made for each block.
_SPARE = 1 / 20
#: File systems give files their bytes in pages of this size.
_PAGE = 4096


class CacheSpace:
    """The count of a cache's folder.

    Args:
        folder: The cache's own; `blocks/*/*` are finished, `writing/*` under way and locked by their writers.
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
        """Whether a file of that many bytes may be; if so it must have its size when this ends.

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
        """Whether the disk has less free than `size` and what is to be left, as one call of the system says.

        Raises:
            OSError: If the folder is gone.
        """
        free, _, min_free = self._disk()
        return free < min_free + size

    def give_back(self, size: int) -> None:
        """Delete the least recently used blocks, `size` bytes of them or more, though the counts allow them.

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
        """Bytes of the disk that are free, all its bytes, and those to be left free."""
        status = os.statvfs(self._folder)
        free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
        if self._min_free is not None:
            return free, total, self._min_free
        return free, total, min(int(total * _FREE_SHARE), _FREE_BYTES)

    def _excess(self, used: int, size: int, spare: float = 0.0) -> int:
        """Bytes by which `size` more do not fit the limit or the disk; what is to be deleted for them, with spare room.

        Args:
            used: Bytes in use.
            size: Bytes more.
            spare: Share of the limit, or of the disk, that is wanted beyond, where they do not fit.
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
        """Delete the least recently used blocks until `size` fits with some to spare; the bytes then in use."""
        used = self._under_way()  # first: a block that is finished meanwhile is counted twice, and never missed
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
        """Bytes that the files under way will take, and the disk still counts as free."""
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
