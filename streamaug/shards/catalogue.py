"""`Catalogue`: the shards of a dataset as listed, their counts of samples, and the samples' positions in them.

In: counted shards. Out: shards by number, and the index of a shard on demand. It holds only a few numbers for each
shard, so that a set of 100,000 opens with one read of its manifest. It has no order of samples.
"""

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import overload

import numpy as np
import numpy.typing as npt

from streamaug.shards.counts import Counted
from streamaug.shards.index import Components, ShardIndex
from streamaug.shards.index_reader import IndexReader
from streamaug.shards.scanner import Scanner
from streamaug.storage.location import Location, shown
from streamaug.storage.storage import Storage

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar of samples.

    Attributes:
        url: Its path or URL.
        num_bytes: Its size.
        num_samples: Its count of samples.
    """

    url: str
    num_bytes: int
    num_samples: int

    @property
    def location(self) -> Location:
        """The URL in its parts."""
        return Location.parse(self.url)

    def __repr__(self) -> str:
        return f"Shard(url={shown(self.url)!r}, num_bytes={self.num_bytes}, num_samples={self.num_samples})"


class ShardList(Sequence[Shard]):
    """All shards of a set by number; a `Shard` is made on first use."""

    def __init__(self, urls: Sequence[str], num_bytes: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> None:
        self._urls, self._num_bytes, self._starts = urls, num_bytes, starts

    def __len__(self) -> int:
        return len(self._urls)

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> list[Shard]: ...
    def __getitem__(self, index: int | slice) -> Shard | list[Shard]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        count = int(self._starts[number + 1] - self._starts[number])
        return Shard(self._urls[number], int(self._num_bytes[number]), count)


class Catalogue(ABC):
    """The shards of a dataset.

    Args:
        shards: The shards as listed.
        starts: int64 (S + 1,); shard s holds the sample ids starts[s] to starts[s + 1].
        components: Each asked component's alternatives.
        storage: Reads the bytes. Attributes:
        shards: As given, likewise starts, components and storage.
        num_samples: Samples in all shards.
    """

    def __init__(self, shards: Sequence[Shard], starts: Int64Array, components: Components, storage: Storage) -> None:
        self.shards, self.starts, self.components, self.storage = shards, starts, components, storage
        self.num_samples = int(starts[-1])

    @property
    def sizes(self) -> Int64Array:
        """int64 (S,): the samples of each shard."""
        return np.diff(self.starts)

    @cached_property
    def num_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.num_bytes for shard in self.shards)

    @cached_property
    def is_local(self) -> bool:
        """Whether all shards are files."""
        return all(Location.parse(shard.url).is_local for shard in self.shards)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash (hex) that identifies the dataset, the same wherever its shards lie."""

    @abstractmethod
    def index(self, shard: int) -> ShardIndex:
        """The index of a shard; may be called by any number of threads."""

    def shards_of(self, sample_ids: Int64Array) -> Int64Array:
        """The numbers of the shards that hold the samples, int64 (M,) each."""
        return shards_of(self.starts, sample_ids)


class CountedCatalogue(Catalogue):
    """The shards of a dataset that was opened.

    Args:
        counted: The counted shards.
        scanner: Makes the indexes of shards that have none.
        components: Each asked component's alternatives.
        storage: Reads the bytes.
    """

    def __init__(self, counted: Sequence[Counted], scanner: Scanner, components: Components, storage: Storage) -> None:
        # A few numbers for each shard.
        count = len(counted)
        sizes = np.fromiter((shard.num_samples for shard in counted), np.int64, count)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        num_bytes = np.fromiter((shard.num_bytes for shard in counted), np.int64, count)
        shards = ShardList(tuple(shard.url for shard in counted), num_bytes, starts)
        super().__init__(shards, starts, components, storage)
        # The indexes that were made to count, and whether a companion of checksums lies beside a shard.
        indexes = {n: shard.shard_index for n, shard in enumerate(counted) if shard.shard_index is not None}
        companions = (-1 if shard.has_checksums is None else shard.has_checksums for shard in counted)
        manifests = {n: shard.manifest for n, shard in enumerate(counted) if shard.manifest is not None}
        self._indexes = IndexReader(
            storage, scanner, components, indexes, np.fromiter(companions, np.int8, count), manifests
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the shards as listed, name and count of samples each: the same on disk and in S3.

        A name is the path within the folder that all shards share.
        """
        digest = hashlib.sha256()
        for name, count in zip(names_of([shard.url for shard in self.shards]), self.sizes, strict=True):
            digest.update(f"{name}\t{count}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def index(self, shard: int) -> ShardIndex:
        """The index of a shard.

        An index that was read is kept, in a compact form, while all kept indexes take less than 128 MiB (some 2 million
        samples), so that a smaller dataset reads each index once; an index that was scanned is always kept.

        Raises:
            StorageError: If the index or the shard cannot be read.
            ShardError: If the index does not fit the shard, or the shard is damaged; names it.
        """
        listed = self.shards[shard]
        return self._indexes.read(shard, listed.url, listed.num_samples, listed.num_bytes)


class JoinedCatalogue(Catalogue):
    """Several catalogues, one after the other.

    Args:
        parts: The catalogues, at least one; all have the components and the storage options of the first.

    Attributes:
        parts: As given.
    """

    def __init__(self, parts: Sequence[Catalogue]) -> None:
        self.parts = tuple(parts)
        sizes = np.concatenate([part.sizes for part in self.parts])
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        shards = [shard for part in self.parts for shard in part.shards]
        super().__init__(shards, starts, self.parts[0].components, self.parts[0].storage)
        self._firsts = np.cumsum([0] + [len(part.shards) for part in self.parts]).tolist()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the fingerprints of the parts."""
        return hashlib.sha256("\n".join(part.fingerprint for part in self.parts).encode()).hexdigest()

    def index(self, shard: int) -> ShardIndex:
        """The index of a shard, from its part."""
        part = bisect_right(self._firsts, shard) - 1
        return self.parts[part].index(shard - self._firsts[part])


def shards_of(starts: Int64Array, sample_ids: Int64Array) -> Int64Array:
    """The shard of each sample, int64 (M,); starts is int64 (S + 1,), the first sample of each shard."""
    return np.searchsorted(starts, sample_ids, side="right") - 1


def names_of(urls: Sequence[str]) -> Iterator[str]:
    """The shards' paths within the folder that all share; they stay the same when the folder is copied."""
    locations = [Location.parse(url) for url in urls]
    paths = [f"{location.server}/{location.path}".split("/") for location in locations]
    first, last = (min(paths)[:-1], max(paths)[:-1]) if paths else ([], [])  # their common part is that of all
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    for path in paths:
        yield "/".join(path[shared:])
