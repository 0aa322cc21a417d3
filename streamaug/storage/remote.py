"""Reading ranges of objects in S3, GCS, Azure or over HTTP: one attempt at a time, through obstore's synchronous calls.

In: a URL and a range. Out: the bytes with the object's identity, or a `RemoteError`. Retries, deadlines and length
checks belong to the caller. obstore's threads do not survive a fork, after which a request would hang for ever
(measured, 0.12.1), so here it is an error; a process that forks first and reads then is well.
"""

import base64
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import obstore
from obstore import store as stores

from streamaug.storage.environment import azure_settings, gcs_settings, s3_settings
from streamaug.storage.failures import RequestError, attempt
from streamaug.storage.options import StorageOptions
from streamaug.storage.urls import locate

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Object-store schemes; everything else is an error that lists them.
SCHEMES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "http", "https")
#: Attempts are ours to repeat, so that one deadline and one length check hold for all of them.
_ONCE: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
#: Stores kept at once, each with its connections: a signed URL is a store of its own, and there may be 100,000.
_STORES = 64
#: What obstore gives for the time of an object's last change where the server sends none.
_NEVER = "1970-01-01T00:00:00+00:00"


class Identity(NamedTuple):
    """What an object is known by: size in bytes, etag and time of its last change, "" where a server sends none."""

    size: int
    etag: str
    modified: str

    @property
    def tag(self) -> str:
        """The etag, or the time where there is none; "" where nothing tells one version from another."""
        return self.etag or self.modified

    def differs(self, other: "Identity") -> bool:
        """Whether the two are certainly not one version: sizes differ, or etags (times where one has no etag)."""
        if self.etag and other.etag:
            return (self.size, self.etag) != (other.size, other.etag)
        return (self.size, self.modified) != (other.size, other.modified)


class _Runtime:
    """The one process whose threads serve obstore: the first that sent a request, and none of its forks."""

    process: int | None = None

    @classmethod
    def enter(cls) -> None:
        """Note that this process sends requests.

        Raises:
            RequestError: If it was forked from one that did.
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

    def head(self, url: str) -> Identity:
        """The object's identity.

        Raises:
            RemoteError: If the attempt failed.
        """
        store, path = self._open(url)
        return _identity(attempt(lambda: obstore.head(store, path)))

    def read(self, url: str, start: int, stop: int | None) -> tuple[memoryview, Identity]:
        """Bytes [start, stop), fewer at the object's end; stop None is the whole object (start 0).

        Raises:
            RemoteError: If the attempt failed; `RangeIgnoredError` where ranges are not served.
        """
        store, path = self._open(url)

        def get() -> tuple[memoryview, Identity]:
            result = obstore.get(store, path, options=None if stop is None else {"range": (start, stop)})
            return memoryview(result.bytes()), _identity(result.meta)

        return attempt(get)

    def stream(self, url: str, chunk: int = 4 << 20) -> tuple[Iterator[memoryview], Identity]:
        """The whole object in order, in pieces of at least `chunk` bytes but the last, each within `request_timeout`.

        Raises:
            RemoteError: If the attempt failed, at once or while iterating.
        """
        store, path = self._open(url, whole=True)
        result = attempt(lambda: obstore.get(store, path))

        def pieces() -> Iterator[memoryview]:
            stream = iter(result.stream(chunk))
            while (piece := attempt(lambda: next(stream, None))) is not None:
                yield memoryview(piece)

        return pieces(), _identity(result.meta)

    def write(self, url: str, data: bytes) -> None:
        """Put a whole object.

        Raises:
            RemoteError: If the attempt failed.
        """
        store, path = self._open(url)
        attempt(lambda: obstore.put(store, path, data))

    def _open(self, url: str, *, whole: bool = False) -> "tuple[ObjectStore, str]":
        """The store of a URL, one with time enough for whole objects if asked for, and the object's path in it."""
        place = locate(url)
        if place.scheme not in SCHEMES:
            known = "s3, gs, az, http, https, file"
            raise RequestError(f"the scheme must be one of {known}, got {place.scheme}")
        if "//" in place.path.strip("/"):
            raise RequestError("a key with an empty part (//) cannot be read: store the object under another name")
        _Runtime.enter()
        with self._lock:
            store = self._stores.get((place.base, whole))
            if store is None:
                store = attempt(lambda: self._make(place.scheme, place.base, whole=whole), setup=True)
                self._stores[place.base, whole] = store
            self._stores.move_to_end((place.base, whole))
            if len(self._stores) > _STORES:
                self._stores.popitem(last=False)
        return store, place.path

    def _client(self, *, whole: bool) -> Any:
        options = self._options
        timeout = timedelta(seconds=min(options.request_timeout, options.deadline))
        client: Any = {
            "timeout": timedelta(seconds=options.deadline) if whole else timeout,
            "read_timeout": timeout,
            "connect_timeout": min(timedelta(seconds=5.0), timeout),
            "pool_max_idle_per_host": str(options.concurrency),
        }
        bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
        if bundle:
            try:
                client["root_certificate"] = Path(bundle).read_bytes()
            except OSError as error:
                raise RequestError(f"the certificates must be readable, got {bundle!r}: {error.strerror}") from None
        return client

    def _make(self, scheme: str, base: str, *, whole: bool) -> "ObjectStore":
        options, client = self._options, self._client(whole=whole)
        if scheme in ("http", "https"):
            client["allow_http"] = scheme == "http"
            head, _, rest = base.partition("://")
            user, at, host = rest.rpartition("@")
            if at:
                token = base64.b64encode(unquote(user).encode()).decode()
                client["default_headers"] = {"Authorization": f"Basic {token}"}
            return stores.HTTPStore(f"{head}://{host}", client_options=client, retry_config=_ONCE)
        settings = {"s3": s3_settings, "s3a": s3_settings, "gs": gcs_settings}.get(scheme, azure_settings)(options)
        endpoint = settings["config"].get("endpoint") or settings["config"].get("base_url") or "https"
        client["allow_http"] = endpoint.startswith("http://")
        more: Any = settings | {"client_options": client, "retry_config": _ONCE}
        name = base.partition("://")[2]
        if scheme in ("s3", "s3a"):
            return stores.S3Store(name, **more)
        if scheme == "gs":
            return stores.GCSStore(name, **more)
        if scheme in ("az", "azure", "adl"):
            return stores.AzureStore(name, **more)
        return stores.AzureStore.from_url(base, **more)


def _identity(meta: Any) -> Identity:
    etag = (meta["e_tag"] or "").removeprefix("W/")
    modified = meta["last_modified"].isoformat()
    return Identity(int(meta["size"]), etag, "" if modified == _NEVER else modified)
