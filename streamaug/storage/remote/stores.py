"""Single requests to object stores, through obstore's synchronous calls.

In: a location and a range. Out: the object's identity and the bytes, piece by piece as they come, or a `RemoteError`.
Retries, deadlines and length checks belong to the caller. obstore's threads do not survive a fork, after which a
request would hang for ever (measured, 0.12.1), so such a request is an error; a process that forks first and then reads
works.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import obstore

from streamaug.storage.counting import counting
from streamaug.storage.identity import Identity
from streamaug.storage.location import Location
from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.compression import as_stored, compression
from streamaug.storage.remote.failures import RemoteError, RequestError
from streamaug.storage.remote.guard import attempt
from streamaug.storage.remote.providers import PROVIDERS

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore

T = TypeVar("T")

#: We repeat attempts ourselves, so that one deadline and one length check hold for all of them.
_ONCE: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
#: Stores kept at once, each with its connections: every signed URL is a store, and there may be 100,000.
_STORES = 64
#: No limit for a slow answer that goes on; obstore's own limit for a whole answer is 30 s.
_NO_LIMIT = timedelta(days=7)
_CONNECT_SECONDS = 5.0
#: Names that stores send at once.
_LISTED_AT_ONCE = 1000


class Answer(NamedTuple):
    """The answer of a server to a GET.

    Attributes:
        identity: The object's.
        start: The first byte that comes.
        stop: One past the last byte that comes, as the server says.
        content_type: "" where the server sends none.
        encoding: The compression of the bytes by the server's header, or "".
        pieces: The bytes in order, as they come; raises `RemoteError`.
    """

    identity: Identity
    start: int
    stop: int
    content_type: str
    encoding: str
    pieces: Iterator[memoryview]


class _Runtime:
    """The process whose threads serve obstore: the first that sent a request, and none of its forks."""

    process: int | None = None

    @classmethod
    def enter(cls) -> None:
        """Note that this process sends requests.

        Raises:
            RequestError: If it was forked from a process that did.
        """
        if cls.process is None:
            cls.process = os.getpid()
        if cls.process != os.getpid():
            raise RequestError(
                "this process was forked from one that had read from object storage, whose threads it lacks; "
                "start it by spawn or forkserver, or fork before the first read"
            )


class RemoteStores:
    """The obstore stores of one process, made when first asked for."""

    def __init__(self, options: StorageOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._stores: OrderedDict[tuple[str, bool], ObjectStore] = OrderedDict()

    def head(self, location: Location) -> Answer:
        """The object's identity by HEAD, and its content type; reads none of its bytes.

        Raises:
            RemoteError: If the attempt failed.
        """
        return self._asked(location, {"head": True})

    def get(self, location: Location, start: int = 0, stop: int | None = None) -> Answer:
        """Bytes [start, stop), fewer at the object's end; stop None is the whole object (start 0).

        Raises:
            RemoteError: If the attempt failed, at once or while the pieces are taken; `RangeIgnoredError` where the
                server ignores ranges, `ShortRangeError` where it would send only the beginning of this range.
        """
        return self._asked(location, None if stop is None else {"range": (start, stop)})

    def put(self, location: Location, data: bytes) -> None:
        """Put a whole object.

        Raises:
            RemoteError: If the attempt failed.
        """
        store = self._open(location, writes=True)
        self._attempt(location, lambda: obstore.put(store, location.path, data))

    def list_folder(self, location: Location, folder: str) -> tuple[list[str], list[str]]:
        """The keys of the objects in a folder, and its folders, as keys without a slash at the end.

        Args:
            location: Any object of the store.
            folder: "" for all of it, else with a slash at its end.

        Raises:
            RemoteError: If the attempt failed.
        """
        store = self._open(location)
        counting.add(requests=1)
        found = self._attempt(location, lambda: obstore.list_with_delimiter(store, folder.rstrip("/") or None))
        return [meta["path"] for meta in found["objects"]], list(found["common_prefixes"])

    def list_below(self, location: Location, folder: str) -> list[str]:
        """The keys of all objects below a folder, which is given as for `list_folder`.

        Raises:
            RemoteError: If the attempt failed.
        """
        store = self._open(location)
        counting.add(requests=1)
        return self._attempt(
            location,
            lambda: [
                meta["path"]
                for some in obstore.list(store, folder.rstrip("/") or None, chunk_size=_LISTED_AT_ONCE)
                for meta in some
            ],
        )

    def _asked(self, location: Location, request: Any) -> Answer:
        store = self._open(location)
        counting.add(requests=1)
        return self._attempt(location, lambda: _answer(obstore.get(store, location.path, options=request)))

    def _attempt(self, location: Location, call: Callable[[], T]) -> T:
        """The result of a call of obstore; the provider may explain its failure better."""
        try:
            return attempt(call)
        except RemoteError as error:
            failure = PROVIDERS[location.scheme].explained(location.base, error)
        raise failure

    def _open(self, location: Location, *, writes: bool = False) -> "ObjectStore":
        """The store that holds an object."""
        provider = PROVIDERS.get(location.scheme)
        if provider is None:
            schemes = ", ".join([*PROVIDERS, "file"])
            raise RequestError(f"the scheme must be one of {schemes}, got {location.scheme}", fix="Check the URL.")
        _check_key(location)
        _Runtime.enter()
        key = (location.base, writes)
        with self._lock:
            store = self._stores.get(key)
            if store is None:
                arguments = {"client_options": self._client(writes=writes), "retry_config": _ONCE}
                store = attempt(lambda: provider.open(location.base, self._options, arguments), setup=True)
                self._stores[key] = store
            self._stores.move_to_end(key)
            if len(self._stores) > _STORES:
                self._stores.popitem(last=False)
        return store

    def _client(self, *, writes: bool) -> dict[str, Any]:
        """Settings of obstore's connections."""
        options = self._options
        silence = min(options.request_timeout, options.deadline)
        # While a body is sent no byte comes back, so a write has the whole deadline.
        client: dict[str, Any] = {
            "timeout": _NO_LIMIT,
            "read_timeout": timedelta(seconds=options.deadline if writes else silence),
            "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, silence)),
            "pool_max_idle_per_host": str(options.concurrency),
        }
        bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
        if bundle:
            try:
                client["root_certificate"] = Path(bundle).read_bytes()
            except OSError as error:
                raise RequestError(f"the certificates must be readable, got {bundle!r}: {error.strerror}") from None
        return client


def _check_key(location: Location) -> None:
    """Raise RequestError if no store can hold an object of that name, or obstore cannot ask for it."""
    parts = location.path.strip("/").split("/")
    if "" in parts:
        raise RequestError("a key with an empty part (//) cannot be read: store the object under another name")
    if "." in parts or ".." in parts:
        raise RequestError("a key must not have the parts . and .. in it", fix="Write the URL without them.")
    if any(ord(letter) < 0x20 or letter == "\x7f" for letter in location.path):
        raise RequestError("a key with a line break or another control character cannot be read", fix="Check the URL.")


def _answer(result: "GetResult") -> Answer:
    """An answer, with the facts that obstore gives."""
    etag = (result.meta["e_tag"] or "").removeprefix("W/")
    # Where the server sends no time of change, obstore gives 1970.
    modified = int(result.meta["last_modified"].timestamp()) * 1_000_000_000
    start, stop = result.range
    encoding = compression(str(result.attributes.get("Content-Encoding", "")))
    stream = result.stream(1)  # all bytes that have come, so that none is lost where the answer breaks off
    return Answer(
        identity=Identity(int(result.meta["size"]), etag, modified),
        start=start,
        stop=stop,
        content_type=str(result.attributes.get("Content-Type", "")).partition(";")[0].strip().lower(),
        encoding=encoding,
        pieces=as_stored(_taken(stream), stop - start, encoding) if encoding else _taken(stream),
    )


def _taken(stream: Any) -> Iterator[memoryview]:
    iterator = attempt(lambda: iter(stream))
    while (piece := attempt(lambda: next(iterator, None))) is not None:
        view = memoryview(piece)
        counting.add(received=len(view))
        yield view
