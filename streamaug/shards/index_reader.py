"""`IndexReader`: the positions of the samples in a shard, read on first use, and kept in a compact form.

In: a counted shard. Out: its `ShardIndex`, checked against the shard and completed by its checksums. An index that was
read is kept while all kept indexes are below a limit; an index that was scanned is always kept.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.errors import IndexFormatError, ShardError
from streamaug.shards.checksum import read_checksums, select_checksums
from streamaug.shards.companions import checksums_of, find_index
from streamaug.shards.index import Components, Sample, ShardIndex, adjacent, read_index, select
from streamaug.shards.names import macos
from streamaug.shards.scanner import Scanner
from streamaug.shards.stale import check_fresh, instead_of_a_shard
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage, Url

#: Bytes of read indexes kept. Reading an index again costs 6 µs a sample, 11 with checksums (best of 9, 2,000 samples).
KEPT_LIMIT = 128 << 20


class _Compact(NamedTuple):
    """A shard's index in a compact form: keys joined and encoded, the rest as in `ShardIndex`."""

    keys: bytes
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32] | None
    incomplete: Mapping[int, tuple[str, ...]]

    @classmethod
    def of(cls, index: ShardIndex) -> "_Compact":
        """The compact form of an index."""
        keys = "\0".join(index.keys).encode("utf-8", "surrogateescape")
        return cls(keys, index.offsets, index.sizes, index.checksums, index.incomplete)

    @property
    def num_bytes(self) -> int:
        """The bytes that it occupies in memory."""
        return len(self.keys) + 2 * self.offsets.nbytes + (0 if self.checksums is None else self.checksums.nbytes)

    def whole(self) -> ShardIndex:
        """The index of which it was made."""
        keys = self.keys.decode("utf-8", "surrogateescape").split("\0") if len(self.offsets) else []
        return ShardIndex(keys, self.offsets, self.sizes, self.checksums, self.incomplete)


class IndexReader:
    """Reads the indexes of shards; may be used by any number of threads.

    Args:
        storage: Reads the indexes.
        scanner: Makes the index of a shard that has none.
        components: The components of each sample to look up.
        indexes: Indexes that were made when the shards were counted, by the shard's number.
        has_checksums: int8 (S,): 1 where a manifest says that a shard has a companion of checksums, 0 where it says
            that it has none, -1 where there is no manifest.
        manifests: By number, the manifest of shards that a manifest in another folder lists: their indexes may lie
            beside it.
        kept_limit: Bytes of read indexes that are kept.
    """

    def __init__(
        self,
        storage: Storage,
        scanner: Scanner,
        components: Components,
        indexes: Mapping[int, ShardIndex],
        has_checksums: npt.NDArray[np.int8],
        manifests: Mapping[int, Location],
        *,
        kept_limit: int = KEPT_LIMIT,
    ) -> None:
        self._storage, self._scanner = storage, scanner
        self._components = components
        self._has_checksums = has_checksums
        self._manifests = dict(manifests)
        self._checked = np.zeros(len(has_checksums), np.bool_)
        self._kept = {number: _Compact.of(index) for number, index in indexes.items()}
        self._kept_limit, self._kept_bytes = kept_limit, 0

    @property
    def num_kept(self) -> int:
        """The number of indexes that need not be read again."""
        return len(self._kept)

    def read(self, number: int, url: Url, num_samples: int, num_bytes: int) -> ShardIndex:
        """The index of a shard.

        Args:
            number: The shard's number in the set.
            url: Where it lies.
            num_samples: The samples it must hold.
            num_bytes: The size it must have.

        Raises:
            StorageError: If the index or the shard cannot be read.
            ShardError: If the index does not fit the shard, or the shard is damaged; names it.
        """
        kept = self._kept.get(number)
        if kept is not None:
            return kept.whole()
        # From its index file, which must fit the shard, else from the shard itself.
        shard = Location.parse(url)
        file = find_index(self._storage.read_all, shard, self._manifests.get(number))
        scanned = self._scanner.scan(shard) if file is None else None
        if scanned is not None:
            samples, size = scanned.samples, scanned.num_bytes
            index = select(samples, self._components)
        elif file is not None:
            samples = self._listed(number, shard, file, num_bytes)
            size = self._storage.size(shard)
            index = self._with_checksums(select(samples, self._components), samples, number, shard, file)
        # As it was counted; kept if there is room.
        if (size, len(samples)) != (num_bytes, num_samples):
            raise instead_of_a_shard(self._storage, shard) or ShardError(
                f"{shard.shown}: must hold {num_samples} samples in {num_bytes} bytes as listed, "
                f"got {len(samples)} in {size}. The manifest or index is stale: write it with `streamaug index`."
            )
        self._keep(number, _Compact.of(index), always=scanned is not None and not scanned.is_kept)
        return index

    def _listed(self, number: int, shard: Location, file: tuple[Location, bytes], num_bytes: int) -> list[Sample]:
        """The samples that an index file lists; checks the first time that the index fits the shard."""
        index, data = file
        try:
            samples = list(read_index(data.decode("utf-8", "surrogateescape"), index.shown, num_bytes))
        except IndexFormatError as error:
            raise instead_of_a_shard(self._storage, shard) or error from None
        mac = next((part.name for sample in samples for part in sample.members.values() if macos(part.name)), None)
        if mac is not None:
            raise IndexFormatError(
                f"{index.shown}: must list samples, got {mac!r}, which macOS puts beside a file. "
                "Write the index again with `streamaug index`, which passes those over."
            )
        if not self._checked[number]:
            check_fresh(self._storage, shard, samples, num_bytes, index)
            samples = list(adjacent(samples, shard.shown))
            self._checked[number] = True
        return samples

    def _keep(self, number: int, index: _Compact, *, always: bool) -> None:
        if always or self._kept_bytes + index.num_bytes <= self._kept_limit:
            self._kept_bytes += index.num_bytes
            self._kept[number] = index

    def _with_checksums(
        self, index: ShardIndex, samples: Sequence[Sample], number: int, shard: Location, file: tuple[Location, bytes]
    ) -> ShardIndex:
        """The index with the checksums of its companion, if it has one."""
        if self._has_checksums[number] == 0:
            return index
        companion = checksums_of(shard, file[0])
        data = self._storage.read_all(companion)
        if data is None:
            if self._has_checksums[number] < 0:
                return index
            raise IndexFormatError(
                f"{companion.shown}: must be there and readable, since the manifest says that {shard.shown} has "
                "checksums, got none. Copy it too, or write both with `streamaug index --checksum`."
            )
        sums = read_checksums(data.decode("ascii", "replace"), companion.shown, file[1], samples)
        return dataclasses.replace(index, checksums=select_checksums(samples, sums, self._components))
