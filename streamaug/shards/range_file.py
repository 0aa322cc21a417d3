"""`RangeFile`: a remote object as a file that is read forward, which skips unread parts where that saves time.

In: an object, and the speed of its store so far. Out: bytes, by requests of a size that grows while reading goes on
without a gap. It reads through a gap whose bytes take less time than a request.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator

from streamaug.errors import StorageError
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage

#: Bytes of the first request behind a skip, and of the largest one.
_LEAST, _MOST = 16 << 10, 8 << 20
#: A header's length, by which the file can go back without another request.
_BACK = 512
#: A gap below this is never worth a request, whatever was measured.
_LEAST_GAP = 64 << 10
#: A request grows to this many gaps: then four fifths of its time bring bytes, and few bytes are unneeded.
_GAPS = 4
#: Requests of at least this many bytes measure the rate of bytes; requests behind a skip, the cost of a skip.
_LARGE = 128 << 10
#: Skips and large requests to try before either is preferred; the very first sets the connection up.
_TRIED_SKIPS, _TRIED_LARGE = 4, 2
#: The number of latest requests of either kind that count.
_RECENT = 16


class Pace:
    """The speed of a store, over all threads that read from it, which decides the gaps to skip."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._skips: deque[float] = deque(maxlen=_RECENT)
        self._rates: deque[float] = deque(maxlen=_RECENT)

    def note(self, num_bytes: int, seconds: float) -> None:
        """Note a request.

        Args:
            num_bytes: The bytes that it brought.
            seconds: Its time, body included.
        """
        with self._lock:
            if num_bytes <= _LEAST:
                self._skips.append(seconds)
            elif num_bytes >= _LARGE and self._skips:
                # The wait for an answer is at most four fifths of its time, however long that for another was.
                self._rates.append(num_bytes / max(seconds - self._skip_seconds, seconds / 5, 1e-6))

    @property
    def gap(self) -> int:
        """Bytes that take as long as a request, from which on skipping pays; at first, it tries both ways."""
        with self._lock:
            if len(self._skips) < _TRIED_SKIPS:
                return _LEAST_GAP
            return self._estimate

    @property
    def most(self) -> int:
        """Bytes of the largest request."""
        with self._lock:
            return min(_MOST, _GAPS * self._estimate)

    @property
    def _skip_seconds(self) -> float:
        """The cost of a skip: the lower quartile, because some answers wait for others."""
        return sorted(self._skips)[len(self._skips) // 4]

    @property
    def _estimate(self) -> int:
        if not self._skips or len(self._rates) < _TRIED_LARGE:
            return _MOST
        rate = sorted(self._rates)[len(self._rates) // 2]
        return max(_LEAST_GAP, min(_MOST, int(self._skip_seconds * rate)))


class RangeFile:
    """A remote object as a file.

    Args:
        storage: Reads the object.
        location: The object.
        size: Its size in bytes.
        pace: Measures the requests, and says which gaps to skip; None: read everything.
    """

    def __init__(self, storage: Storage, location: Location, size: int, pace: Pace | None = None) -> None:
        self._storage = storage
        self._location = location
        self._size = size
        self._pace = pace
        self._request = _MOST if pace is None else _LEAST
        self._at = 0
        self._held = bytearray()
        self._held_from = 0
        self._pieces: Iterator[memoryview] | None = None

    def seek(self, offset: int, /) -> int:
        """Go to an absolute offset."""
        self._at = offset
        return offset

    def tell(self) -> int:
        """The present offset."""
        return self._at

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end."""
        stop = min(self._at + size, self._size)
        if self._at < self._held_from:
            self._go_to(self._at)
        while self._held_from + len(self._held) < stop:
            self._fetch(stop)
        data = bytes(self._held[self._at - self._held_from : stop - self._held_from])
        self._at += len(data)
        return data

    def _go_to(self, offset: int) -> None:
        """Drop the bytes held, and go on at an offset."""
        self._held.clear()
        self._held_from, self._pieces = offset, None
        self._request = _MOST if self._pace is None else _LEAST

    def _fetch(self, stop: int) -> None:
        """Fetch the bytes behind those held, or, behind a gap that is worth skipping, those at the offset."""
        end = self._held_from + len(self._held)
        if self._pace is not None and self._pieces is None and self._at - end >= self._pace.gap:
            self._go_to(self._at)
            end = self._at
        keep = max(0, min(self._at, end - _BACK) - self._held_from)
        del self._held[:keep]
        self._held_from += keep
        if self._pieces is None and self._storage.sends_whole(self._location):
            self._pieces = self._storage.stream(self._location, end)  # else each request would cost the whole object
        if self._pieces is None:
            self._held += self._read(end, min(max(end + self._request, stop), self._size))
            self._request = min(2 * self._request, _MOST if self._pace is None else self._pace.most)
        else:
            piece = next(self._pieces, None)
            if piece is None:
                raise StorageError(f"{self._location.shown}: must hold {self._size} bytes, got {end}. Copy it again.")
            self._held += piece

    def _read(self, start: int, stop: int) -> memoryview:
        if self._pace is None:
            return memoryview(self._storage.read(self._location, start, stop))
        began = time.monotonic()
        data = self._storage.read_around_cache(self._location, start, stop)
        self._pace.note(len(data), time.monotonic() - began)
        return data
