"""`FileSource`: samples that are single files, on disk or in object storage, read a little ahead of their use.

In: paths or URLs. Out: the files' bytes, or the reason why a file cannot be read. A failure that may pass, of a disk or
of a server that does not answer, ends the run instead.
"""

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, TypeVar

from streamaug.errors import StorageError
from streamaug.making.listing import Content, Source, Unusable
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.local import unreadable
from streamaug.storage.location import Location
from streamaug.storage.remote.failures import ForbiddenError, MissingError

T = TypeVar("T")

#: Error numbers after which another try is useless: the file does not exist, or is not for us.
_LASTING = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENXIO,
        errno.EINVAL,
    }
)
#: Samples that a thread reads in one go; singly each would cost a hand-over of some 50 µs.
_GROUP = 16
_THREADS_LOCAL, _THREADS_REMOTE = 8, 16
#: Files that take longer on average are worth a thread that waits for them; from the page cache a file takes 0.05 ms,
#: and the hand-overs between threads would cost a third of the CPU time of copying (measured on 110 kB files).
_SLOW_SECONDS, _SLOW_IN_ALL = 2e-3, 0.25


class FileSource(Source):
    """Reads files by path, relative to a folder, or by URL.

    Args:
        root: Folder of relative paths.
        is_remote: Whether some files are URLs of object storage.
        options: The options of object storage.
    """

    def __init__(self, root: str, options: StorageOptions, *, is_remote: bool = False) -> None:
        self._root = root
        self._inside = os.path.join(root, "")  # noqa: PTH118 - "" stays "", any other ends in a slash
        self.options = options
        self.is_remote = is_remote

    def describe(self, ref: str) -> str:
        """The path or URL."""
        return Location.parse(self.url(ref)).shown

    def url(self, ref: str) -> str:
        """The file's path or URL."""
        return ref if "://" in ref else os.path.join(self._root, ref)  # noqa: PTH118 - called for each sample

    def _path(self, ref: str) -> str:
        if "://" in ref:
            return Location.parse(ref).path
        return ref if ref.startswith("/") else self._inside + ref

    def read(self, refs: Sequence[str]) -> Iterator[Content | Unusable]:
        """The files' bytes."""
        if not self.is_remote:
            return one_by_one(lambda ref: read_file(self._path(ref)), refs)
        storage = Storage(self.options)
        return ahead(lambda ref: _read_any(storage, self.url(ref)), refs, threads=_THREADS_REMOTE, group=1)


def one_by_one(read: Callable[[Any], T], refs: Sequence[Any]) -> Iterator[T]:
    """`read(ref)` of all local refs, in order; where the disk turns out to be slow, the rest of them by threads."""
    waited = 0.0
    for number, ref in enumerate(refs, 1):
        began = time.perf_counter()
        content = read(ref)
        waited += time.perf_counter() - began
        yield content
        if waited > max(_SLOW_IN_ALL, number * _SLOW_SECONDS):
            yield from ahead(read, refs[number:], threads=_THREADS_LOCAL, group=4)
            return


def ahead(read: Callable[[Any], T], refs: Sequence[Any], *, threads: int, group: int = _GROUP) -> Iterator[T]:
    """`read(ref)` of all, in order, by threads that are ahead by at most two groups each."""
    groups = (refs[start : start + group] for start in range(0, len(refs), group))
    with ThreadPoolExecutor(threads) as pool:
        under_way: deque[Future[list[T]]] = deque()
        try:
            for some in groups:
                under_way.append(pool.submit(lambda some: [read(ref) for ref in some], some))
                if len(under_way) > 2 * threads:
                    yield from under_way.popleft().result()
            yield from chain.from_iterable(future.result() for future in under_way)
        finally:
            for future in under_way:
                future.cancel()


def read_file(path: str) -> Content | Unusable:
    """The bytes of a local file.

    Raises:
        StorageError: If the disk fails.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # to open a pipe would wait for a writer
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                return Unusable("the file cannot be read: it is a pipe, a socket or a device")
            size = status.st_size
            data = os.read(descriptor, size + 1)  # a byte more, so that one call shows whether this is all
            if len(data) == size:
                return Content(data)
            with open(descriptor, "rb", buffering=0, closefd=False) as file:  # changing, or of 2 GB
                return Content(data + file.readall())
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _LASTING:
            raise unreadable(path, error) from error
        return Unusable(f"the file cannot be read: {error.strerror}")
    except ValueError:  # a name with a null byte
        return Unusable("the file cannot be read: no file has such a name")


def _read_any(storage: Storage, url: str) -> Content | Unusable:
    location = Location.parse(url)
    if location.is_local:
        return read_file(location.path)
    data = storage.read_all(location)
    return Unusable("there is no such object, or no right to read it") if data is None else Content(data)


def sizes(source: FileSource, refs: Sequence[str]) -> list[int]:
    """The size of each file in bytes; -1 where it does not exist.

    Raises:
        StorageError: If a store does not answer.
    """
    storage = Storage(source.options)

    def size(ref: str) -> int:
        file = Location.parse(source.url(ref))
        if file.is_local:
            try:
                return os.stat(file.path).st_size  # noqa: PTH116 - called for each sample
            except (OSError, ValueError):
                return -1
        try:
            return storage.size(file)
        except StorageError as error:
            if isinstance(error.__cause__, MissingError | ForbiddenError):
                return -1
            raise

    threads = _THREADS_REMOTE if source.is_remote else 8
    return list(ahead(size, refs, threads=threads, group=1 if source.is_remote else 256))


def stem(name: str) -> tuple[str, str]:
    """A path without the suffix of its file, and the suffix in lower case: "a/b.c.JPG" is ("a/b.c", "jpg")."""
    base, dot, suffix = name.rpartition(".")
    if not dot or "/" in suffix:
        return name, ""
    return base, suffix.lower()
