"""Bytes ahead of need, under a memory limit.

In: wants in the order of first need. Out: pieces whose bytes are there, when a batch needs them. Fetching is first in,
first out in the order of need, part by part, so what the next batch waits for is never behind what a later one wants;
a batch waits for the parts that hold its own samples, not for whole pieces. Bytes count against the limit from the
request until the last sample of their piece is delivered. Where a piece is needed now and does not fit, it is cut to
what does, one batch's samples at the least: never a deadlock.
"""

import heapq
import itertools
import warnings
from collections.abc import Iterator
from concurrent.futures import Future

import numpy as np

from streamaug.reader.pieces import Piece, locate, shards_of
from streamaug.reader.schedule import Want
from streamaug.shards import ShardIndex, ShardSet
from streamaug.storage.fetch import Fetcher


class Held:
    """A piece that was asked for, and its parts as they arrive."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        self.futures: list[Future[memoryview]] = []
        self._arrived: dict[int, memoryview] = {}

    def part(self, number: int) -> memoryview:
        """The bytes of a part; waits for them."""
        data = self._arrived.get(number)
        if data is None:
            data = self._arrived[number] = self.futures[number].result()
        return data


class IndexCache:
    """The indexes of the shards in use: loaded ahead on the fetcher's threads, dropped after their last run."""

    def __init__(self, shards: ShardSet, fetcher: Fetcher, *, capacity: int) -> None:
        self._shards, self._fetcher, self._capacity = shards, fetcher, capacity
        self._futures: dict[int, Future[ShardIndex]] = {}

    def request(self, numbers: list[int]) -> None:
        """Begin to load what is not there; what was used longest ago goes first when there are too many."""
        for number in numbers:
            future = self._futures.pop(number, None)
            if future is None:
                future = self._fetcher.call(self._shards.index, number)
            self._futures[number] = future
        while len(self._futures) > max(self._capacity, len(numbers)):
            del self._futures[next(iter(self._futures))]

    def ready(self, numbers: list[int]) -> bool:
        """Whether all of them are loaded."""
        return all(number in self._futures and self._futures[number].done() for number in numbers)

    def get(self, numbers: list[int]) -> dict[int, ShardIndex]:
        """The indexes; waits for them."""
        self.request(numbers)
        return {number: self._futures[number].result() for number in numbers}


class Prefetcher:
    """Hands out pieces as batches need them, and asks for later ones meanwhile.

    Args:
        shards: Where samples lie.
        fetcher: Who fetches; closed by the caller.
        upcoming: What will be needed, by first need.
        limit: Bytes held at most, undelivered and under way.
        allowance: Bytes of a piece at most, where whole runs do not fit the limit; None: no bound.
        ahead: Positions to ask ahead of the batch under way.
        lanes: Lanes this rank reads; so many indexes are in use at a time, and as many soon.
        exclusive: Whether no other rank reads what lies between this one's samples.
        part_bytes: Bytes of a request, or a little more.
        urgent: What earlier positions need, those of the first batch, is asked for sample by sample.
    """

    def __init__(
        self,
        shards: ShardSet,
        fetcher: Fetcher,
        upcoming: Iterator[Want],
        *,
        limit: int,
        allowance: int | None,
        ahead: int,
        lanes: int,
        exclusive: bool,
        part_bytes: int,
        urgent: int,
    ) -> None:
        self._shards, self._fetcher, self._upcoming = shards, fetcher, upcoming
        self._exclusive = exclusive
        self._part_bytes, self._urgent = part_bytes, urgent
        self._limit, self._allowance, self._ahead = limit, allowance, ahead
        self._indexes = IndexCache(shards, fetcher, capacity=4 * lanes + 8)
        self._planned: list[tuple[int, int, Want]] = []
        self._serial = itertools.count()
        self._next_want: Want | None = next(upcoming, None)
        self._waiting: Piece | None = None
        self._asked: list[Held] = []
        self._held_bytes = 0
        self.peak_bytes = 0
        self._warned = False

    def take(self, stop: int) -> list[Held]:
        """Every piece that holds a position below `stop`; earlier ones that are used up are gone."""
        used = [held for held in self._asked if held.piece.taken == len(held.piece.keys)]
        if used:
            self._held_bytes -= sum(held.piece.num_bytes for held in used)
            self._asked = [held for held in self._asked if held.piece.taken < len(held.piece.keys)]
        self._plan(stop + self._ahead)
        known = len(self._asked)
        while self._ask(stop):
            pass
        self._submit(self._asked[known:])
        return [held for held in self._asked if held.piece.positions[held.piece.taken] < stop]

    def _plan(self, horizon: int) -> None:
        """Queue what is needed before the horizon, and begin to load its indexes."""
        while self._next_want is not None and self._next_want.first < horizon:
            self._push(self._next_want)
            self._next_want = next(self._upcoming, None)

    def _push(self, want: Want) -> None:
        self._indexes.request(self._shard_numbers(want))
        heapq.heappush(self._planned, (want.first, next(self._serial), want))

    def _shard_numbers(self, want: Want) -> list[int]:
        numbers: list[int] = np.unique(shards_of(self._shards.starts, want.sample_ids)).tolist()
        return numbers

    def _ask(self, stop: int) -> bool:
        """Ask for the next piece, if it may be; True when there may be another."""
        piece = self._waiting
        if piece is None:
            if not self._planned:
                return False
            want = self._planned[0][2]
            numbers = self._shard_numbers(want)
            if want.first >= stop and not self._indexes.ready(numbers):
                return False
            heapq.heappop(self._planned)
            piece = self._fit(want, self._indexes.get(numbers), self._allowance)
        room = self._limit - self._held_bytes
        if piece.num_bytes > room:
            if piece.want.first >= stop:
                self._waiting = piece
                return False
            piece = self._squeeze(piece, max(room, 0))
        self._waiting = None
        self._held_bytes += piece.num_bytes
        self.peak_bytes = max(self.peak_bytes, self._held_bytes)
        self._asked.append(Held(piece))
        return True

    def _submit(self, pieces: list[Held]) -> None:
        """Begin to fetch, in the order of need."""
        parts = [(need, number, k) for number, held in enumerate(pieces) for k, need in enumerate(held.piece.needed)]
        futures: dict[tuple[int, int], Future[memoryview]] = {}
        for _, number, k in sorted(parts):
            part = pieces[number].piece.parts[k]
            url = self._shards.shards[part.shard].url
            futures[number, k] = self._fetcher.submit(url, part.start, part.stop)
        for number, held in enumerate(pieces):
            held.futures = [futures[number, k] for k in range(len(held.piece.parts))]

    def _fit(self, want: Want, indexes: dict[int, ShardIndex], bound: int | None) -> Piece:
        """As many of the wanted samples as the bound allows, one at the least; the rest is planned anew."""
        count = len(want.positions)
        piece = self._located(want, indexes)
        while bound is not None and piece.num_bytes > bound and count > 1:
            count = max(1, min(count * bound // piece.num_bytes, count - 1))
            piece = self._located(want.split(count)[0], indexes)
        if count < len(want.positions):
            self._push(want.split(count)[1])
        return piece

    def _located(self, want: Want, indexes: dict[int, ShardIndex]) -> Piece:
        return locate(
            want,
            self._shards.starts,
            indexes,
            exclusive=self._exclusive,
            part_bytes=self._part_bytes,
            urgent=self._urgent,
        )

    def _squeeze(self, piece: Piece, room: int) -> Piece:
        """The piece is needed now and too large: as much of it as fits, one sample at the least."""
        indexes = self._indexes.get(self._shard_numbers(piece.want))
        smaller = self._fit(piece.want, indexes, room)
        if smaller.num_bytes > room and not self._warned:
            self._warned = True
            warnings.warn(
                f"memory_limit: must hold the samples of one batch and what is under way, got {self._limit} bytes, "
                "so it is exceeded. Give StorageOptions a larger memory_limit, or the reader a smaller batch_size.",
                stacklevel=2,
            )
        return smaller
