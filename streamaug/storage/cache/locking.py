"""Locks between processes by `flock`, which a killed process leaves free.

A lock belongs to the open file, which a forked child shares. So a lock is given up explicitly, never by closing alone,
or the child would hold it for its whole life. No function here waits without an end.
"""

import errno
import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def locked(path: str | os.PathLike[str], *, patience: float) -> Iterator[int]:
    """A file, made if absent, locked against every other process and thread; yields its descriptor.

    Args:
        path: The file.
        patience: Seconds to wait for it.

    Raises:
        OSError: If it cannot be opened or locked; ETIMEDOUT if another process holds it for longer than `patience`.
    """
    until = time.monotonic() + patience
    while (descriptor := open_locked(path, os.O_CREAT | os.O_RDWR)) is None:
        if time.monotonic() > until:
            raise OSError(errno.ETIMEDOUT, f"locked for {patience:.0f} s by another process", os.fspath(path))
        time.sleep(random.uniform(0.0002, 0.002))
    try:
        yield descriptor
    finally:
        unlock(descriptor)


def open_locked(path: str | os.PathLike[str], flags: int) -> int | None:
    """Open a file and lock it; its descriptor, or None if another process has locked it.

    Raises:
        OSError: If it cannot be opened, or its file system has no locks.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def unlock(descriptor: int) -> None:
    """Give the lock up and close the file."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_at(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """Whether the path still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 - the pair of fstat
    except FileNotFoundError:
        return False
