"""`Storage`: the bytes of any URL, or an error that names it.

In: paths, URLs or locations of shards, and byte ranges. Out: exactly the bytes asked for, in one piece, from the local
file, the disk cache or the network. It checks every read for its length and against the version that was read first, so
that an object which changes while it is read is an error and never a mixture. It never interprets the bytes.
"""

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial

from streamaug.encoded import Encoded
from streamaug.errors import StorageError
from streamaug.storage import local
from streamaug.storage.cache.blocks import BlockCache, key_of
from streamaug.storage.cache.reader import CachedReader, Source
from streamaug.storage.cancellation import cancellation
from streamaug.storage.counting import counting
from streamaug.storage.identity import Identity, Versions
from streamaug.storage.location import Location
from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.failures import ForbiddenError, MissingError, PageError
from streamaug.storage.remote.objects import RemoteObjects
from streamaug.storage.remote.page import is_page
from streamaug.storage.remote.providers import PROVIDERS
from streamaug.storage.remote.range_read import WholeSentError

#: The failures for which an optional file counts as absent.
_NOT_THERE = (FileNotFoundError, NotADirectoryError, MissingError, ForbiddenError, PageError)
#: An object, by its path or URL, or by a parsed location.
Url = str | Location


class Storage:
    """Reads local files and objects, for any number of threads; may be pickled, and forked before it has read.

    Args:
        options: The options of object storage.
    """

    def __init__(self, options: StorageOptions) -> None:
        self.options = options
        self._versions = Versions(options.check)
        self._pid = -1
        self._renew()

    def __reduce__(self) -> tuple[type["Storage"], tuple[StorageOptions]]:
        return Storage, (self.options,)

    def __repr__(self) -> str:
        return f"Storage({self.options!r})"

    def _renew(self) -> None:
        """Begin anew in a new process, which inherits neither connections, nor locks, nor other threads' reads."""
        if self._pid != os.getpid():
            self._objects = RemoteObjects(self.options, self._versions)
            self._cached: CachedReader | None = None
            self._lock = threading.Lock()
            self._pid = os.getpid()

    @property
    def _remote(self) -> RemoteObjects:
        """This process's remote objects."""
        self._renew()
        return self._objects

    def size(self, url: Url) -> int:
        """Size of the object in bytes; a remote object that was read already is not asked for again.

        Raises:
            StorageError: If it does not exist or cannot be reached within the deadline, or changed since it was read.
        """
        return self.identity(url).size

    def identity(self, url: Url) -> Identity:
        """The version of the object; for a remote object that was read already it sends no request.

        Raises:
            StorageError: As `size` does.
        """
        location = Location.parse(url)
        if location.is_local:
            identity = local.identity(location.path)
            self._versions.check(location, identity)
            return identity
        return self._remote.identity(location)

    def read(self, url: Url, start: int, stop: int) -> Encoded:
        """Bytes [start, stop) of the object, all of them.

        Raises:
            StorageError: If they cannot be read within the deadline, the object is shorter, or it changed meanwhile.
        """
        location = Location.parse(url)
        return _complete(location, self.read_some(location, start, stop), start, stop)

    def read_some(self, url: Url, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) of the object, or as many of them as it holds.

        Raises:
            StorageError: If they cannot be read within the deadline, or the object changed meanwhile.
        """
        location = Location.parse(url)
        if stop <= start:
            return memoryview(b"")
        if cancellation.is_set():
            raise StorageError(f"{location.shown}: reading was given up, since its reader was closed.")
        if location.is_local:
            data, identity = local.read(location.path, start, stop)
            counting.add(requests=1, received=len(data))
            self._versions.check(location, identity)
            return data
        if self.options.cache_dir is None:
            return self._remote.read(location, start, stop)
        return self._read_cached(location, start, stop)

    def read_around_cache(self, url: Url, start: int, stop: int) -> memoryview:
        """`read` of a remote object, even where the cache has the bytes or another thread is fetching them.

        Raises:
            StorageError: As `read` does.
        """
        location = Location.parse(url)
        return _complete(location, self._remote.read(location, start, stop, in_turn=False), start, stop)

    def read_all(self, url: Url, *, asked_for: Url | None = None) -> bytes | None:
        """The whole object; None when it does not exist (or S3 says 403, its answer where listing is not allowed).

        Args:
            url: The object.
            asked_for: The shard that it belongs to, which an error then names too.

        Raises:
            StorageError: If it cannot be read within the deadline.
        """
        location = Location.parse(url)
        try:
            return self._read_optional(location, None)
        except StorageError as error:
            if asked_for is None or location.is_local:
                raise
            shard = Location.parse(asked_for).shown
            raise StorageError(f"{shard}: must be readable, with the files beside it. {error}") from error.__cause__

    def read_head(self, url: Url, size: int) -> bytes | None:
        """The first `size` bytes of an object, fewer if it is shorter; None when it does not exist, as in `read_all`.

        Raises:
            StorageError: If they cannot be had within the deadline.
        """
        return self._read_optional(Location.parse(url), size)

    def refuse_page(self, url: Url) -> None:
        """Raise the error that names the page which a server sends in place of a file, where `read_all` gave none.

        Raises:
            StorageError: If a page comes.
        """
        location = Location.parse(url)
        if not location.is_local:
            self._remote.refuse_page(location)

    def stream(self, url: Url, start: int = 0) -> Iterator[memoryview]:
        """All bytes of a remote object from `start` on, in pieces, by one request: where `sends_whole`.

        Raises:
            StorageError: If they cannot be had within the deadline, which counts anew with each piece.
        """
        return self._remote.stream(Location.parse(url), start)

    def sends_whole(self, url: Url) -> bool:
        """Whether a range costs the whole object: its server ignores ranges, and no cache keeps the rest."""
        return self.options.cache_dir is None and self._remote.sends_whole(Location.parse(url))

    def can_list(self, url: Url) -> bool:
        """Whether the remote store of an object says which objects it has: web servers do not."""
        provider = PROVIDERS.get(Location.parse(url).scheme)
        return provider is not None and provider.can_list

    def list_folder(self, url: Url, folder: str) -> tuple[list[str], list[str]]:
        """The keys of the objects in a folder of a remote store, and its folders, without a slash at the end.

        Args:
            url: Any object of the store.
            folder: "" for all of the store, else with a slash at its end.

        Raises:
            StorageError: If they cannot be had within the deadline.
        """
        return self._remote.list_folder(Location.parse(url), folder)

    def list_below(self, url: Url, folder: str) -> list[str]:
        """The keys of all objects below a folder of a remote store, which is given as for `list_folder`.

        Raises:
            StorageError: If they cannot be had within the deadline.
        """
        return self._remote.list_below(Location.parse(url), folder)

    def write(self, url: Url, data: bytes) -> None:
        """Write a whole small object atomically: readers see the old or the new object.

        Raises:
            StorageError: If it cannot be written.
        """
        location = Location.parse(url)
        if location.is_local:
            local.write(location.path, data)
        else:
            self._remote.write(location, data)
        self._versions.forget(location)

    def _read_optional(self, location: Location, size: int | None) -> bytes | None:
        """The first `size` bytes (None: all) of an object, or None where it does not exist."""
        try:
            if location.is_local:
                return bytes(self.read_some(location, 0, local.identity(location.path).size if size is None else size))
            data = self._remote.read_whole(location) if size is None else self._remote.read_head(location, size)
        except StorageError as error:
            if isinstance(error.__cause__, _NOT_THERE):
                return None
            raise
        # Some web servers answer with a page for a missing file; no index or manifest begins like a page.
        return None if location.is_web and is_page(data) else data

    def _read_cached(self, location: Location, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) of a remote object, or as many as it holds, through the disk cache."""
        remote = self._remote
        identity = remote.identity(location)
        stop = min(stop, identity.size)
        if stop <= start:
            return memoryview(b"")
        if not identity.tag:
            remote.warn_without_version(location)
            return remote.read(location, start, stop)
        stream = partial(remote.stream, location, 0)
        try:
            source = self._source(location, identity, stream if remote.sends_whole(location) else None)
            return self._cache().read(source, start, stop)
        except WholeSentError as sent:  # the cache keeps all of it while it is read
            source = self._source(location, identity, partial(stream, sent.answer))
        return self._cache().read(source, start, stop)

    def _cache(self) -> CachedReader:
        self._renew()
        with self._lock:
            if self._cached is None:
                options = self.options
                min_free = None if options.cache_min_free is None else int(options.cache_min_free)
                cache = BlockCache(os.fspath(options.cache_dir or ""), int(options.cache_limit), min_free)
                cache.trim()
                self._cached = CachedReader(cache, options.request_timeout)
            return self._cached

    def _source(
        self, location: Location, identity: Identity, stream: Callable[[], Iterator[memoryview]] | None
    ) -> Source:
        """A version of an object for the cache; with `stream` if the server ignores ranges."""
        remote = self._remote

        def fetch(start: int, stop: int, progress: Callable[[], None]) -> memoryview:
            data = remote.read(location, start, stop, refuse_whole=True, progress=progress)
            return _complete(location, data, start, stop)

        return Source(
            name=location.shown,
            key=key_of(f"{self.options.endpoint or ''}\0{location.unsigned}", identity.size, identity.tag),
            size=identity.size,
            fetch=fetch,
            stream=stream,
        )


def _complete(location: Location, data: memoryview, start: int, stop: int) -> memoryview:
    if len(data) != stop - start:
        raise StorageError(
            f"{location.shown}: must hold bytes {start} to {stop}, got only {start + len(data)}. "
            "The shard is shorter than its index says: write it again, or its index with `streamaug index`."
        )
    return data
