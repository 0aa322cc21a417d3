"""`Fetcher`: ranges read ahead on daemon threads, in the order in which they were asked for.

In: URLs and ranges. Out: futures of their bytes. It never holds a result beyond its future, and a thread that finds
nothing to do for a second ends, so that a fetcher which was forgotten leaves nothing behind either.

A remote range that takes far longer than most is asked for a second time by a thread that has nothing else to do, or
is just done; whichever answer comes first counts.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from streamaug.storage.cancellation import cancellation
from streamaug.storage.stores import Storage
from streamaug.storage.urls import is_local

T = TypeVar("T")

_IDLE_SECONDS = 1.0
_NUMBERS = itertools.count()
#: A range is a straggler after this many seconds and this many times the 95th percentile of recent ones.
_STRAGGLER_SECONDS = 1.0
_STRAGGLER_TIMES = 3.0
#: Recent ranges that are remembered, and how many there must be before any is called a straggler.
_RECENT, _LEAST = 256, 10
#: Bytes that are asked for twice, as a share of the bytes asked for.
_EXTRA_SHARE = 0.01


@dataclass(slots=True, eq=False)
class _Request:
    """A call and its future; `again` is how to do it a second time, if that may be, and `size` its bytes."""

    call: Callable[[], Any]
    future: "Future[Any]"
    again: Callable[[], Any] | None = None
    size: int = 0
    started: float = 0.0
    attempts: int = 0
    hedged: bool = False


@dataclass(slots=True)
class _Pace:
    """How long ranges take; how many bytes may still be asked for twice, and what share of each range adds to them."""

    share: float
    allowance: float
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def patience(self) -> float:
        """Seconds after which a range is a straggler; infinite while too few are known."""
        if len(self.recent) < _LEAST:
            return float("inf")
        percentile = sorted(self.recent)[int(0.95 * (len(self.recent) - 1))]
        return max(_STRAGGLER_SECONDS, _STRAGGLER_TIMES * percentile)


class Fetcher:
    """A pool of daemon threads that reads ranges first in, first out.

    Args:
        storage: Where the bytes come from.
        threads: Requests in flight at once, at least 1.
        extra_bytes: Bytes that may be asked for twice; None: 1% of those asked for so far.

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
        self._cancelled = threading.Event()
        self._pace = _Pace(share=_EXTRA_SHARE if extra_bytes is None else 0.0, allowance=extra_bytes or 0)
        self.hedged_requests = 0
        self.hedged_bytes = 0

    def submit(self, url: str, start: int, stop: int) -> "Future[memoryview]":
        """A future of bytes [start, stop) of `url`, or of the `StorageError` that names it.

        Raises:
            RuntimeError: If the fetcher was closed.
        """
        again = None
        if self._storage.options.hedge and not is_local(url):
            again = partial(self._storage.read_around_cache, url, start, stop)
        request = _Request(lambda: memoryview(self._storage.read(url, start, stop)), Future(), again, stop - start)
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

    def close(self) -> None:
        """Cancel what waits and end the threads; what is on its way is waited for no longer than a second."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            waiting, threads = list(self._waiting), list(self._threads)
            self._waiting.clear()
            self._changed.notify_all()
        self._cancelled.set()
        for request in waiting:
            request.future.cancel()
        until = time.monotonic() + 1.0
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _put(self, request: _Request) -> None:
        with self._changed:
            if self._closed:
                raise RuntimeError("Fetcher: must be open, got a request after close. Make a new one.")
            self._waiting.append(request)
            wanted = len(self._waiting)
            if request.again is not None:
                self._pace.allowance += self._pace.share * request.size
                wanted += 1  # one that watches for stragglers
            self._changed.notify()
            if self._idle < wanted and len(self._threads) < self._limit:
                name = f"streamaug-fetch-{next(_NUMBERS)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        cancellation.event = self._cancelled
        while (task := self._next()) is not None:
            self._serve(*task)
            del task

    def _next(self) -> tuple[_Request, Callable[[], Any]] | None:
        """What to do next; None when the thread shall end, already struck from the list of threads."""
        with self._changed:
            self._idle += 1
            until = time.monotonic() + _IDLE_SECONDS
            try:
                while True:
                    straggler, due = self._straggler()
                    if straggler is not None and straggler.again is not None:
                        return straggler, straggler.again
                    while self._waiting:
                        request = self._waiting.popleft()
                        if request.future.set_running_or_notify_cancel():
                            request.started, request.attempts = time.monotonic(), 1
                            self._running.add(request)
                            return request, request.call
                    left = (until if due == float("inf") else due) - time.monotonic()
                    if self._closed or left <= 0.0:
                        self._threads.remove(threading.current_thread())
                        return None
                    self._changed.wait(left)
            finally:
                self._idle -= 1

    def _straggler(self) -> tuple[_Request | None, float]:
        """A range to ask for again, now counted as such; or None, and when the next will be due (infinite: never)."""
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
        self.hedged_bytes += oldest.size
        return oldest, due

    def _serve(self, request: _Request, call: Callable[[], Any]) -> None:
        """Do a request and settle its future, unless the other attempt has settled it or is still trying."""
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
        if first and error is not None:
            request.future.set_exception(error)
        elif first:
            request.future.set_result(data)
