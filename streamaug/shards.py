"""`ShardSet`: the catalogue of a dataset's shards, and where the samples of each lie.

In: paths or URLs of WebDataset tars. Out: counts of all shards at once, the places of one shard's samples on demand.
For all shards only a few numbers each are held, so that a set of 100,000 opens with one read of its manifest.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import overload

import numpy as np
import numpy.typing as npt

from streamaug.order import Order, SampleOrder, Tail
from streamaug.storage.counts import Counted, count_shards
from streamaug.storage.index import Components, ShardIndex, components_of
from streamaug.storage.index_reader import IndexReader
from streamaug.storage.options import StorageOptions
from streamaug.storage.stores import Storage
from streamaug.storage.urls import expand, locate, shown

__all__ = ["Shard", "ShardIndex", "ShardSet"]


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar of samples.

    Attributes:
        url: Where it lies.
        num_bytes: Its size.
        num_samples: How many samples it holds.
    """

    url: str
    num_bytes: int
    num_samples: int

    def __repr__(self) -> str:
        return f"Shard(url={shown(self.url)!r}, num_bytes={self.num_bytes}, num_samples={self.num_samples})"


class _Shards(Sequence[Shard]):
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


class ShardSet:
    """The shards of a dataset, in the order in which they were listed; made by `ShardSet.open`.

    Attributes:
        num_samples: Samples in all shards.
        shards: The shards, each with url, num_bytes and num_samples.
        starts: int64 (S + 1,); shard s holds the sample ids starts[s] to starts[s + 1].
        components: Each asked component's alternatives; its name is the first of them.
        storage: Where the bytes come from.
    """

    def __init__(self, counted: Sequence[Counted], components: Components, storage: Storage) -> None:
        sizes = np.fromiter((one.num_samples for one in counted), np.int64, len(counted))
        self.starts: npt.NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        num_bytes = np.fromiter((one.num_bytes for one in counted), np.int64, len(counted))
        self.shards: Sequence[Shard] = _Shards(tuple(one.url for one in counted), num_bytes, self.starts)
        self.num_samples = int(self.starts[-1])
        self.components = components
        self.storage = storage
        found = {number: one.found for number, one in enumerate(counted) if one.found is not None}
        said = (-1 if one.has_checksums is None else one.has_checksums for one in counted)
        self._indexes = IndexReader(storage, components, found, np.fromiter(said, np.int8, len(counted)))

    @classmethod
    def open(
        cls,
        source: str | Sequence[str],
        *,
        components: Sequence[str] = ("jpg;jpeg;png;webp", "cls"),
        storage: StorageOptions = StorageOptions(),  # noqa: B008 - frozen
    ) -> "ShardSet":
        """Open shards by path or URL.

        The counts come from a manifest beside the shards (`index.json`, or timm's `_info.json`), else from the `.idx`
        of each shard, else from the shard itself, which is then read through once (headers only if it is local).

        Args:
            source: Paths or URLs, with braces and `::` as webdataset takes them; or a manifest (.json).
            components: The suffixes of a sample's parts, the image first, the label second; "jpg;png" is either.
            storage: How object storage is reached.

        Raises:
            ValueError: If nothing is named, or the components clash.
            StorageError: If a shard or its index cannot be read; names it.
            ShardError: If a shard or its index is damaged; names it.
        """
        wanted = components_of(components)
        reader = Storage(storage)
        return cls(count_shards(reader, expand(source), wanted), wanted, reader)

    @staticmethod
    def mix(parts: "Mapping[ShardSet, float]") -> "ShardSet":
        """Several datasets as one, each with its share of every epoch.

        Args:
            parts: {shards: weight, …}; a weight is a share of the samples of an epoch, and they need not sum to 1.

        Raises:
            ValueError: If there is no dataset, or they differ in components or storage options.
        """
        from streamaug.mixed_shards import MixedShards

        return MixedShards(parts)

    def balance_classes(self) -> "ShardSet":
        """The same samples, but every class equally often in every epoch; reads all labels once.

        Images are then fetched one by one where a class is scattered over the shards: fit for local disks and caches.
        For whole shards of one class, `mix` reads longer ranges.

        Raises:
            ValueError: If there is no label component.
            TargetError: If a label is no ASCII integer; names key and shard.
        """
        from streamaug.balanced_shards import BalancedShards

        return BalancedShards(self)

    def order(self, *, seed: int, lanes: int, window: int | None, shuffle: bool, tail: Tail) -> Order:
        """The order in which a reader takes the samples, see `SampleOrder`."""
        sizes = np.diff(self.starts)
        return SampleOrder(sizes, seed=seed, lanes=lanes, window=window, shuffle=shuffle, tail=tail)

    def __repr__(self) -> str:
        return f"ShardSet({len(self.shards)} shards, {self.num_samples} samples)"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the shards as listed, name and count of samples each: the same on disk and in S3.

        A name is the path within the folder that all shards share.
        """
        digest = hashlib.sha256()
        for name, count in zip(_names([shard.url for shard in self.shards]), np.diff(self.starts), strict=True):
            digest.update(f"{name}\t{count}\n".encode())
        return digest.hexdigest()

    def index(self, shard: int) -> ShardIndex:
        """Where the samples of one shard lie; may be called by any number of threads.

        An index that was read is kept, small, while all that are kept take up less than 128 MiB (some 2 million
        samples), so that a smaller dataset reads each of them once; what had to be scanned is always kept.

        Raises:
            StorageError: If the index or the shard cannot be read.
            ShardError: If the index does not fit the shard, or the shard is damaged; names it.
        """
        one = self.shards[shard]
        return self._indexes.read(shard, one.url, one.num_samples, one.num_bytes)


def _names(urls: Sequence[str]) -> Iterator[str]:
    """The shards' paths within the folder that they all share, which stay the same when the folder is copied."""
    places = [locate(url) for url in urls]
    paths = [f"{shown(place.base)}/{place.path}".split("/") for place in places]
    first, last = (min(paths)[:-1], max(paths)[:-1]) if paths else ([], [])  # what the two extremes share, all do
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    for path in paths:
        yield "/".join(path[shared:])
