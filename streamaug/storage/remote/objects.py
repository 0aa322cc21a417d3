"""`RemoteObjects`: reads an object of any store from the network, with retries and checks, in one version.

In: locations and ranges. Out: the bytes, each answer checked for its length and its version. Where a server ignores
ranges, it reads the whole object instead. It does not handle local files and the disk cache.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

from streamaug.errors import StorageError
from streamaug.storage.cancellation import cancellation
from streamaug.storage.identity import Identity, Versions
from streamaug.storage.location import Location
from streamaug.storage.options import StorageOptions
from streamaug.storage.remote.compression import decompressed
from streamaug.storage.remote.failures import (
    BeyondEndError,
    PageError,
    RangeIgnoredError,
    RemoteError,
    WrongAnswerError,
)
from streamaug.storage.remote.forward import ForwardStream
from streamaug.storage.remote.link import Link
from streamaug.storage.remote.page import HTML, refuse_message, refuse_page
from streamaug.storage.remote.range_read import RangeRead
from streamaug.storage.remote.retry import retried
from streamaug.storage.remote.stores import Answer, RemoteStores

T = TypeVar("T")

_NO_RANGES = (
    "ignores byte ranges and sends whole objects instead: slow, since every range costs a whole shard. "
    "Serve the shards from a server that supports range requests"
)
#: Pages in a row in place of an optional file; some servers answer with a page for every missing file.
_PAGES_FOR_NOTHING = 3
#: Whole objects in a row, in place of a range, that are taken for an error that may pass: of a server that was asked
#: for no range yet, and of a server that has answered with ranges.
_SLIPS_AT_FIRST, _SLIPS_OF_RANGES = 1, 2
#: Seconds for which failures of the same server lead to a single warning.
_SAY_EVERY = 60.0

_log = logging.getLogger("streamaug.storage")


class RemoteObjects:
    """The objects of one process, by location; used by any number of threads.

    Args:
        options: The options of object storage.
        versions: The versions read so far.

    Attributes:
        link: The measurements of the link to the stores.
    """

    def __init__(self, options: StorageOptions, versions: Versions) -> None:
        self._options = options
        self._versions = versions
        self._stores = RemoteStores(options)
        self.link = Link(options.concurrency)
        self._answered: set[str] = set()  # servers that did
        self._send_whole: set[str] = set()  # URLs whose last answer to a range was the whole object
        self._slips: dict[str, int] = {}  # servers that have answered ranges, and how far wholes are taken for slips
        self._warned: set[tuple[str, str]] = set()
        self._said: dict[str, float] = {}

    def identity(self, location: Location) -> Identity:
        """The version of an object; a version that was read already is not asked for again.

        Raises:
            StorageError: If it does not exist, cannot be reached within the deadline, or changed.
        """
        identity = self._versions.get(location)
        if identity is None:
            identity = self._retried(location, lambda: self._ask(location))
            self._versions.check(location, identity)
        return identity

    def read(
        self,
        location: Location,
        start: int,
        stop: int,
        *,
        refuse_whole: bool = False,
        in_turn: bool = True,
        progress: Callable[[], None] = lambda: None,
    ) -> memoryview:
        """Bytes [start, stop) of an object, or as many of them as it holds.

        Args:
            location: The object.
            start: The first byte.
            stop: One past the last byte.
            refuse_whole: Whether to raise WholeSentError where the server sends the whole object instead.
            in_turn: Whether to wait until the link allows one more range.
            progress: Called whenever bytes have come.

        Raises:
            StorageError: If there is no progress within the deadline, or the object changed.
            WholeSentError: If the server sends the whole object, and `refuse_whole` is set.
        """
        check = partial(self._versions.check, location)
        reading = RangeRead(
            self._stores,
            self.link,
            location,
            start,
            stop,
            check,
            progress,
            self._slips.get(location.server, _SLIPS_AT_FIRST),
        )

        def attempt() -> memoryview:
            if cancellation.is_set():
                raise StorageError(f"{location.shown}: reading was given up, since its reader was closed.")
            try:
                return reading.attempt(refuse_whole=refuse_whole)
            except BeyondEndError as error:
                size = self._ask(location).size
                if reading.done or start < size:
                    raise WrongAnswerError(f"{error}, though the object has {size} bytes") from None
                return memoryview(b"")
            finally:
                self._note_whole(location, reading.sends_whole, warn=not refuse_whole)

        with self.link.turn() if in_turn else nullcontext():
            return self._retried(location, attempt, done=lambda: reading.done)

    def read_whole(self, location: Location) -> bytes:
        """All bytes of a small optional object, of any version.

        Raises:
            StorageError: If it cannot be read within the deadline.
        """

        def attempt() -> bytes:
            answer = self._stores.get(location)
            pieces = refuse_page(answer, tries=_PAGES_FOR_NOTHING).pieces if location.is_web else answer.pieces
            data = b"".join(pieces)
            if len(data) != answer.stop:
                raise RemoteError(f"the answer ended early, after {len(data)} of {answer.stop} bytes")
            return decompressed(data, answer.encoding)

        return self._retried(location, attempt)

    def read_head(self, location: Location, size: int) -> bytes:
        """The first bytes of a small optional object, of any version.

        Raises:
            StorageError: If they cannot be had within the deadline.
        """

        def attempt() -> bytes:
            try:
                return b"".join(self._stores.get(location, 0, size).pieces)
            except BeyondEndError:
                return b""
            except RangeIgnoredError:
                answer = refuse_page(self._stores.get(location), tries=_PAGES_FOR_NOTHING)
                head = bytearray()
                for piece in answer.pieces:
                    head += piece
                    if len(head) >= size:
                        break
                return bytes(head[:size])

        return self._retried(location, attempt)

    def stream(self, location: Location, start: int, answer: Answer | None = None) -> Iterator[memoryview]:
        """All bytes from `start` on, in pieces, by one request for the whole object: for servers without ranges.

        Args:
            location: The object.
            start: The first byte.
            answer: The whole object on its way, if a request for it is under way.

        Raises:
            StorageError: If they cannot be had within the deadline, which counts anew with each piece.
        """

        def begin() -> Iterator[memoryview]:
            nonlocal answer
            whole, answer = answer or refuse_message(location, self._stores.get(location)), None
            self._warn_once(location, _NO_RANGES)
            self._versions.check(location, whole.identity)
            return whole.pieces

        forward = ForwardStream(begin, start)
        while (data := self._retried(location, forward.attempt)) is not None:
            yield data

    def write(self, location: Location, data: bytes) -> None:
        """Write a whole small object.

        Raises:
            StorageError: If it cannot be written.
        """
        self._retried(location, lambda: self._stores.put(location, data), must_be="writable")

    def list_folder(self, location: Location, folder: str) -> tuple[list[str], list[str]]:
        """The objects and the folders in a folder of the store that holds an object; see `RemoteStores.list_folder`.

        Raises:
            StorageError: If they cannot be had within the deadline.
        """

        def attempt() -> tuple[list[str], list[str]]:
            objects, folders = self._stores.list_folder(location, folder)
            if not objects and not folders:
                self._refuse_page(location, instead_of="list of objects")
            return objects, folders

        return self._retried(location, attempt)

    def list_below(self, location: Location, folder: str) -> list[str]:
        """All objects below a folder of the store that holds an object; see `RemoteStores.list_below`.

        Raises:
            StorageError: If they cannot be had within the deadline.
        """

        def attempt() -> list[str]:
            objects = self._stores.list_below(location, folder)
            if not objects:
                self._refuse_page(location, instead_of="list of objects")
            return objects

        return self._retried(location, attempt)

    def refuse_page(self, location: Location) -> None:
        """Raise the error that names the page which comes in place of an object, if any does.

        Raises:
            StorageError: If a page comes.
        """
        self._retried(location, lambda: self._refuse_page(location, tries=_PAGES_FOR_NOTHING))

    def sends_whole(self, location: Location) -> bool:
        """Whether the server answered the last range of the object with all of it."""
        return location.url in self._send_whole

    def warn_without_version(self, location: Location) -> None:
        """Warn, once for each server, that its objects cannot be kept in the cache."""
        self._warn_once(location, "sends neither etag nor time of change, so nothing of it can be kept in the cache")

    def _ask(self, location: Location) -> Identity:
        """An object's identity by HEAD, or by a GET of one byte where HEAD is not allowed or tells nothing."""
        try:
            answer = self._stores.head(location)
            # Some servers say 0 for objects that they generate while sending; a page's size is not the object's.
            if answer.identity.size > 0 and answer.content_type not in HTML:
                return answer.identity
        except RemoteError as error:
            # A signature may hold for GET only, and some servers implement no more; obstore takes 405 for a missing
            # object at times. Where nobody answers, or 416 to what names no range, a GET would tell no more.
            if error.patience < float("inf") or isinstance(error, BeyondEndError):
                raise
        try:
            return self._stores.get(location, 0, 1).identity
        except BeyondEndError:
            return self._stores.get(location).identity  # it is empty
        except RangeIgnoredError:
            return refuse_page(self._stores.get(location)).identity

    def _refuse_page(self, location: Location, *, tries: float | None = None, instead_of: str = "object") -> None:
        """Raise `PageError` if a page comes in place of an object; it may be missing, or not be had.

        obstore reads a page that is well-formed XML as an empty list; the same server then has a page for every object.
        """
        try:
            refuse_page(self._stores.get(location), tries=tries, instead_of=instead_of)
        except PageError:
            raise
        except RemoteError:
            return

    def _note_whole(self, location: Location, sends_whole: bool | None, *, warn: bool) -> None:
        """Note whether the server answered a range with the whole object."""
        if sends_whole:
            self._slips[location.server] = 0
            self._send_whole.add(location.url)
            if warn:
                self._warn_once(location, _NO_RANGES)
        elif sends_whole is False:
            self._slips[location.server] = _SLIPS_OF_RANGES
            self._send_whole.discard(location.url)

    def _warn_once(self, location: Location, what: str) -> None:
        """Warn of a server, once for each kind of warning."""
        if (location.server, what) not in self._warned:
            self._warned.add((location.server, what))
            warnings.warn(f"{location.shown}: the server {what}.", UserWarning, stacklevel=2)

    def _say(self, location: Location, failure: RemoteError, seconds: float) -> None:
        """Log why reading takes long: one line for each server a minute, however many threads try."""
        now = time.monotonic()
        if now - self._said.get(location.server, -_SAY_EVERY) >= _SAY_EVERY:
            self._said[location.server] = now
            _log.warning("%s: still trying after %.0f s: %s. %s", location.shown, seconds, failure, failure.fix)

    def _retried(
        self,
        location: Location,
        attempt: Callable[[], T],
        done: Callable[[], int] = lambda: 0,
        must_be: str = "readable",
    ) -> T:
        result = retried(
            location,
            attempt,
            deadline=self._options.deadline,
            has_answered=location.server in self._answered,
            done=done,
            say=partial(self._say, location),
            must_be=must_be,
        )
        self._answered.add(location.server)
        return result
