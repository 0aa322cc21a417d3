"""`IndexReader`: where the samples of one shard lie, read when they are asked for, and kept small.

In: a shard as it was counted. Out: its `ShardIndex`, checked against the shard and completed by its checksums. An index
that was read is kept while all kept ones are below a limit; one that had to be scanned is always kept.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.errors import IndexFormatError, ShardError
from streamaug.storage.checksum import checksums_url, read_checksums, select_checksums
from streamaug.storage.index import Components, Sample, ShardIndex, read_index, select
from streamaug.storage.scan import scan
from streamaug.storage.stale import check_fresh
from streamaug.storage.stores import Storage
from streamaug.storage.urls import index_url, shown

#: Bytes of read indexes kept. Reading one again costs 6 µs a sample, 11 with checksums (best of 9, 2,000 samples).
_KEPT_LIMIT = 128 << 20


class _Compact(NamedTuple):
    """A shard's index, small: keys joined and encoded, the rest as in `ShardIndex`."""

    keys: bytes
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32] | None

    @classmethod
    def of(cls, index: ShardIndex) -> "_Compact":
        """The same, small."""
        keys = "\0".join(index.keys).encode("utf-8", "surrogateescape")
        return cls(keys, index.offsets, index.sizes, index.checksums)

    @property
    def num_bytes(self) -> int:
        """What it occupies."""
        return len(self.keys) + 2 * self.offsets.nbytes + (0 if self.checksums is None else self.checksums.nbytes)

    def whole(self) -> ShardIndex:
        """The index that it was made of."""
        keys = self.keys.decode("utf-8", "surrogateescape").split("\0") if len(self.offsets) else []
        return ShardIndex(keys, self.offsets, self.sizes, self.checksums)


class IndexReader:
    """Reads the indexes of shards; may be used by any number of threads.

    Args:
        storage: Where they lie.
        components: What of each sample is asked for.
        found: Indexes that are known already, by the shard's number.
        has_checksums: int8 (S,): 1 where a manifest says that a shard has a companion of checksums, 0 where it says
            that it has none, -1 where there is no manifest.
    """

    def __init__(
        self,
        storage: Storage,
        components: Components,
        found: Mapping[int, ShardIndex],
        has_checksums: npt.NDArray[np.int8],
    ) -> None:
        self._storage = storage
        self._components = components
        self._has_checksums = has_checksums
        self._checked = np.zeros(len(has_checksums), np.bool_)
        self._kept = {number: _Compact.of(index) for number, index in found.items()}
        self._kept_bytes = 0

    @property
    def num_kept(self) -> int:
        """Indexes that need not be read again."""
        return len(self._kept)

    def read(self, number: int, url: str, num_samples: int, num_bytes: int) -> ShardIndex:
        """Where the samples of a shard lie.

        Args:
            number: The shard's, in the set.
            url: Its URL.
            num_samples: The samples it must hold.
            num_bytes: The size it must have.

        Raises:
            StorageError: If the index or the shard cannot be read.
            ShardError: If the index does not fit the shard, or the shard is damaged; names it.
        """
        kept = self._kept.get(number)
        if kept is not None:
            return kept.whole()
        place = index_url(url)
        data = self._storage.read_all(place)
        if data is None:
            samples, size = scan(self._storage, url)
            index = select(samples, self._components)
        else:
            samples = list(read_index(data.decode("utf-8", "surrogateescape"), place, num_bytes))
            if not self._checked[number]:
                check_fresh(self._storage, url, place, samples, num_bytes)
                self._checked[number] = True
            size = self._storage.size(url)
            index = self._with_checksums(select(samples, self._components), samples, number, url, data)
        if (size, len(samples)) != (num_bytes, num_samples):
            raise ShardError(
                f"{shown(url)}: must hold {num_samples} samples in {num_bytes} bytes as listed, "
                f"got {len(samples)} in {size}. The manifest or index is stale: write it with `streamaug index`."
            )
        self._keep(number, _Compact.of(index), always=data is None)
        return index

    def _keep(self, number: int, index: _Compact, *, always: bool) -> None:
        if always or self._kept_bytes + index.num_bytes <= _KEPT_LIMIT:
            self._kept_bytes += index.num_bytes
            self._kept[number] = index

    def _with_checksums(
        self, index: ShardIndex, samples: Sequence[Sample], number: int, url: str, text: bytes
    ) -> ShardIndex:
        """The index with the checksums of its companion, if there is one."""
        if self._has_checksums[number] == 0:
            return index
        place = checksums_url(url)
        data = self._storage.read_all(place)
        if data is None:
            if self._has_checksums[number] < 0:
                return index
            raise IndexFormatError(
                f"{shown(place)}: must be there and readable, since the manifest says that {shown(url)} has checksums, "
                "got none. Copy it too, or write both with `streamaug index --checksum`."
            )
        sums = read_checksums(data.decode("ascii", "replace"), place, text, samples)
        return dataclasses.replace(index, checksums=select_checksums(samples, sums, self._components))
