"""`Link`: the number of ranges to ask for at once, and the bytes of a request, by the link's speed.

In: the moments at which answers begin and end, and their bytes. Out: the turn of a waiting range, and a number of
bytes. It sends nothing.

A process begins with a few ranges at once. Each fast answer allows one more. Where answers are slow, it tries twice as
many for some seconds, and keeps that number if all ranges together brought a quarter more. So a server that limits each
connection is asked over more connections, and a narrow link is not shared by more ranges than it can serve soon. A
request asks for no more than ten seconds' bytes, nor for much more than the server sends in an answer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamaug.storage.cancellation import cancellation

#: Ranges at once to begin with, and at least.
FEW = 4
#: Bytes a second of an answer that count as fast; and as so slow that fewer ranges at once may each end sooner.
FAST, SLOW = 1_000_000, 100_000
#: Seconds over which all answers together are measured, and between two trials.
WINDOW, TRIAL_EVERY = 5.0, 60.0
#: The gain that twice as many ranges must bring to be kept.
GAIN = 1.25
#: Seconds that the body of one answer may take, and the bytes that are always asked for.
ANSWER_SECONDS, LEAST_BYTES = 10.0, 256 << 10
#: Seconds between a waiting range's checks whether it is still wanted.
_LOOK_SECONDS = 0.2
#: Requests of the size of the server's answers, until the reader tries twice that size again.
_HELD = 8


class Transfer:
    """An answer under way: its bytes, from the first piece on, since the wait before does not measure the link."""

    def __init__(self, link: "Link") -> None:
        self._link = link
        self._began = 0.0
        self._last = 0.0
        self._bytes = -1

    def received(self, count: int) -> None:
        """Note a piece that has come."""
        now = self._link.clock()
        if self._bytes < 0:
            self._began, self._bytes = now, 0
        else:
            self._bytes += count
        self._last = now
        self._link.note(count)

    @property
    def rate(self) -> float | None:
        """Bytes a second; infinite where the whole answer came at once, None where no byte came."""
        if self._bytes < 0:
            return None
        seconds = self._last - self._began
        return self._bytes / seconds if seconds > 0.0 and self._bytes > 0 else float("inf")


class Link:
    """Measurements of the way to a store; used by any number of threads.

    Args:
        most: Ranges at once at most.
        clock: Seconds.

    Attributes:
        limit: Ranges that are worth reading at once.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._most = most
        self._lock = threading.Condition()
        self._queue: deque[object] = deque()  # ranges that wait for their turn
        self._reading = 0  # ranges whose turn it is
        self.limit = min(FEW, most)
        self._least = self.limit
        self._rate = float("inf")  # of one answer, bytes a second, smoothed
        self._held = 0  # bytes that the server's answers hold at most; 0: no limit was seen
        self._full = 0
        self._active = 0
        # The window over which all answers together are measured.
        self._since = self._changed = clock()
        self._bytes = 0
        self._busy = 0.0  # seconds of all answers added up
        # A trial: the limit before it, and the bytes a second at that limit.
        self._before: tuple[int, float] | None = None
        self._next_trial = clock()

    def next_request(self) -> int:
        """Bytes that the next request may ask for."""
        with self._lock:
            wanted = max(LEAST_BYTES, int(min(self._rate * ANSWER_SECONDS, 1 << 40)))
            if not self._held:
                return wanted
            self._full += 1
            if self._full > _HELD:  # it may have been the end of a cache's block
                self._held, self._full = 2 * self._held, 0
            return min(wanted, self._held)

    def answers_hold(self, count: int) -> None:
        """The server would send only `count` bytes of a larger range."""
        with self._lock:
            self._held, self._full = max(1, count), 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until one more range may be read, in the order of asking; ends early where the thread must stop."""
        ticket = object()
        with self._lock:
            self._queue.append(ticket)
            while (self._queue[0] is not ticket or self._reading >= self.limit) and not cancellation.is_set():
                self._lock.wait(_LOOK_SECONDS)
            self._queue.remove(ticket)
            self._reading += 1
            self._lock.notify_all()
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1
                self._lock.notify_all()

    @contextmanager
    def transfer(self) -> Iterator[Transfer]:
        """An answer under way, from its request on."""
        transfer = Transfer(self)
        self._count(1)
        try:
            yield transfer
        finally:
            self._count(-1)
            if transfer.rate is not None:
                self._finish(transfer.rate)

    def note(self, count: int) -> None:
        """Note that bytes have come."""
        with self._lock:
            self._bytes += count
            self._measure()

    def _count(self, change: int) -> None:
        with self._lock:
            self._advance()
            self._active += change

    def _finish(self, rate: float) -> None:
        """Note that an answer has ended: a fast answer allows one more range at once."""
        with self._lock:
            if rate == float("inf"):
                fast = self._rate > FAST
            else:
                self._rate = rate if self._rate == float("inf") else 0.7 * self._rate + 0.3 * rate
                fast = rate > FAST
            if fast and self._before is None and self.limit < self._most:
                self.limit += 1
                self._lock.notify_all()

    def _advance(self) -> None:
        now = self.clock()
        self._busy += self._active * (now - self._changed)
        self._changed = now

    def _measure(self) -> None:
        """Judge the window that has ended, if the limit of answers was under way in it."""
        now = self.clock()
        seconds = now - self._since
        if seconds < WINDOW:
            return
        self._advance()
        rate, active = self._bytes / seconds, self._busy / seconds
        self._since, self._bytes, self._busy = now, 0, 0.0
        if 0.8 * self.limit <= active <= 1.1 * self.limit and rate < FAST * self.limit:
            self._judge(rate, now)

    def _judge(self, rate: float, now: float) -> None:
        """Keep or give up a trial, or begin one."""
        if self._before is not None:
            limit, before = self._before
            self._before = None
            if rate < GAIN * before:
                self.limit, self._next_trial = limit, now + TRIAL_EVERY
                return
            self._least = self.limit
        if self.limit < self._most and now >= self._next_trial:
            self._before = (self.limit, rate)
            self.limit = min(self._most, 2 * self.limit)
            self._lock.notify_all()
        elif rate < SLOW * self.limit and self.limit > self._least:
            self.limit = max(self._least, self.limit // 2)
            self._next_trial = now + TRIAL_EVERY
