"""`Storage`: the bytes of any URL, or an error that names it.

In: URLs of shards and byte ranges. Out: exactly the bytes asked for, in one piece. Every read is checked for its length
and against the object's identity when first seen, so that an object which changes while it is read is an error and
never a mixture. It never interprets what it reads.
"""

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from streamaug.batch import Encoded
from streamaug.errors import StorageError
from streamaug.storage import local
from streamaug.storage.cache import BlockCache, key_of
from streamaug.storage.cached import CachedReader, Source
from streamaug.storage.cancellation import cancellation
from streamaug.storage.failures import (
    BeyondEndError,
    ForbiddenError,
    MissingError,
    RangeIgnoredError,
    RemoteError,
    RequestError,
)
from streamaug.storage.forward import ForwardStream
from streamaug.storage.options import StorageOptions
from streamaug.storage.remote import Identity, RemoteStores
from streamaug.storage.retry import retried
from streamaug.storage.urls import is_local, locate, shown, versionless

T = TypeVar("T")

_NO_RANGES = (
    "ignores byte ranges and sends whole objects instead: slow, since every range costs a whole shard. "
    "Serve the shards from a server that supports range requests"
)


class _WholeSentError(Exception):
    """A range for the cache was answered with the whole object, which is better streamed into it."""


class Storage:
    """Reads local files and objects by URL, for any number of threads; may be pickled, and forked before it has read.

    Args:
        options: How to reach object storage.
    """

    def __init__(self, options: StorageOptions) -> None:
        self.options = options
        self._seen: dict[str, Any] = {}
        self._whole: set[str] = set()  # URLs whose last answer to a range was the whole object
        self._warned: set[str] = set()
        self._pid = -1
        self._renew()

    def __reduce__(self) -> tuple[type["Storage"], tuple[StorageOptions]]:
        return Storage, (self.options,)

    def __repr__(self) -> str:
        return f"Storage({self.options!r})"

    def _renew(self) -> None:
        """Begin anew in a new process: neither stores, nor locks, nor what other threads had under way come along."""
        if self._pid != os.getpid():
            self._stores = RemoteStores(self.options)
            self._cached: CachedReader | None = None
            self._lock = threading.Lock()
            self._pid = os.getpid()

    def size(self, url: str) -> int:
        """Size of the object in bytes; a remote one that was read already is not asked for again.

        Raises:
            StorageError: If it does not exist or cannot be reached within the deadline, or changed since it was read.
        """
        if is_local(url):
            identity = local.identity(locate(url).path)
            self._check_unchanged(url, identity)
            return identity.size
        return int((self._seen.get(url) or self._identity(url)).size)

    def read(self, url: str, start: int, stop: int) -> Encoded:
        """Bytes [start, stop) of the object, all of them.

        Raises:
            StorageError: If they cannot be had within the deadline, the object is shorter, or it changed meanwhile.
        """
        return _complete(url, self.read_some(url, start, stop), start, stop)

    def read_some(self, url: str, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) of the object, or as many of them as it holds.

        Raises:
            StorageError: If they cannot be had within the deadline, or the object changed meanwhile.
        """
        if stop <= start:
            return memoryview(b"")
        if cancellation.is_set():
            raise StorageError(f"{shown(url)}: reading was given up, since its reader was closed.")
        if is_local(url):
            data, seen = local.read(locate(url).path, start, stop)
            self._check_unchanged(url, seen)
            return data
        if self.options.cache_dir is None:
            return self._read_remote(url, start, stop)
        identity = self._seen.get(url) or self._identity(url)
        end = min(stop, identity.size)
        if end <= start:
            return memoryview(b"")
        if not identity.tag:
            self._warn_once(url, "sends neither etag nor time of change, so nothing of it can be kept in the cache")
            return self._read_remote(url, start, end)
        try:
            return self._cache().read(self._source(url, identity, whole=url in self._whole), start, end)
        except _WholeSentError:
            return self._cache().read(self._source(url, identity, whole=True), start, end)

    def _cache(self) -> CachedReader:
        self._renew()
        with self._lock:
            if self._cached is None:
                cache = BlockCache(os.fspath(self.options.cache_dir or ""), self.options.cache_limit)
                cache.trim()
                self._cached = CachedReader(cache, self.options.request_timeout)
            return self._cached

    def _source(self, url: str, identity: Identity, *, whole: bool) -> Source:
        key = key_of(f"{self.options.endpoint or ''}\0{versionless(url)}", identity.size, identity.tag)

        def fetch(start: int, stop: int) -> memoryview:
            data = self._retried(url, lambda: self._read_range(url, start, stop, from_whole=False))
            return _complete(url, data, start, stop)

        return Source(shown(url), key, identity.size, fetch, partial(self.stream, url) if whole else None)

    def stream(self, url: str, start: int = 0) -> Iterator[memoryview]:
        """All bytes from `start` on, in pieces, by one request for the whole object: for servers without ranges.

        Raises:
            StorageError: If they cannot be had within the deadline, which counts anew with each piece.
        """
        self._warn_once(url, _NO_RANGES)

        def begin() -> Iterator[memoryview]:
            pieces, identity = self._stores.stream(url)
            self._check_unchanged(url, identity)
            return pieces

        forward = ForwardStream(begin, start)
        while (data := self._retried(url, forward.attempt)) is not None:
            yield data

    def read_around_cache(self, url: str, start: int, stop: int) -> memoryview:
        """`read`, from the store itself, even where the cache has the bytes or another thread is fetching them.

        Raises:
            StorageError: As `read` does.
        """
        return self._exact(url, start, stop)

    def _read_remote(self, url: str, start: int, stop: int) -> memoryview:
        return self._retried(url, lambda: self._read_range(url, start, stop))

    def _exact(self, url: str, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) from the store, all of them."""
        return _complete(url, self._read_remote(url, start, stop), start, stop)

    def _identity(self, url: str) -> Identity:
        identity = self._retried(url, lambda: self._ask(url))
        self._check_unchanged(url, identity)
        return identity

    def read_all(self, url: str, *, asked_for: str | None = None) -> bytes | None:
        """The whole object; None when there is none (or S3 says 403, its answer where listing is not allowed).

        Args:
            url: The object.
            asked_for: The shard for whose sake it is read, which an error then names too.

        Raises:
            StorageError: If it cannot be had within the deadline.
        """
        return self._optional(url, asked_for, None)

    def read_head(self, url: str, size: int) -> bytes | None:
        """The first `size` bytes of an object, fewer if it is shorter; None when there is none, as in `read_all`.

        Raises:
            StorageError: If they cannot be had within the deadline.
        """
        return self._optional(url, None, size)

    def _optional(self, url: str, asked_for: str | None, stop: int | None) -> bytes | None:
        if is_local(url):
            try:
                return bytes(self.read_some(url, 0, local.identity(locate(url).path)[0] if stop is None else stop))
            except StorageError as error:
                if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                    return None
                raise
        try:
            if stop is not None:
                data = self._retried(url, lambda: self._read_range(url, 0, stop))
            else:
                data = self._retried(url, lambda: self._stores.read(url, 0, None)[0])
        except StorageError as error:
            if isinstance(error.__cause__, MissingError | ForbiddenError):
                return None
            if asked_for is None:
                raise
            failure = error
        else:
            # Some web servers answer with a page where there is nothing; no index or manifest begins like one.
            return None if locate(url).scheme in ("http", "https") and bytes(data[:1]) == b"<" else bytes(data)
        raise StorageError(f"{shown(asked_for)}: must be readable, and what lies beside it. {failure}")

    def _ask(self, url: str) -> Identity:
        """An object's identity by HEAD, or by a GET of one byte where a server or a signature allows no HEAD."""
        try:
            identity = self._stores.head(url)
            if identity.size > 0:  # some servers say 0 for what they make as it is sent
                return identity
        except (ForbiddenError, MissingError, RequestError):
            pass  # obstore takes 405 for a missing object at times
        try:
            return self._stores.read(url, 0, 1)[1]
        except BeyondEndError:
            return self._stores.read(url, 0, None)[1]  # it is empty
        except RangeIgnoredError:
            return self._stores.stream(url)[1]

    def write(self, url: str, data: bytes) -> None:
        """Write a whole small object: readers see the old one or the new one, nothing between.

        Raises:
            StorageError: If it cannot be written.
        """
        if is_local(url):
            local.write(locate(url).path, data)
        else:
            self._retried(url, lambda: self._stores.write(url, data))
        self._seen.pop(url, None)

    def sends_whole(self, url: str) -> bool:
        """Whether a range of the object costs all of it: its server ignores ranges, and no cache keeps the rest."""
        return url in self._whole and self.options.cache_dir is None

    def _read_range(self, url: str, start: int, stop: int, *, from_whole: bool = True) -> memoryview:
        """One attempt at a range; where the server sends the whole object instead, it is taken from that or refused."""
        try:
            data, identity = self._stores.read(url, start, stop)
            self._whole.discard(url)
        except RangeIgnoredError:
            self._whole.add(url)
            if not from_whole:
                raise _WholeSentError from None
            data, identity = self._read_by_whole(url, start, stop)
        except BeyondEndError:
            data, identity = memoryview(b""), self._ask(url)
        if len(data) != max(0, min(stop, identity.size) - start):
            raise RemoteError(f"{stop - start} bytes were asked for and {len(data)} came")
        self._check_unchanged(url, identity)
        return data

    def _read_by_whole(self, url: str, start: int, stop: int) -> tuple[memoryview, Identity]:
        """A range out of the whole object, which passes by up to there."""
        self._warn_once(url, _NO_RANGES)
        pieces, identity = self._stores.stream(url)
        data = bytearray()
        at = 0
        for piece in pieces:
            data += piece[max(0, start - at) : max(0, stop - at)]
            at += len(piece)
            if at >= stop:
                break
        return memoryview(data), identity

    def _warn_once(self, url: str, what: str) -> None:
        """Warn of a server, once for each thing to say of it."""
        host = shown(locate(url).base)
        if f"{host} {what}" not in self._warned:
            self._warned.add(f"{host} {what}")
            warnings.warn(f"{shown(url)}: the server {what}.", UserWarning, stacklevel=2)

    def _check_unchanged(self, url: str, identity: Any) -> None:
        if self._seen.setdefault(url, identity).differs(identity):
            raise StorageError(
                f"{shown(url)}: must not change while it is read, got another size, time or etag than before. "
                "Open the shards anew once writing has ended."
            )

    def _retried(self, url: str, attempt: Callable[[], T]) -> T:
        self._renew()
        return retried(url, attempt, deadline=self.options.deadline, has_read=bool(self._seen))


def _complete(url: str, data: memoryview, start: int, stop: int) -> memoryview:
    if len(data) != stop - start:
        raise StorageError(
            f"{shown(url)}: must hold bytes {start} to {stop}, got only {start + len(data)}. "
            "The shard is shorter than its index says: write it again, or its index with `streamaug index`."
        )
    return data
