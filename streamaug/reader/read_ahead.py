"""How far, how large and how eagerly a pass reads ahead: one policy, made from order, share and storage options.

Pure: numbers in, a `ReadAhead` out. The prefetcher follows it.
"""

from dataclasses import dataclass

from streamaug.order.base import RUN_LENGTH, Order
from streamaug.reader.schedule import Share
from streamaug.shards.catalogue import Catalogue

#: Bytes of a request. Files: memory that the allocator uses again is far cheaper than fresh memory (docs/design.md,
#: "Reader"). Stores: the size that they serve best.
_FILE_PART, _STORE_PART = 2 << 20, 8 << 20
#: Threads that read files: disks serve few best, object stores as many as the options allow.
_FILE_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAhead:
    """The bytes that a prefetcher may hold, and the sizes of its requests.

    Attributes:
        memory_limit: Bytes held at most, undelivered and under way.
        piece_limit: Bytes of a piece at most, where whole runs do not fit the memory limit; None: no bound.
        positions: Positions to ask ahead of the batch under way.
        lanes: Lanes that this rank reads; as many indexes are in use at a time, and as many soon.
        may_read_gaps: Whether a request may read the bytes between two wanted samples, since no other rank reads them.
        part_bytes: Bytes of a request; it is larger by less than a sample.
        single_fetch_before: Samples of earlier positions are fetched one by one, so that the first batch does not wait
            for the bytes around its samples.
        threads: Requests in flight at once.
    """

    memory_limit: int
    piece_limit: int | None
    positions: int
    lanes: int
    may_read_gaps: bool
    part_bytes: int
    single_fetch_before: int
    threads: int


def plan_ahead(catalogue: Catalogue, order: Order, share: Share, start: int, *, waited_for: bool = True) -> ReadAhead:
    """The policy of a pass that begins at a position; `waited_for`: whether the loop waits for its first batch."""
    options, is_local = catalogue.storage.options, catalogue.is_local
    memory_limit = int(options.memory_limit)
    runs = RunsHeld.of(catalogue, order, share)
    if not order.shuffle:
        piece_limit: int | None = max(1, memory_limit // 4)
    elif runs.num_bytes <= memory_limit:
        piece_limit = None
    else:
        piece_limit = max(1, memory_limit // (runs.lanes + 2))
    return ReadAhead(
        memory_limit=memory_limit,
        piece_limit=piece_limit,
        positions=max(2 * share.global_batch, order.window // 4 if order.shuffle else RUN_LENGTH * share.world_size),
        lanes=runs.lanes,
        may_read_gaps=share.may_read_gaps(order),
        part_bytes=_FILE_PART if is_local else _STORE_PART,
        single_fetch_before=start + share.global_batch if waited_for else start,
        threads=min(_FILE_THREADS, options.concurrency) if is_local else options.concurrency,
    )


@dataclass(frozen=True, slots=True)
class RunsHeld:
    """The bytes that a rank holds of a shuffled order: the whole runs of all its lanes, and one more under way.

    Attributes:
        lanes: Lanes that the rank reads.
        run: Samples of a run.
        sample_bytes: Bytes of a sample, on average.
    """

    lanes: int
    run: int
    sample_bytes: float

    @classmethod
    def of(cls, catalogue: Catalogue, order: Order, share: Share) -> "RunsHeld":
        """The runs of a rank's share of an order."""
        run = min(order.window // order.lanes, -(-order.num_samples // order.lanes))
        return cls(len(share.lanes(order)), run, max(1.0, catalogue.num_bytes / order.num_samples))

    @property
    def num_bytes(self) -> float:
        """Bytes held."""
        return (self.lanes + 1) * self.run * self.sample_bytes

    def window_within(self, memory_limit: int, order: Order) -> int:
        """The largest window whose runs fit a memory limit, in samples."""
        return max(1, int(memory_limit / ((self.lanes + 1) * self.sample_bytes))) * order.lanes
