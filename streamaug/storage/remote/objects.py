"""`RemoteObjects`: reads an object of any store from the network, with retries and checks, in one version.

In: locations and ranges. Out: the bytes, each answer checked for its length and its version. Where a server ignores
ranges, it reads the whole object instead. It does not handle local files and the disk cache.
"""

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
    RangeIgnoredError,
    RemoteError,
    WrongAnswerError,
)
from streamaug.storage.remote.forward import ForwardStream
from streamaug.storage.remote.link import Link
from streamaug.storage.remote.page import HTML, refuse_message, refuse_page, refuse_page_at
from streamaug.storage.remote.range_read import RangeRead
from streamaug.storage.remote.retry import retried
from streamaug.storage.remote.servers import Servers
from streamaug.storage.remote.stores import Answer, RemoteStores

T = TypeVar("T")
Names = TypeVar("Names", list[str], tuple[list[str], list[str]])

#: Pages in a row in place of an optional file; some servers answer with a page for every missing file.
_PAGES_FOR_NOTHING = 3


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
        self._servers = Servers()

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
            self._servers.slips(location),
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
                self._servers.note_whole(location, reading.sends_whole, warn=not refuse_whole)

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
            self._servers.warn_of_no_ranges(location)
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
        return self._listed(location, lambda: self._stores.list_folder(location, folder))

    def list_below(self, location: Location, folder: str) -> list[str]:
        """All objects below a folder of the store that holds an object; see `RemoteStores.list_below`.

        Raises:
            StorageError: If they cannot be had within the deadline.
        """
        return self._listed(location, lambda: self._stores.list_below(location, folder))

    def refuse_page(self, location: Location) -> None:
        """Raise the error that names the page which comes in place of an object, if any does.

        Raises:
            StorageError: If a page comes.
        """
        self._retried(location, lambda: refuse_page_at(self._stores, location, tries=_PAGES_FOR_NOTHING))

    def sends_whole(self, location: Location) -> bool:
        """Whether the server answered the last range of the object with all of it."""
        return self._servers.sends_whole(location)

    def warn_without_version(self, location: Location) -> None:
        """Warn, once for each server, that its objects cannot be kept in the cache."""
        self._servers.warn_once(
            location, "sends neither etag nor time of change, so nothing of it can be kept in the cache"
        )

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

    def _listed(self, location: Location, ask: Callable[[], Names]) -> Names:
        """The names that a store lists; an empty list is believed where no page comes in place of the object itself.

        obstore reads a page that is well-formed XML as an empty list.
        """

        def attempt() -> Names:
            names = ask()
            if not any(names):
                refuse_page_at(self._stores, location, instead_of="list of objects")
            return names

        return self._retried(location, attempt)

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
            has_answered=self._servers.has_answered(location),
            done=done,
            say=partial(self._servers.say, location),
            must_be=must_be,
        )
        self._servers.note_answer(location)
        return result
