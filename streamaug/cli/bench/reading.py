"""Storage alone: the speed at which the bytes of these shards come, without any other work.

In: the shards, read in ranges as large, and as many at a time, as the reader's. Out: a `Work` whose images are bytes,
divided by the mean bytes of a sample.
"""

import time
from collections import deque
from concurrent.futures import Future

import numpy as np

from streamaug.cli.bench.clock import Work
from streamaug.reader import Share
from streamaug.reader.read_ahead import ReadAhead, plan_ahead
from streamaug.stages.reader import ShardReader
from streamaug.storage.fetcher import Fetcher

#: Bytes of the smallest range, by which the link's speed is measured first.
_LEAST = 128 << 10


def reading_plan(reader: ShardReader) -> ReadAhead:
    """The reader's policy of asking for bytes."""
    share = Share(reader.batch_size, *reader.ranks.settle(), interleaved=reader.order.shuffle)
    return plan_ahead(reader.shards.catalogue, reader.order, share, 0)


class Reading(Work):
    """Reads ranges of the shards, drawn at random, with as many under way as in the reader.

    Args:
        reader: The reader whose storage is measured.
        seconds: Seconds of a run; ranges are so small that many of them come in that time.
    """

    def __init__(self, reader: ShardReader, seconds: float) -> None:
        self._shards, self._plan, self._seconds = reader.shards, reading_plan(reader), seconds
        catalogue = reader.shards.catalogue
        self._sample_bytes = max(1.0, catalogue.num_bytes / catalogue.num_samples)
        self._random = np.random.default_rng(0)
        self._part = _LEAST
        self._fetcher: Fetcher | None = None
        self._asked: deque[tuple[Future[memoryview], int]] = deque()

    @property
    def threads(self) -> int:
        """Requests under way at a time."""
        return self._plan.threads

    @property
    def sample_bytes(self) -> float:
        """Bytes of a sample, on average."""
        return self._sample_bytes

    def begin(self) -> None:
        """Open connections, and choose ranges so small that a run reads several."""
        self._fetcher = Fetcher(self._shards.storage, threads=self._plan.threads)
        begun, size = time.perf_counter(), 0
        for _ in range(self._plan.threads):
            self._ask()
        while self._asked:
            size += self._taken()
        speed = size / (time.perf_counter() - begun)
        self._part = int(min(max(_LEAST, speed * self._seconds / (4 * self._plan.threads)), self._plan.part_bytes))
        for _ in range(2 * self._plan.threads):
            self._ask()

    def step(self) -> float:
        """Take the oldest range, and ask for another."""
        size = self._taken()
        self._ask()
        return size / self._sample_bytes

    def end(self) -> None:
        """Give up the ranges under way."""
        self._asked.clear()
        if self._fetcher is not None:
            self._fetcher.close()

    def _taken(self) -> int:
        future, size = self._asked.popleft()
        future.result()
        return size

    def _ask(self) -> None:
        if self._fetcher is None:
            return
        shard = self._shards.shards[int(self._random.integers(len(self._shards.shards)))]
        part = min(self._part, shard.num_bytes)
        start = int(self._random.integers((shard.num_bytes - part) // part + 1)) * part
        self._asked.append((self._fetcher.submit(shard.url, start, start + part), part))
