"""Whole shards worked on at once, results in order: for opening, indexing and checking.

The threads are daemons and are not waited for: Ctrl-C, or an error in one shard, ends the work now and not when every
server has answered.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from streamaug.storage.fetch import Fetcher
from streamaug.storage.progress import progress
from streamaug.storage.stores import Storage

S = TypeVar("S")
T = TypeVar("T")


def in_parallel(
    storage: Storage, function: Callable[[S], T], items: Sequence[S], *, what: str, threads: int | None = None
) -> Iterator[T]:
    """`function(item)` of every item, in their order, with a progress bar.

    Args:
        storage: What the function reads from; its reads are given up when the work is.
        function: What to do with one item, on any thread.
        items: Shards, as a rule.
        what: The bar's title.
        threads: Items worked on at once; None: the storage's `concurrency`.

    Raises:
        Exception: What the function raises for the first item that fails.
    """
    fetcher = Fetcher(storage, threads=threads or storage.options.concurrency)
    try:
        futures = deque(fetcher.call(function, item) for item in items)
        for _ in progress(range(len(items)), total=len(items), what=what):
            yield futures.popleft().result()
    finally:
        fetcher.close()
