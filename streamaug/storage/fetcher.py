"""`Fetcher`: ranges read ahead on daemon threads, in the order in which they were asked for.

In: URLs and ranges. Out: futures of their bytes. It never holds a result beyond its future, and a thread without work
for a second ends, so that a forgotten fetcher leaves no thread behind.

A thread that is idle or has just finished requests a remote range that takes far longer than most a second time; the
first answer counts.
"""

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from streamaug.storage.cancellation import cancellation
from streamaug.storage.counting import ReadCounts, counting
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage, Url

T = TypeVar("T")

_IDLE_SECONDS = 1.0
_NUMBERS = itertools.count()
#: A range is a straggler after this many seconds and this many times the 95th percentile of recent ones.
_STRAGGLER_SECONDS = 1.0
_STRAGGLER_TIMES = 3.0
#: Recent ranges that are remembered, and the number needed before any counts as a straggler.
_RECENT, _LEAST = 256, 10
#: Bytes that may be asked for twice, as a share of the bytes asked for.
_EXTRA_SHARE = 0.01


@dataclass(slots=True, eq=False)
class _Request:
    """A call and its future; `again` repeats the call, None if it must not be repeated; `size` is its bytes.

    `about` is the range that it reads, if any, and `thread` the thread that serves it.
    """

    call: Callable[[], Any]
    future: "Future[Any]"
    again: Callable[[], Any] | None = None
    size: int = 0
    started: float = 0.0
    attempts: int = 0
    hedged: bool = False
    about: tuple[Location, int, int] | None = None
    thread: int | None = None


@dataclass(slots=True)
class _Pace:
    """The times of ranges; bytes that may still be asked for twice, and the share of a range that adds to them."""

    share: float
    allowance: float
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def patience(self) -> float:
        """Seconds after which a range is a straggler; infinite while too few ranges were timed."""
        if len(self.recent) < _LEAST:
            return float("inf")
        percentile = sorted(self.recent)[int(0.95 * (len(self.recent) - 1))]
        return max(_STRAGGLER_SECONDS, _STRAGGLER_TIMES * percentile)


class Fetcher:
    """A pool of daemon threads that reads ranges first in, first out.

    Args:
        storage: Reads the bytes.
        threads: Requests in flight at once, at least 1.
        extra_bytes: Bytes that may be asked for twice; None: 1% of the bytes asked for so far.

    Raises:
        ValueError: If `threads` is less than 1.
    """

    def __init__(self, storage: Storage, *, threads: int, extra_bytes: int | None = None) -> None:
        if threads < 1:
            raise ValueError(f"threads: must be at least 1, got {threads}. Pass 1 or more.")
        self._storage = storage
        self._limit = threads
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._running: set[_Request] = set()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False
        self._linger = _IDLE_SECONDS
        self._process = os.getpid()
        self._cancelled = threading.Event()
        self._pace = _Pace(share=_EXTRA_SHARE if extra_bytes is None else 0.0, allowance=extra_bytes or 0)
        self.hedged_requests = 0
        self.hedged_bytes = 0
        #: The counts of reading so far.
        self.counts = ReadCounts()

    def submit(self, url: Url, start: int, stop: int) -> "Future[memoryview]":
        """A future of bytes [start, stop) of `url`, or of the `StorageError` that names it.

        Raises:
            RuntimeError: If the fetcher was closed.
        """
        location = Location.parse(url)
        again = None
        if self._storage.options.hedge and not location.is_local:
            again = partial(self._storage.read_around_cache, location, start, stop)
        request = _Request(lambda: memoryview(self._storage.read(location, start, stop)), Future(), again, stop - start)
        request.about = location, start, stop
        self._put(request)
        return request.future

    def call(self, function: Callable[..., T], *arguments: object) -> "Future[T]":
        """A future of `function(*arguments)`, called on one of the threads, in turn with the reads.

        Raises:
            RuntimeError: If the fetcher was closed.
        """
        request = _Request(lambda: function(*arguments), Future())
        self._put(request)
        return request.future

    def allow_extra(self, num_bytes: int) -> None:
        """Allow `num_bytes` further bytes to be asked for twice."""
        with self._changed:
            self._pace.allowance += num_bytes

    def count_anew(self) -> None:
        """Count from 0 again; a request under way counts for the old counts."""
        self.counts = ReadCounts()

    def rest(self) -> None:
        """Let the threads end as soon as nothing is left to do, until the next request."""
        with self._changed:
            self._linger = 0.0
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait until every thread has ended, for `seconds` at most. After `rest` they end when all has been read."""
        with self._changed:
            threads = list(self._threads)
        until = time.monotonic() + seconds
        for thread in threads:
            started = thread.is_alive()  # an interrupt may have kept it from starting
            if started and thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def result(self, future: "Future[T]") -> T:
        """The result of a future of this fetcher; `counts` adds up the wait.

        Raises:
            StorageError: As the future does.
        """
        if future.done():
            return future.result()
        counts, began = self.counts, time.perf_counter_ns()
        counts.blocked = partial(self._blocked_on, future)
        try:
            return future.result()
        finally:
            counts.blocked = None
            counts.waited_ns += time.perf_counter_ns() - began

    @property
    def depth(self) -> int:
        """Requests that were asked for and have not come yet."""
        return len(self._waiting) + len(self._running)

    def _blocked_on(self, future: "Future[Any]") -> tuple[str, int | None]:
        """The cause for which a future waits, and the thread that serves it, if any."""
        with self._changed:
            served = [request for request in self._running if request.future is future]
            waiting = len(self._waiting)
        if not served:
            return f"a range has not been asked for, since {waiting} wait for their turn", None
        (request,) = served
        seconds = time.monotonic() - request.started
        if request.about is None:
            return f"a shard's index has not come, asked for {seconds:.1f} s ago", request.thread
        location, start, stop = request.about
        return (
            f"bytes {start} to {stop} of {location.shown} have not come, asked for {seconds:.1f} s ago",
            request.thread,
        )

    def close(self) -> None:
        """Cancel waiting requests and end the threads; wait for requests under way for a second at most."""
        if self._process != os.getpid():  # forked: there are no such threads here, and one may have held the lock
            return
        with self._changed:
            if self._closed:
                return
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        self._cancelled.set()
        for request in waiting:
            request.future.cancel()
        self.join(1.0)

    def _put(self, request: _Request) -> None:
        with self._changed:
            if self._closed:
                raise RuntimeError("Fetcher: must be open, got a request after close. Make a new one.")
            self._linger = _IDLE_SECONDS
            self._waiting.append(request)
            wanted = len(self._waiting)
            if request.again is not None:
                self._pace.allowance += self._pace.share * request.size
                wanted += 1  # a thread that watches for stragglers
            self._changed.notify()
            if self._idle < wanted and len(self._threads) < self._limit:
                name = f"streamaug-fetch-{next(_NUMBERS)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        cancellation.event = self._cancelled
        while (task := self._next()) is not None:
            counting.counts = self.counts
            self._serve(*task)
            del task

    def _next(self) -> tuple[_Request, Callable[[], Any]] | None:
        """The next call; None when the thread must end, and is off the list of threads already."""
        with self._changed:
            self._idle += 1
            idle_since = time.monotonic()
            try:
                while True:
                    straggler, due = self._straggler()
                    if straggler is not None and straggler.again is not None:
                        return straggler, straggler.again
                    while self._waiting:
                        request = self._waiting.popleft()
                        if request.future.set_running_or_notify_cancel():
                            request.started, request.attempts = time.monotonic(), 1
                            request.thread = threading.get_ident()
                            self._running.add(request)
                            return request, request.call
                    until = idle_since + self._linger if due == float("inf") else due
                    left = until - time.monotonic()
                    if self._closed or left <= 0.0:
                        self._threads.remove(threading.current_thread())
                        return None
                    self._changed.wait(left)
            finally:
                self._idle -= 1

    def _straggler(self) -> tuple[_Request | None, float]:
        """A range to ask for again, which now counts as hedged; or None, and the time of the next (infinite: never)."""
        candidates = [r for r in self._running if r.again and not r.hedged and r.size <= self._pace.allowance]
        if self._closed or not candidates:
            return None, float("inf")
        oldest = min(candidates, key=lambda request: request.started)
        due = oldest.started + self._pace.patience()
        if due > time.monotonic():
            return None, due
        oldest.hedged, oldest.attempts = True, oldest.attempts + 1
        self._pace.allowance -= oldest.size
        self.hedged_requests += 1
        self.counts.hedges += 1
        self.hedged_bytes += oldest.size
        return oldest, due

    def _serve(self, request: _Request, call: Callable[[], Any]) -> None:
        """Serve a request and settle its future, unless the other attempt has settled it or is still trying."""
        error: BaseException | None = None
        data = None
        try:
            data = call()
        except BaseException as caught:  # noqa: BLE001 - a future carries whatever happened, or its reader waits forever
            error = caught
        with self._changed:
            request.attempts -= 1
            first = request in self._running and (error is None or request.attempts == 0)
            if first:
                self._running.discard(request)
                if request.again is not None and error is None:
                    self._pace.recent.append(time.monotonic() - request.started)
                if not self._linger:  # threads that watch this request for a straggler are to end as well
                    self._changed.notify_all()
        if first and error is not None:
            request.future.set_exception(error)
        elif first:
            request.future.set_result(data)
