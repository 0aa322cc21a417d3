"""`Scanner`: makes the indexes of shards without one by reading the shards; those of remote shards once a node.

In: a shard. Out: its samples. Of remote shards it skips the data between headers where that saves time, unless it fills
the disk cache; it keeps their indexes in the user's cache.
"""

from typing import NamedTuple

from streamaug.shards.index import Sample
from streamaug.shards.names import PassedOver
from streamaug.shards.node_cache import NodeCache
from streamaug.shards.range_file import Pace
from streamaug.shards.scan import scan
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage


class Scanned(NamedTuple):
    """The facts of a scanned shard.

    Attributes:
        samples: Its samples.
        num_bytes: Its size.
        is_kept: Whether the user's cache has its index now.
        passed_over: Members that are part of no sample; empty where the index was in the cache.
    """

    samples: list[Sample]
    num_bytes: int
    is_kept: bool
    passed_over: PassedOver


class Scanner:
    """Makes indexes; used by any number of threads, and may be pickled.

    Args:
        storage: Reads the shards.
        cache: The cache of indexes of remote shards.
        fills_cache: Whether to read all bytes of remote shards, through the disk cache, and not headers alone.
    """

    def __init__(self, storage: Storage, cache: NodeCache, *, fills_cache: bool) -> None:
        self._storage = storage
        self.cache = cache
        self._fills_cache = fills_cache
        self._pace = Pace()

    def __reduce__(self) -> tuple[object, ...]:
        return _made, (self._storage, self.cache, self._fills_cache)

    def scan(self, shard: Location) -> Scanned:
        """The samples of a shard.

        Raises:
            StorageError: If it cannot be read.
            ShardError: If it is no valid shard.
        """
        key = None if shard.is_local else self.cache.key(self._storage, shard)
        if key is None:
            return self._read(shard)
        with self.cache.making(key):
            samples = self.cache.read(key, shard)
            if samples is not None:
                return Scanned(samples, self._storage.size(shard), is_kept=True, passed_over=PassedOver())
            scanned = self._read(shard)
            is_kept = self.cache.write(key, scanned.samples, scanned.num_bytes)
            return scanned._replace(is_kept=is_kept)

    def _read(self, shard: Location) -> Scanned:
        passed_over = PassedOver()
        pace = None if self._fills_cache else self._pace
        samples, num_bytes = scan(self._storage, shard, passed_over=passed_over, pace=pace)
        return Scanned(samples, num_bytes, is_kept=False, passed_over=passed_over)


def _made(storage: Storage, cache: NodeCache, fills_cache: bool) -> Scanner:
    return Scanner(storage, cache, fills_cache=fills_cache)
