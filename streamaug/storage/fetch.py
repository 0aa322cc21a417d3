"""`Fetcher`: ranges read ahead on daemon threads, in the order in which they were asked for.

In: URLs and ranges. Out: futures of their bytes. It never holds a result beyond its future, and a thread that finds
nothing to do for a second ends, so that a fetcher which was forgotten leaves nothing behind either.
"""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from streamaug.storage.stores import Storage

T = TypeVar("T")

_IDLE_SECONDS = 1.0
_NUMBERS = itertools.count()


@dataclass(slots=True, eq=False)
class _Request:
    work: Callable[[], Any]
    future: "Future[Any]"


class Fetcher:
    """A pool of daemon threads that reads ranges first in, first out.

    Args:
        storage: Where the bytes come from.
        threads: Requests in flight at once, at least 1.

    Raises:
        ValueError: If `threads` is less than 1.
    """

    def __init__(self, storage: Storage, *, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads: must be at least 1, got {threads}. Pass 1 or more.")
        self._storage = storage
        self._limit = threads
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, url: str, start: int, stop: int) -> "Future[memoryview]":
        """A future of bytes [start, stop) of `url`, or of the `StorageError` that names it.

        Raises:
            RuntimeError: If the fetcher was closed.
        """
        return self.call(lambda: memoryview(self._storage.read(url, start, stop)))

    def call(self, function: Callable[..., T], *arguments: object) -> "Future[T]":
        """A future of `function(*arguments)`, called on one of the threads, in turn with the reads.

        Raises:
            RuntimeError: If the fetcher was closed.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("Fetcher: must be open, got a request after close. Make a new one.")
            self._waiting.append(_Request(lambda: function(*arguments), future))
            if self._idle >= len(self._waiting) or len(self._threads) >= self._limit:
                self._changed.notify()
            else:
                name = f"streamaug-fetch-{next(_NUMBERS)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def close(self) -> None:
        """Cancel what waits and end the threads; what is on its way is waited for no longer than a second."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            waiting, threads = list(self._waiting), list(self._threads)
            self._waiting.clear()
            self._changed.notify_all()
        for request in waiting:
            request.future.cancel()
        until = time.monotonic() + 1.0
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (request := self._next()) is not None:
            self._serve(request)
            del request

    def _next(self) -> _Request | None:
        """The request to serve; None when the thread shall end, already struck from the list of threads."""
        with self._changed:
            self._idle += 1
            until = time.monotonic() + _IDLE_SECONDS
            while not self._waiting and not self._closed and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._threads.remove(threading.current_thread())
            return None

    def _serve(self, request: _Request) -> None:
        if not request.future.set_running_or_notify_cancel():
            return
        try:
            data = request.work()
        except BaseException as error:  # noqa: BLE001 - a future carries whatever happened, or its reader waits forever
            request.future.set_exception(error)
        else:
            request.future.set_result(data)
