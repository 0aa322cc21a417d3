"""Bytes ahead of need, under a memory limit.

In: wants in the order of first need. Out: pieces whose bytes have arrived, when a batch needs them. Parts are fetched
in the order in which positions need them, so that the next batch never waits behind a later one; a batch waits for the
parts that hold its own samples, not for whole pieces. Bytes count against the memory limit from the request until the
last sample of their piece is delivered. Where a batch needs a piece now and it does not fit, the prefetcher cuts the
piece to the samples that fit, at least one, so there is no deadlock.
"""

import heapq
import itertools
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from streamaug.reader.pieces import Piece, locate_all
from streamaug.reader.read_ahead import ReadAhead
from streamaug.reader.schedule import Want
from streamaug.shards.catalogue import Catalogue
from streamaug.shards.index import ShardIndex
from streamaug.storage.fetcher import Fetcher

#: Wants that are located in one go: some 100 keep the call short.
_LOCATED_AT_ONCE = 96


class Held:
    """A requested piece, and its parts as they arrive."""

    def __init__(self, piece: Piece, fetcher: Fetcher) -> None:
        self.piece = piece
        self._fetcher = fetcher
        self.futures: list[Future[memoryview]] = []
        self._arrived: dict[int, memoryview] = {}

    def part(self, number: int) -> memoryview:
        """The bytes of a part; waits for them."""
        data = self._arrived.get(number)
        if data is None:
            data = self._arrived[number] = self._fetcher.result(self.futures[number])
        return data

    @property
    def arrived(self) -> bool:
        """Whether all parts are there; one that could not be fetched is not."""
        return all(future.done() and future.exception() is None for future in self.futures)


@dataclass(slots=True)
class Memory:
    """The bytes held, in flight and undelivered, and their maximum so far."""

    held: int = 0
    peak: int = 0

    def hold(self, num_bytes: int) -> None:
        """Count bytes as held; free them again by a negative number."""
        self.held += num_bytes
        self.peak = max(self.peak, self.held)


@dataclass(slots=True)
class _Planned:
    """A want that is to be asked for, the shards that hold it, and its piece once it is located."""

    want: Want
    shards: list[int]
    piece: Piece | None = None


class IndexCache:
    """The indexes of the shards in use: loaded ahead on the fetcher's threads, dropped after their last run."""

    def __init__(self, catalogue: Catalogue, fetcher: Fetcher, *, capacity: int) -> None:
        self._catalogue, self._fetcher, self._capacity = catalogue, fetcher, capacity
        self._futures: dict[int, Future[ShardIndex]] = {}

    def request(self, numbers: list[int]) -> None:
        """Begin to load the missing indexes; where there are too many, drop the least recently used."""
        for number in numbers:
            future = self._futures.pop(number, None)
            if future is None:
                future = self._fetcher.call(self._catalogue.index, number)
            self._futures[number] = future
        while len(self._futures) > max(self._capacity, len(numbers)):
            del self._futures[next(iter(self._futures))]

    def ready(self, numbers: list[int]) -> bool:
        """Whether all of them are loaded; a failed one is not, since its error is for the batch that needs it."""
        futures = [self._futures.get(number) for number in numbers]
        return all(future is not None and future.done() and future.exception() is None for future in futures)

    def get(self, numbers: list[int]) -> dict[int, ShardIndex]:
        """The indexes; waits for them."""
        self.request(numbers)
        return {number: self._fetcher.result(self._futures[number]) for number in numbers}


class Prefetcher:
    """Hands out pieces as batches need them, and asks for later ones meanwhile.

    Args:
        catalogue: Where samples lie.
        fetcher: Fetches the bytes; the caller closes it.
        upcoming: The wants, by first need.
        read_ahead: How far to ask ahead, and how much to hold.

    Attributes:
        memory: The bytes that it holds, together with the prefetcher that it follows.
    """

    def __init__(self, catalogue: Catalogue, fetcher: Fetcher, upcoming: Iterator[Want], read_ahead: ReadAhead) -> None:
        self._catalogue, self._fetcher, self._upcoming, self._read_ahead = catalogue, fetcher, upcoming, read_ahead
        self._indexes = IndexCache(catalogue, fetcher, capacity=4 * read_ahead.lanes + 8)
        self.memory = Memory()
        self._planned: list[tuple[int, int, _Planned]] = []
        self._serial = itertools.count()
        self._next_want: Want | None = next(upcoming, None)
        self._waiting: Piece | None = None
        self._asked: list[Held] = []
        self._warned = False

    def followed_by(self, upcoming: Iterator[Want], read_ahead: ReadAhead) -> "Prefetcher":
        """A prefetcher of the wants that come afterwards, with the same threads, indexes and memory."""
        following = Prefetcher(self._catalogue, self._fetcher, upcoming, read_ahead)
        following._indexes, following.memory = self._indexes, self.memory
        return following

    @property
    def all_asked(self) -> bool:
        """Whether everything was asked for."""
        return self._next_want is None and not self._planned and self._waiting is None

    def take(self, stop: int) -> list[Held]:
        """Every piece that holds a position below `stop`; drops earlier pieces that are used up."""
        self._drop_used()
        self.ask_ahead(stop)
        return self._holding(stop)

    def arrived(self, stop: int) -> list[Held] | None:
        """`take`, which neither waits nor asks for anything: None if a byte is missing."""
        self._drop_used()
        missing = [want.first for want in (self._next_want,) if want is not None]
        missing += [first for first, _, _ in self._planned[:1]]
        missing += [piece.want.first for piece in (self._waiting,) if piece is not None]
        holding = self._holding(stop)
        return holding if all(first >= stop for first in missing) and all(held.arrived for held in holding) else None

    def _holding(self, stop: int) -> list[Held]:
        return [held for held in self._asked if held.piece.positions[held.piece.taken] < stop]

    def _drop_used(self) -> None:
        used = [held for held in self._asked if held.piece.taken == len(held.piece.keys)]
        if used:
            self.memory.hold(-sum(held.piece.num_bytes for held in used))
            self._asked = [held for held in self._asked if held.piece.taken < len(held.piece.keys)]

    def ask_ahead(self, stop: int) -> None:
        """Ask for the samples needed below `stop`, and beyond it for those that have room and an index."""
        self._plan(stop + self._read_ahead.positions)
        already = len(self._asked)
        while self._ask(stop):
            pass
        self._submit(self._asked[already:])

    def release_all(self) -> None:
        """Let go of all pieces: everything was delivered."""
        self.memory.hold(-sum(held.piece.num_bytes for held in self._asked))
        self._asked = []

    @property
    def fill(self) -> float:
        """Bytes held and on their way, as a share of the memory limit."""
        return self.memory.held / self._read_ahead.memory_limit

    def _plan(self, horizon: int) -> None:
        """Queue the wants before the horizon, and begin to load their indexes."""
        while self._next_want is not None and self._next_want.first < horizon:
            self._push(self._next_want)
            self._next_want = next(self._upcoming, None)

    def _push(self, want: Want) -> None:
        planned = _Planned(want, self._shard_numbers(want))
        self._indexes.request(planned.shards)
        heapq.heappush(self._planned, (want.first, next(self._serial), planned))

    def _shard_numbers(self, want: Want) -> list[int]:
        return sorted(set(self._catalogue.shards_of(want.sample_ids).tolist()))

    def _ask(self, stop: int) -> bool:
        """Ask for the next piece, if it may be fetched; True if another may follow."""
        # The piece that found no room before, else the next one that is planned.
        piece = self._waiting
        if piece is None:
            if not self._planned:
                return False
            following = self._planned[0][2]
            piece = following.piece
            if piece is None:
                if following.want.first >= stop and not self._indexes.ready(following.shards):
                    return False
                piece = self._located_with_others(following)
            heapq.heappop(self._planned)
            if self._read_ahead.piece_limit is not None:
                piece = self._within(piece, self._read_ahead.piece_limit)
        # If there is room for it, or a batch needs it now.
        room = self._read_ahead.memory_limit - self.memory.held
        if piece.num_bytes > room:
            if piece.want.first >= stop:
                self._waiting = piece
                return False
            piece = self._squeeze(piece, max(room, 0))
        self._waiting = None
        self.memory.hold(piece.num_bytes)
        self._asked.append(Held(piece, self._fetcher))
        return True

    def _submit(self, pieces: list[Held]) -> None:
        """Begin to fetch, in the order of need."""
        parts = [(need, number, k) for number, held in enumerate(pieces) for k, need in enumerate(held.piece.needed)]
        futures: dict[tuple[int, int], Future[memoryview]] = {}
        for _, number, k in sorted(parts):
            part = pieces[number].piece.parts[k]
            url = self._catalogue.shards[part.shard].url
            futures[number, k] = self._fetcher.submit(url, part.start, part.stop)
        for number, held in enumerate(pieces):
            held.futures = [futures[number, k] for k in range(len(held.piece.parts))]

    def _located_with_others(self, following: _Planned) -> Piece:
        """The next want located, and with it others whose indexes are there: numpy takes many in the time of one."""
        together = [following]
        if self._read_ahead.piece_limit is None:  # whole wants are fetched, so all these pieces are
            for _, _, other in self._planned[1:_LOCATED_AT_ONCE]:
                if other.piece is None and self._indexes.ready(other.shards):
                    together.append(other)
        pieces = self._located([planned.want for planned in together], {s for each in together for s in each.shards})
        for planned, piece in zip(together, pieces, strict=True):
            planned.piece = piece
        return pieces[0]

    def _within(self, piece: Piece, bound: int) -> Piece:
        """As many of a piece's samples as the bound allows, at least one with its copies; plans the rest."""
        want = piece.want
        count, least = len(want.positions), want.whole(1)
        while piece.num_bytes > bound and count > least:
            count = want.whole(min(count * bound // piece.num_bytes, count - 1))
            part = want.split(count)[0]
            (piece,) = self._located([part], self._shard_numbers(part))
        if count < len(want.positions):
            self._push(want.split(count)[1])
        return piece

    def _located(self, wants: list[Want], shards: Iterable[int]) -> list[Piece]:
        return locate_all(
            wants,
            self._catalogue.starts,
            self._indexes.get(list(shards)),
            may_read_gaps=self._read_ahead.may_read_gaps,
            part_bytes=self._read_ahead.part_bytes,
            single_fetch_before=self._read_ahead.single_fetch_before,
        )

    def _squeeze(self, piece: Piece, room: int) -> Piece:
        """As much as fits of a piece that is needed now and too large, at least one sample."""
        smaller = self._within(piece, room)
        if smaller.num_bytes > room and not self._warned:
            self._warned = True
            warnings.warn(
                "memory_limit: must hold the samples of a batch and requests under way, got "
                f"{self._read_ahead.memory_limit} bytes, so it is exceeded. Give StorageOptions a larger memory_limit, "
                "or the reader a smaller batch_size.",
                stacklevel=2,
            )
        return smaller
