"""Reads remote ranges through the block cache: cached blocks from the disk, the rest in as few requests as possible.

In: one version of an object and a range. Out: the bytes. The first thread or process of the node that asks for a block
fetches it; the others wait for it. Where no block can be written, it fetches only the bytes asked for.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from streamaug.errors import StorageError
from streamaug.storage.cache.blocks import BlockCache, Claim, block_name, blocks_of
from streamaug.storage.cancellation import cancellation
from streamaug.storage.counting import counting
from streamaug.storage.options import CACHE_BLOCK

#: Seconds between looks for a block that another process is fetching.
_POLL_SECONDS = 0.005
#: Seconds between signs that this process's fetching goes on.
_TOUCH_SECONDS = 1.0


class Source(NamedTuple):
    """A version of an object, and the functions that fetch its bytes.

    Attributes:
        name: Its name in messages.
        key: Its name in the cache.
        size: Bytes.
        fetch: Returns exactly bytes [start, stop) from the store; calls its third argument whenever bytes have come.
        stream: Returns all bytes in order, for a server that sends whole objects only; else None.
    """

    name: str
    key: str
    size: int
    fetch: Callable[[int, int, Callable[[], None]], memoryview]
    stream: Callable[[], Iterator[memoryview]] | None = None


class _Wanted:
    """A range of a source, filled block by block."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self.source, self.start, self.stop = source, start, stop
        self.bytes = np.empty(stop - start, np.uint8).data

    def put(self, data: memoryview, begin: int) -> None:
        """Copy the wanted part of bytes that begin at `begin`."""
        first, last = max(begin, self.start), min(begin + len(data), self.stop)
        if first < last:
            self.bytes[first - self.start : last - self.start] = data[first - begin : last - begin]

    def clipped(self, block: int) -> tuple[int, int]:
        """The first wanted byte of a block, and one past the last."""
        return max(self.start, block * CACHE_BLOCK), min(self.stop, (block + 1) * CACHE_BLOCK)


class CachedReader:
    """Reads ranges of objects through a cache.

    Args:
        cache: The blocks on disk.
        patience: Seconds without progress of a block that another process is fetching, before this process fetches it
            too.
    """

    def __init__(self, cache: BlockCache, patience: float) -> None:
        self.cache = cache
        self._patience = patience
        self._lock = threading.Lock()
        self._in_flight: dict[str, threading.Event] = {}

    def read(self, source: Source, start: int, stop: int) -> memoryview:
        """Bytes [start, stop) of the object, all inside it.

        Raises:
            StorageError: As `fetch` and `stream` do; or if the read was given up meanwhile.
        """
        self.cache.give_way()
        wanted = _Wanted(source, start, stop)
        blocks = blocks_of(start, stop)
        missing = self._absent(wanted, blocks)
        counting.add(hits=len(blocks) - len(missing), misses=len(missing))
        while missing:
            mine, others = self._claim_blocks(source.key, missing)
            try:
                # A block that another thread fetched and released since we looked is on the disk by now.
                self._fill(wanted, self._absent(wanted, mine))
            finally:
                self._release_blocks(source.key, mine)
            for event in others.values():
                while not event.wait(0.2):
                    _raise_if_cancelled(source)
            missing = self._absent(wanted, others)
        return wanted.bytes

    def _absent(self, wanted: _Wanted, blocks: "Sequence[int] | dict[int, threading.Event]") -> list[int]:
        """The blocks that are not on the disk; copies the others."""
        return [block for block in blocks if not self._from_disk(wanted, block)]

    def _from_disk(self, wanted: _Wanted, block: int) -> bool:
        first, last = wanted.clipped(block)
        target = wanted.bytes[first - wanted.start : last - wanted.start]
        base = block * CACHE_BLOCK
        return self.cache.read_into(wanted.source.key, block, target, first - base, last - base)

    def _fill(self, wanted: _Wanted, blocks: list[int]) -> None:
        """Get blocks that no other thread of this process is getting."""
        source = wanted.source
        if source.stream is not None and blocks:
            self._fill_by_stream(wanted, blocks, source.stream)
            return
        waiting = _Waiting(self.cache, self._patience)
        while blocks:
            claims: dict[int, Claim] = {}
            try:
                if self.cache.keeps() and waiting.is_worth_it(block_name(source.key, blocks[0])):
                    for block in blocks:
                        claim = self.cache.claim(block_name(source.key, block))
                        if claim is not None:
                            claims[block] = claim
                    self._fetch_claimed(wanted, claims)
                else:
                    self._fetch_exactly(wanted, blocks)
                    return
            finally:
                for claim in claims.values():
                    self.cache.release(claim)
            blocks = self._absent(wanted, [block for block in blocks if block not in claims])
            if blocks and cancellation.wait(_POLL_SECONDS):
                _raise_if_cancelled(source)

    def _fetch_claimed(self, wanted: _Wanted, claims: dict[int, Claim]) -> None:
        """Fetch whole blocks, copy the wanted parts, and keep the blocks."""
        source = wanted.source
        for first, last in _contiguous(self._absent(wanted, list(claims))):
            begin, end = first * CACHE_BLOCK, min((last + 1) * CACHE_BLOCK, source.size)
            data = source.fetch(begin, end, _Touch(self.cache, [claims[block] for block in range(first, last + 1)]))
            wanted.put(data, begin)
            for block in range(first, last + 1):
                at = block * CACHE_BLOCK - begin
                self.cache.finish(claims[block], data[at : at + CACHE_BLOCK])

    def _fetch_exactly(self, wanted: _Wanted, blocks: list[int]) -> None:
        for first, last in _contiguous(blocks):
            begin, end = wanted.clipped(first)[0], wanted.clipped(last)[1]
            wanted.put(wanted.source.fetch(begin, end, lambda: None), begin)

    def _fill_by_stream(self, wanted: _Wanted, blocks: list[int], stream: Callable[[], Iterator[memoryview]]) -> None:
        """Read the whole object once, one block in memory at a time; others wait, and read it from the disk."""
        source = wanted.source
        name, waiting = f"{source.key}-whole", _Waiting(self.cache, self._patience)
        while (claim := self.cache.claim(name)) is None and waiting.is_worth_it(name):
            if cancellation.wait(_POLL_SECONDS):
                _raise_if_cancelled(source)
        try:
            if not self._absent(wanted, blocks):
                return
            at, held = 0, bytearray()
            touch = _Touch(self.cache, [] if claim is None else [claim])
            for piece in stream():
                touch()
                wanted.put(piece, at + len(held))
                held += piece
                while len(held) >= CACHE_BLOCK or (held and at + len(held) == source.size):
                    self.cache.write(source.key, at // CACHE_BLOCK, memoryview(bytes(held[:CACHE_BLOCK])))
                    at += len(held[:CACHE_BLOCK])
                    del held[:CACHE_BLOCK]
        finally:
            if claim is not None:
                self.cache.release(claim)

    def _claim_blocks(self, key: str, blocks: Sequence[int]) -> tuple[list[int], dict[int, threading.Event]]:
        """The blocks that no thread is fetching, which are now claimed; and those that others fetch."""
        mine: list[int] = []
        others: dict[int, threading.Event] = {}
        with self._lock:
            for block in blocks:
                event = self._in_flight.get(block_name(key, block))
                if event is None:
                    self._in_flight[block_name(key, block)] = threading.Event()
                    mine.append(block)
                else:
                    others[block] = event
        return mine, others

    def _release_blocks(self, key: str, blocks: Sequence[int]) -> None:
        with self._lock:
            for block in blocks:
                self._in_flight.pop(block_name(key, block)).set()


class _Touch:
    """Shows other processes, once a second at most, that the fetching of some claims goes on."""

    def __init__(self, cache: BlockCache, claims: Sequence[Claim]) -> None:
        self._cache, self._claims = cache, claims
        self._next = time.monotonic() + _TOUCH_SECONDS

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _TOUCH_SECONDS
            for claim in self._claims:
                self._cache.touch(claim)


class _Waiting:
    """The wait for another process' fetching: as long as it goes on, and `patience` seconds more."""

    def __init__(self, cache: BlockCache, patience: float) -> None:
        self._cache, self._patience = cache, patience
        self._began = time.monotonic()

    def is_worth_it(self, name: str) -> bool:
        """Whether to go on waiting for the block or object of that name."""
        waited = time.monotonic() - self._began
        return waited < self._patience or self._cache.idle_seconds(name) < self._patience


def _raise_if_cancelled(source: Source) -> None:
    """Raise an error if this thread must stop reading."""
    if cancellation.is_set():
        raise StorageError(f"{source.name}: reading was given up, since its reader was closed.")


def _contiguous(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """The first and the last number of each stretch of consecutive numbers."""
    out: list[tuple[int, int]] = []
    for block in blocks:
        if out and out[-1][1] == block - 1:
            out[-1] = (out[-1][0], block)
        else:
            out.append((block, block))
    return out
