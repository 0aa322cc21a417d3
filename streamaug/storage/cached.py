"""Reading remote ranges through the block cache: what is there from disk, the rest in as few requests as possible.

In: a URL, its identity, a range. Out: the bytes. Within a process a block is fetched once, whoever asks for it first;
the others wait for it.
"""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from streamaug.storage.cache import BlockCache, blocks_of, key_of
from streamaug.storage.options import CACHE_BLOCK
from streamaug.storage.remote import Identity
from streamaug.storage.urls import shown

Fetch = Callable[[int, int], memoryview]


class CachedReader:
    """Ranges of objects by way of a cache.

    Args:
        cache: The blocks on disk.
    """

    def __init__(self, cache: BlockCache) -> None:
        self.cache = cache
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, int], threading.Event] = {}

    def read(self, url: str, identity: Identity, start: int, stop: int, fetch: Fetch, *, whole: bool) -> memoryview:
        """Bytes [start, stop) of the object, all inside it.

        Args:
            url: The object.
            identity: Its version, part of the blocks' key.
            start: First byte.
            stop: One past the last byte.
            fetch: Reads a range from the store, exactly.
            whole: Fetch all of the object where a block is missing, for servers that send all of it anyway.

        Raises:
            StorageError: What `fetch` raises.
        """
        key = key_of(shown(url), identity.size, identity.tag)
        target = np.empty(stop - start, np.uint8).data
        missing = [b for b in blocks_of(start, stop) if not self._from_disk(key, b, target, start, stop)]
        while missing:
            mine, others = self._claim(key, missing)
            try:  # what another thread fetched and released since we looked is on the disk by now
                absent = [b for b in mine if not self._from_disk(key, b, target, start, stop)]
                if absent and whole:
                    self._fetch(key, 0, identity.size, target, start, fetch)
                for first, last in _contiguous([] if whole else absent):
                    end = min((last + 1) * CACHE_BLOCK, identity.size)
                    self._fetch(key, first * CACHE_BLOCK, end, target, start, fetch)
            finally:
                self._release(key, mine)
            for event in others.values():
                event.wait()
            missing = [b for b in others if not self._from_disk(key, b, target, start, stop)]
        return target

    def _from_disk(self, key: str, block: int, target: memoryview, start: int, stop: int) -> bool:
        base = block * CACHE_BLOCK
        first, last = max(start, base), min(stop, base + CACHE_BLOCK)
        return self.cache.read_into(key, block, target[first - start : last - start], first - base, last - base)

    def _fetch(self, key: str, begin: int, end: int, target: memoryview, start: int, fetch: Fetch) -> None:
        """Fetch bytes [begin, end), whole blocks; keep them, and copy what of them was asked for."""
        data = fetch(begin, end)
        first, last = max(begin, start), min(end, start + len(target))
        target[first - start : last - start] = data[first - begin : last - begin]
        for block in blocks_of(begin, end):
            base = block * CACHE_BLOCK - begin
            self.cache.write(key, block, data[base : base + CACHE_BLOCK])

    def _claim(self, key: str, blocks: Sequence[int]) -> tuple[list[int], dict[int, threading.Event]]:
        """The blocks that nobody is fetching, now ours; and those that another thread is."""
        mine: list[int] = []
        others: dict[int, threading.Event] = {}
        with self._lock:
            for block in blocks:
                event = self._flights.get((key, block))
                if event is None:
                    self._flights[key, block] = threading.Event()
                    mine.append(block)
                else:
                    others[block] = event
        return mine, others

    def _release(self, key: str, blocks: Sequence[int]) -> None:
        with self._lock:
            for block in blocks:
                self._flights.pop((key, block)).set()


def _contiguous(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each stretch of consecutive numbers."""
    out: list[tuple[int, int]] = []
    for block in blocks:
        if out and out[-1][1] == block - 1:
            out[-1] = (out[-1][0], block)
        else:
            out.append((block, block))
    return out
