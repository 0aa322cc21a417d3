"""Reads ranges of local files by one `preadv` into memory of our own.

Measured on a page-cached 30 MB range, 2 cores, median of 12, two sittings: preadv into numpy memory 2.84 and 2.99 ms,
obstore's `get_range` 3.02 and 3.06 ms, `pread` 3.03 and 3.25 ms, `preadv` into a bytearray 3.41 and 4.32 ms.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np

from streamaug.errors import StorageError
from streamaug.storage.identity import Identity


def identity(path: str) -> Identity:
    """Size and time of a file.

    Raises:
        StorageError: If there is no such file, or it is a pipe or a device, whose reading may never end.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise unreadable(path, error) from error
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # opening a folder is the error of a folder
        kind = "pipe" if stat.S_ISFIFO(status.st_mode) else "socket" if stat.S_ISSOCK(status.st_mode) else "device"
        raise StorageError(
            f"{path}: the file must be a regular file, got a {kind}. Write its bytes to a file, or name the file's URL."
        )
    return Identity(status.st_size, "", status.st_mtime_ns)


def read(path: str, start: int, stop: int) -> tuple[memoryview, Identity]:
    """Bytes [start, stop) of a file, fewer at its end, and the file's identity while reading.

    Raises:
        StorageError: If the file cannot be opened or read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            data = np.empty(stop - start, np.uint8).data
            done = 0
            while done < len(data):
                count = os.preadv(descriptor, [data[done:]], start + done)
                if count == 0:
                    break
                done += count
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(path, error) from error
    return data[:done], Identity(status.st_size, "", status.st_mtime_ns)


def write(path: str, data: bytes) -> None:
    """Write a whole file atomically, by a temporary file beside it.

    Raises:
        StorageError: If it cannot be written.
    """
    temporary = Path(f"{path}.{os.getpid()}.tmp")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # a file system that cannot be written has nothing to clean up
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: the folder must be writable, got: {error.strerror or error}. Check its rights and space."
        ) from error


def unreadable(path: str, error: OSError) -> StorageError:
    """The error for a file that could not be read."""
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{path}: the file must exist, got none. Check the path.")
    return StorageError(
        f"{path}: the file must be readable, got: {error.strerror or error}. Check the path and rights."
    )
