"""The engine below `ShardReader`: one pass over an epoch as encoded batches, this rank's rows of each global batch.

In: shards, order, share, a pass. Out: `EncodedBatch`es whose images are views into fetched ranges, not copies. Threads
live as long as the pass.
"""

import warnings
from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

from streamaug.batch import Encoded, EncodedBatch, Origin, Problem, Replace
from streamaug.order import RUN_LENGTH, Order
from streamaug.reader.prefetch import Prefetcher
from streamaug.reader.progress import Pass
from streamaug.reader.schedule import Share, wants
from streamaug.shards import ShardSet
from streamaug.storage.checksum import crc32c
from streamaug.storage.fetch import Fetcher
from streamaug.storage.urls import is_local
from streamaug.substitution import mismatch, missing

#: Bytes of a request. Files: memory that the allocator uses again is far cheaper than fresh memory (docs/design.md,
#: "Speed"). Stores: what they serve best.
_FILE_PART, _STORE_PART = 2 << 20, 8 << 20


class BatchReader:
    """Reads passes.

    Args:
        shards: The dataset.
        order: Its order.
        share: This rank's share of it.
        replace: What to do with rows that cannot be used; it is shown every batch, and told what is wrong here.
    """

    def __init__(self, shards: ShardSet, order: Order, share: Share, replace: Replace) -> None:
        self._shards, self._order, self._share, self._replace = shards, order, share, replace
        self._names = [alternatives[0] for alternatives in shards.components]
        self._local = all(is_local(shard.url) for shard in shards.shards)
        self._warned = False

    def read(self, epoch_pass: Pass) -> Iterator[EncodedBatch]:
        """The batches of a pass. Closing the generator ends its threads."""
        share, order = self._share, self._order
        upcoming = wants(order, share, epoch_pass.epoch, epoch_pass.start, epoch_pass.num_batches)
        extra = sum(shard.num_bytes for shard in self._shards.shards) // (100 * share.world_size)
        fetcher = Fetcher(self._shards.storage, threads=self._threads(), extra_bytes=extra)
        try:
            prefetcher = Prefetcher(
                self._shards,
                fetcher,
                upcoming,
                limit=self._shards.storage.options.memory_limit,
                allowance=self._allowance(),
                ahead=max(
                    2 * share.global_batch, order.window // 4 if order.shuffle else RUN_LENGTH * share.world_size
                ),
                lanes=len(share.lanes(order)),
                exclusive=share.exclusive(order),
                part_bytes=_FILE_PART if self._local else _STORE_PART,
                urgent=epoch_pass.start + share.global_batch,
            )
            for number in range(epoch_pass.num_batches):
                start = epoch_pass.start + number * share.global_batch
                batch, problems = self._assemble(epoch_pass.epoch, start, prefetcher)
                yield self._replace(batch, problems)
        finally:
            fetcher.close()

    def _threads(self) -> int:
        """Threads to fetch with: disks want few, object stores many."""
        concurrency = self._shards.storage.options.concurrency
        return min(4, concurrency) if self._local else concurrency

    def _allowance(self) -> int | None:
        """Bytes a piece may have: no bound where the runs of all lanes fit the limit, else an even share of it."""
        limit, order = self._shards.storage.options.memory_limit, self._order
        total = sum(shard.num_bytes for shard in self._shards.shards)
        mean = max(1.0, total / order.num_samples)
        if not order.shuffle:
            return max(1, limit // 4)
        lanes = len(self._share.lanes(order))
        run = min(order.window // order.lanes, -(-order.num_samples // order.lanes))
        if (lanes + 1) * run * mean <= limit:
            return None
        if not self._warned:
            self._warned = True
            fits = max(1, int(limit / ((lanes + 1) * mean))) * order.lanes
            warnings.warn(
                f"window: the runs of {lanes} lanes must fit the memory_limit of {limit} bytes, got some "
                f"{int((lanes + 1) * run * mean)} bytes of {run} samples a run, so samples are fetched in smaller "
                f"requests. A window of {fits} fits, or give StorageOptions a larger memory_limit.",
                stacklevel=2,
            )
        return max(1, limit // (lanes + 2))

    def _assemble(self, epoch: int, start: int, prefetcher: Prefetcher) -> tuple[EncodedBatch, dict[int, Problem]]:
        """The batch at a position, and which of its rows lack a component or fail their checksum."""
        share, order = self._share, self._order
        size = share.batch_size
        columns: list[list[Encoded]] = [[b""] * size for _ in self._names]
        ids, keys = np.zeros(size, np.int64), [""] * size
        problems: dict[int, Problem] = {}
        stop = start + share.global_batch
        for held in prefetcher.take(stop):
            piece = held.piece
            last = bisect_left(piece.positions, stop, piece.taken)
            chosen = slice(piece.taken, last)
            rows = [share.row(position, start) for position in piece.positions[chosen]]
            ids[rows] = piece.want.sample_ids[chosen]
            for row, key in zip(rows, piece.keys[chosen], strict=True):
                keys[row] = key
            for number, column in enumerate(columns):
                places = (values[chosen] for values in piece.places[number])
                for row, part, begin, end, checksum in zip(rows, *places, strict=True):
                    if part < 0:
                        problems[row] = missing(self._shards.components[number])
                        continue
                    column[row] = data = held.part(part)[begin:end]
                    if checksum >= 0 and crc32c(data) != checksum:
                        problems[row] = mismatch(self._names[number])
            piece.taken = last
        positions = share.positions(start)
        origin = Origin(
            seed=order.seed,
            epoch=epoch,
            step=start // share.global_batch,
            lanes=order.lanes,
            positions=positions,
            sample_ids=ids,
            keys=tuple(keys),
            is_padding=order.is_padding(epoch, positions),
            is_substitute=np.zeros(size, np.bool_),
        )
        extras = dict(zip(self._names[1:], columns[1:], strict=True))
        return EncodedBatch(columns[0], extras, origin, np.zeros(size, np.int64)), problems
