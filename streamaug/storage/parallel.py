"""Work on many shards at once, with results in order: for opening, indexing and checking.

The threads are daemons, for which nothing waits: Ctrl-C, or an error in a shard, ends the work at once and not when
every server has answered.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from streamaug.storage.fetcher import Fetcher
from streamaug.storage.progress import Progress
from streamaug.storage.storage import Storage

S = TypeVar("S")
T = TypeVar("T")


def in_parallel(
    storage: Storage, function: Callable[[S], T], items: Sequence[S], *, what: str, threads: int | None = None
) -> Iterator[T]:
    """`function(item)` of every item, in order, with a bar or lines of progress.

    Args:
        storage: The storage from which the function reads; its reads end when the work ends.
        function: The work on an item, on any thread.
        items: Shards, as a rule.
        what: The bar's title.
        threads: Items worked on at once; None: the storage's `concurrency`.

    Raises:
        Exception: The exception of the first item that fails.
    """
    fetcher = Fetcher(storage, threads=threads or storage.options.concurrency)
    try:
        futures = deque(fetcher.call(function, item) for item in items)
        with Progress(total=len(items), what=what) as progress:
            while futures:
                yield progress.step(futures.popleft())
    finally:
        fetcher.close()
