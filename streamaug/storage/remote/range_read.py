"""`RangeRead`: a byte range that is filled from the front, by as many requests as needed.

In: a range. Out: its bytes. It keeps the bytes that have come: after a failure the next request begins behind them.
Where a server ignores ranges, it reads the whole object and takes the range out of it.
"""

from collections.abc import Callable

import numpy as np

from streamaug.errors import StorageError
from streamaug.storage.cancellation import cancellation
from streamaug.storage.identity import Identity
from streamaug.storage.location import Location
from streamaug.storage.remote.failures import (
    RangeIgnoredError,
    RemoteError,
    ShortRangeError,
    WrongAnswerError,
)
from streamaug.storage.remote.link import Link
from streamaug.storage.remote.page import refuse_compressed, refuse_message
from streamaug.storage.remote.stores import Answer, RemoteStores


class WholeSentError(Exception):
    """The server answered a range with the whole object, which the caller takes as a stream instead.

    Attributes:
        answer: The whole object, under way.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class RangeRead:
    """Bytes [start, stop) of an object, or as many of them as it holds.

    Args:
        stores: Sends the requests.
        link: Says how many bytes to ask for, and counts the bytes that come.
        location: The object.
        start: The first byte.
        stop: One past the last byte, beyond `start`.
        check: Called with the identity of each answer; raises where it is not the object's.
        progress: Called whenever bytes have come.
        slips: The number of whole objects in place of the range before the server counts as sending no ranges, since a
            page or another passing error looks the same.

    Attributes:
        done: Bytes that have come.
        sends_whole: Whether the server answered the last request with the whole object; None before any answer.
    """

    def __init__(
        self,
        stores: RemoteStores,
        link: Link,
        location: Location,
        start: int,
        stop: int,
        check: Callable[[Identity], None],
        progress: Callable[[], None],
        slips: int,
    ) -> None:
        self._stores, self._link, self._location = stores, link, location
        self._start, self._stop = start, stop
        self._check, self._progress = check, progress
        self._slips = slips
        self._bytes: memoryview | None = None  # of known length from the first answer on
        self.done = 0
        self.sends_whole: bool | None = None

    def attempt(self, *, refuse_whole: bool = False) -> memoryview:
        """Go on until all bytes have come.

        Args:
            refuse_whole: Whether to raise WholeSentError where the server sends the whole object.

        Raises:
            RemoteError: If a request failed; `done` has the bytes that came. `BeyondEndError` where the server says
                that the object ends before the range.
            WholeSentError: If the server sends the whole object, and that was refused.
            StorageError: If the object is another version, or the thread must stop.
        """
        while self._bytes is None or self.done < len(self._bytes):
            try:
                self._ask(self._next_stop())
                self.sends_whole = False
            except ShortRangeError as error:
                # The server would send less: from now on no request asks for more than that.
                self._link.answers_hold(error.stop - self._start - self.done)
                self._ask(error.stop)
            except RangeIgnoredError:
                self._slips -= 1
                if self._slips >= 0:
                    raise
                self._pass_by(refuse=refuse_whole)
        return self._bytes

    def _next_stop(self) -> int:
        end = self._stop if self._bytes is None else self._start + len(self._bytes)
        return min(end, self._start + self.done + self._link.next_request())

    def _ask(self, stop: int) -> None:
        """One request, from the end of the last request to `stop`."""
        before = self.done
        with self._link.transfer() as transfer:
            answer = refuse_compressed(self._location, self._stores.get(self._location, self._start + before, stop))
            target = self._begun(answer)
            expected = answer.stop - answer.start
            for piece in answer.pieces:
                if self.done - before + len(piece) > expected:
                    self.done = before
                    raise WrongAnswerError(f"{expected} bytes were requested, and more came")
                self._keep(target, piece)
                transfer.received(len(piece))
        if self.done - before < expected:
            raise RemoteError(f"the answer ended early, after {self.done - before} of {expected} bytes")

    def _pass_by(self, *, refuse: bool) -> None:
        """One request for the whole object: takes the range out of it, or raises WholeSentError if it is no page."""
        at = 0
        with self._link.transfer() as transfer:
            answer = refuse_message(self._location, self._stores.get(self._location))
            self.sends_whole = True
            if refuse:
                raise WholeSentError(answer)
            target = self._begun(answer)
            for piece in answer.pieces:
                transfer.received(len(piece))
                at += len(piece)
                beyond = at - self._start - self.done
                if beyond > 0:
                    self._keep(target, piece[-beyond:][: len(target) - self.done])
                if self.done == len(target):
                    return
        raise RemoteError(f"the answer ended early, after {at} bytes")

    def _begun(self, answer: Answer) -> memoryview:
        """The memory for the bytes; checks the answer's version before it takes any byte."""
        self._check(answer.identity)
        if self._bytes is None:
            self._bytes = np.empty(max(0, min(self._stop, answer.identity.size) - self._start), np.uint8).data
        return self._bytes

    def _keep(self, target: memoryview, piece: memoryview) -> None:
        target[self.done : self.done + len(piece)] = piece
        self.done += len(piece)
        self._progress()
        if cancellation.is_set():
            raise StorageError(f"{self._location.shown}: reading was given up, since its reader was closed.")
