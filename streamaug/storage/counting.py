"""Counts of the reads of a `Fetcher`: requests, bytes, retries, second requests and blocks of the cache.

In: calls where a request is sent, a piece comes, or a block is read. Out: numbers. Each thread of a fetcher counts for
that fetcher (`counting.counts`), so two chains on one set of shards have numbers of their own; it does not count other
threads' reads, and decides nothing.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class ReadCounts:
    """Counts of the reads of one fetcher, since it was made.

    Attributes:
        requests: Requests sent to a store, and reads of local files.
        bytes: Bytes received, those asked for twice included.
        retries: Requests that were repeated after a failure.
        hedges: Ranges that were asked for a second time because the first answer took long.
        cache_hits: Blocks that the disk cache had.
        cache_misses: Blocks that it did not have.
        waited_ns: Nanoseconds for which the thread that takes batches waited for ranges.
        blocked: While that thread waits: returns the cause, and the thread that serves it; else None.
    """

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    hedges: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    waited_ns: int = 0
    blocked: Callable[[], tuple[str, int | None]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, requests: int = 0, received: int = 0, retries: int = 0, hits: int = 0, misses: int = 0) -> None:
        """Count; from any thread."""
        with self._lock:
            self.requests += requests
            self.bytes += received
            self.retries += retries
            self.cache_hits += hits
            self.cache_misses += misses


class _Counting(threading.local):
    """The counts for which each thread reads."""

    counts: ReadCounts | None = None

    def add(self, *, requests: int = 0, received: int = 0, retries: int = 0, hits: int = 0, misses: int = 0) -> None:
        """Count for this thread's fetcher, if it has one."""
        if self.counts is not None:
            self.counts.add(requests=requests, received=received, retries=retries, hits=hits, misses=misses)


counting = _Counting()
