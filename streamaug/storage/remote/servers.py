"""`Servers`: what each server has shown in this process, and what was said of it.

In: locations, and what came of their requests. Out: whether a server has answered, or sends whole objects in place of
ranges; warnings and log lines that name a server, each once or once in a while. It sends no request.
"""

import logging
import time
import warnings

from streamaug.storage.location import Location
from streamaug.storage.remote.failures import RemoteError

_NO_RANGES = (
    "ignores byte ranges and sends whole objects instead: slow, since every range costs a whole shard. "
    "Serve the shards from a server that supports range requests"
)
#: Whole objects in a row, in place of a range, that are taken for an error that may pass: of a server that was asked
#: for no range yet, and of a server that has answered with ranges.
_SLIPS_AT_FIRST, _SLIPS_OF_RANGES = 1, 2
#: Seconds for which failures of the same server lead to a single warning.
_SAY_EVERY = 60.0

_log = logging.getLogger("streamaug.storage")


class Servers:
    """The servers of one process; used by any number of threads."""

    def __init__(self) -> None:
        self._answered: set[str] = set()  # servers that did
        self._send_whole: set[str] = set()  # URLs whose last answer to a range was the whole object
        self._slips: dict[str, int] = {}  # servers that have answered ranges, and how far wholes are taken for slips
        self._warned: set[tuple[str, str]] = set()
        self._said: dict[str, float] = {}

    def note_answer(self, location: Location) -> None:
        """Note that the server has answered as was asked."""
        self._answered.add(location.server)

    def has_answered(self, location: Location) -> bool:
        """Whether the server ever did."""
        return location.server in self._answered

    def note_whole(self, location: Location, sends_whole: bool | None, *, warn: bool) -> None:
        """Note whether the server answered a range with the whole object; None: it answered otherwise."""
        if sends_whole:
            self._slips[location.server] = 0
            self._send_whole.add(location.url)
            if warn:
                self.warn_of_no_ranges(location)
        elif sends_whole is False:
            self._slips[location.server] = _SLIPS_OF_RANGES
            self._send_whole.discard(location.url)

    def sends_whole(self, location: Location) -> bool:
        """Whether the server answered the last range of the object with all of it."""
        return location.url in self._send_whole

    def slips(self, location: Location) -> int:
        """Whole objects in a row, in place of a range, that are taken for an error that may pass."""
        return self._slips.get(location.server, _SLIPS_AT_FIRST)

    def warn_of_no_ranges(self, location: Location) -> None:
        """Warn, once, that the server ignores ranges."""
        self.warn_once(location, _NO_RANGES)

    def warn_once(self, location: Location, what: str) -> None:
        """Warn of a server, once for each kind of warning."""
        if (location.server, what) not in self._warned:
            self._warned.add((location.server, what))
            warnings.warn(f"{location.shown}: the server {what}.", UserWarning, stacklevel=2)

    def say(self, location: Location, failure: RemoteError, seconds: float) -> None:
        """Log why reading takes long: one line for each server a minute, however many threads try."""
        now = time.monotonic()
        if now - self._said.get(location.server, -_SAY_EVERY) >= _SAY_EVERY:
            self._said[location.server] = now
            _log.warning("%s: still trying after %.0f s: %s. %s", location.shown, seconds, failure, failure.fix)
