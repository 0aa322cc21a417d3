"""A disk cache of blocks of remote objects, shared by all processes and jobs of a node.

In: a key that names a version of an object, and block numbers. Out: the block's bytes, verified, or nothing. It never
serves bytes that it cannot verify, and never holds more than its limit, files being written included. A killed process
leaves no work behind: a block that is being fetched is a file locked by its process, and the next process that takes
that lock deletes it.

Layout of the folder: `blocks/ab/<key>-<block>` are blocks with a footer; `writing/<key>-<block>` are blocks under way,
empty until their bytes have come; `lock` counts the bytes (`CacheSpace`).
"""

import errno
import hashlib
import os
import struct
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from crc32c import crc32c

from streamaug.errors import StorageError
from streamaug.storage.cache.locking import is_at, open_locked, unlock
from streamaug.storage.cache.space import CacheSpace
from streamaug.storage.options import CACHE_BLOCK, CACHE_RESERVE

_FOOTER = struct.Struct("<8sII")  # magic, CRC-32C, length
_MAGIC = b"saugblk1"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PAUSE_SECONDS = 60.0
#: Seconds between checks whether others need the disk.
_LOOK_SECONDS = 5.0
#: Bytes of old blocks to delete where a write fails although the disk reports free bytes, as with quotas.
_GIVE_BACK = 16 * CACHE_BLOCK
#: A block's time of use is kept to this precision: one write of metadata a minute and block at most.
_TOUCH_SECONDS = 60.0


class Claim(NamedTuple):
    """The right to fetch a block, or a whole object, which no other process or thread has meanwhile.

    Attributes:
        name: The name of the block or the object.
        path: The file under way.
        descriptor: The file, open and locked; -1 in an empty claim, where no block can be written.
    """

    name: str
    path: Path
    descriptor: int


class BlockCache:
    """Blocks on disk, least recently used ones deleted first.

    Args:
        folder: The folder of the blocks; made if absent.
        limit: Bytes of all files together, at every moment.
        min_free: Bytes of the disk that are left free; None: 10% of it or 10 GiB, the smaller.

    Raises:
        StorageError: If the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], limit: int, min_free: int | None = 0) -> None:
        self.folder = self.own_folder(folder)
        self._space = CacheSpace(self.folder, limit - CACHE_RESERVE, min_free)
        self._paused_until = 0.0
        self._next_look = 0.0
        try:
            self._make_folders()
        except OSError as error:
            if error.errno not in _FULL:
                raise StorageError(
                    f"StorageOptions.cache_dir: must be a folder that can be written, got {os.fspath(folder)!r}: "
                    f"{error.strerror or error}. Name another, or leave it out."
                ) from error
            self._pause(error)

    @staticmethod
    def own_folder(folder: str | os.PathLike[str]) -> Path:
        """The cache's own folder within `cache_dir`."""
        return Path(folder) / "streamaug-blocks-v1"

    def read_into(self, key: str, block: int, target: memoryview, start: int, stop: int) -> bool:
        """Copy bytes [start, stop) of a block into `target`, of the same length; False when it is absent or damaged."""
        path = self._path(block_name(key, block))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            length = status.st_size - _FOOTER.size
            whole = start == 0 and stop == length
            data = target if whole else np.empty(max(0, length), np.uint8).data
            footer = bytearray(_FOOTER.size)
            count = os.preadv(descriptor, [data, footer], 0)
            sound = count == status.st_size and stop <= length and _FOOTER.unpack(footer) == _stamp(data)
            if sound and time.time() - status.st_mtime > _TOUCH_SECONDS:
                with suppress(OSError):  # another user's block, or a disk mounted to be read: its time of use stays
                    os.utime(descriptor)
        except OSError:
            sound = False
        finally:
            os.close(descriptor)
        if not sound:
            with suppress(OSError):
                self._space.discard(path)
            return False
        if not whole:
            target[:] = data[start:stop]
        return True

    def keeps(self) -> bool:
        """Whether a block that is fetched now may be written; False for a while after the disk was full."""
        return time.monotonic() >= self._paused_until

    def claim(self, name: str) -> Claim | None:
        """The right to fetch the block or object of that name; None while another has it.

        The caller must release it. Where no block can be written, every caller gets an empty claim.
        """
        path = self.folder / "writing" / name
        if not self.keeps():
            return Claim(name, path, -1)
        try:
            while True:
                descriptor = open_locked(path, os.O_CREAT | os.O_RDWR)
                if descriptor is None:
                    return None
                if is_at(descriptor, path):  # it was not finished or deleted since it was opened
                    os.ftruncate(descriptor, 0)
                    return Claim(name, path, descriptor)
                unlock(descriptor)
        except FileNotFoundError:
            with suppress(OSError):
                self._make_folders()  # the folders were deleted
        except PermissionError:
            pass  # another user's
        except OSError as error:
            self._pause(error)
        return Claim(name, path, -1)

    def release(self, claim: Claim) -> None:
        """Give a claim up, and delete its file unless it is finished."""
        if claim.descriptor < 0:
            return
        with suppress(OSError):
            if is_at(claim.descriptor, claim.path):
                claim.path.unlink()
        unlock(claim.descriptor)

    def finish(self, claim: Claim, data: memoryview) -> None:
        """Keep a claimed block, if there is room on the disk; a full disk is a warning and a pause."""
        if claim.descriptor < 0 or not self.keeps():
            return
        try:
            try:
                self._keep(claim, data)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                # Others have filled the disk, or a quota counts: delete old blocks for new ones, and for others' files.
                os.ftruncate(claim.descriptor, 0)
                self._space.give_back(_GIVE_BACK)
                self._keep(claim, data)
        except FileNotFoundError:
            pass  # somebody deleted the folders
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(claim.descriptor, 0)
            self._pause(error)

    def _keep(self, claim: Claim, data: memoryview) -> None:
        size = len(data) + _FOOTER.size
        path = self._path(claim.name)
        with self._space.reserved(size) as granted:
            if granted:
                os.ftruncate(claim.descriptor, size)  # its final size, so that others count it whole
        if not granted:
            if self._space.is_short(size):
                self._pause(OSError(errno.ENOSPC, "less is free than StorageOptions.cache_min_free"))
            return
        _write_all(claim.descriptor, data, _FOOTER.pack(*_stamp(data)))
        path.parent.mkdir(exist_ok=True)
        claim.path.replace(path)

    def touch(self, claim: Claim) -> None:
        """Show processes that wait for a claim that its fetching goes on."""
        if claim.descriptor >= 0:
            with suppress(OSError):
                os.utime(claim.descriptor)

    def idle_seconds(self, name: str) -> float:
        """Seconds since the holder of a claim last touched it; 0 where no process holds the claim."""
        try:
            return time.time() - (self.folder / "writing" / name).stat().st_mtime
        except OSError:
            return 0.0

    def give_way(self) -> None:
        """Delete old blocks where others need the disk; checked every few seconds at most."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            with suppress(OSError):
                if self._space.is_short():
                    self._space.trim()

    def write(self, key: str, block: int, data: memoryview) -> None:
        """Keep a block, unless the cache has it or another process is fetching it."""
        name = block_name(key, block)
        if self._path(name).exists() or (claim := self.claim(name)) is None:
            return
        try:
            self.finish(claim, data)
        finally:
            self.release(claim)

    def trim(self) -> None:
        """Delete the least recently used blocks beyond the limit, or where others need the disk."""
        try:
            self._space.trim()
        except OSError as error:
            self._pause(error)

    def used(self) -> tuple[int, int]:
        """Bytes and number of blocks held, counted from the files."""
        return self._space.held()

    def clear(self) -> None:
        """Delete every block.

        Raises:
            StorageError: If the folder cannot be written.
        """
        try:
            self._space.clear()
        except OSError as error:
            raise StorageError(f"{self.folder}: must be a folder that can be written: {error.strerror}.") from error

    def _make_folders(self) -> None:
        for name in ("blocks", "writing"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / "blocks" / name[:2] / name

    def _pause(self, error: OSError) -> None:
        if self._paused_until == 0.0:
            warnings.warn(
                f"StorageOptions.cache_dir: {self.folder} cannot be written ({error.strerror or error}), so reading "
                "goes on without keeping more. Free space there, or lower StorageOptions.cache_limit.",
                UserWarning,
                stacklevel=4,
            )
        self._paused_until = time.monotonic() + _PAUSE_SECONDS


def key_of(url: str, size: int, tag: str) -> str:
    """The name of one version of an object: SHA-256 over its URL without secrets, size and etag, 32 hex digits."""
    return hashlib.sha256(f"{url}\0{size}\0{tag}".encode()).hexdigest()[:32]


def block_name(key: str, block: int) -> str:
    """The name of one block of an object, for its file and for claims."""
    return f"{key}-{block}"


def blocks_of(start: int, stop: int) -> range:
    """The blocks that hold bytes [start, stop)."""
    return range(start // CACHE_BLOCK, -(-stop // CACHE_BLOCK))


def _stamp(data: memoryview) -> tuple[bytes, int, int]:
    return _MAGIC, crc32c(data), len(data)


def _write_all(descriptor: int, data: memoryview, footer: bytes) -> None:
    """Write a block and its footer, whose last byte makes it valid."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], done)
    if os.pwrite(descriptor, footer, done) != len(footer):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
