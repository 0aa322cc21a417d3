"""`ShardSet`: the catalogue of a dataset's shards, and where the samples of each lie.

In: paths or URLs of WebDataset tars. Out: counts of all shards at once, the places of one shard's samples on demand.
For all shards only a few numbers each are held, so that a set of 100,000 opens with one read of its manifest.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from streamaug.errors import ShardError
from streamaug.order import Order, SampleOrder, Tail
from streamaug.storage import manifest
from streamaug.storage.checksum import checksums_url, read_checksums, select_checksums
from streamaug.storage.index import Components, Sample, ShardIndex, components_of, count_of, read_index, select
from streamaug.storage.options import StorageOptions
from streamaug.storage.parallel import in_parallel
from streamaug.storage.progress import progress
from streamaug.storage.scan import scan
from streamaug.storage.stale import check_fresh
from streamaug.storage.stores import Storage
from streamaug.storage.urls import beside, expand, index_url, is_local, last_component, shown

#: Bytes of read indexes kept. Reading one again costs 6 µs a sample, 11 with checksums (best of 9, 2,000 samples).
_KEPT_LIMIT = 128 << 20

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


class _Counted(NamedTuple):
    num_samples: int
    num_bytes: int
    kept: "_Compact | None" = None
    may_have_checksums: bool = True


class _Compact(NamedTuple):
    """A shard's index, small: keys joined and encoded, the rest as in `ShardIndex`."""

    keys: bytes
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32] | None

    @property
    def num_bytes(self) -> int:
        """What it occupies."""
        return len(self.keys) + 2 * self.offsets.nbytes + (0 if self.checksums is None else self.checksums.nbytes)

    def whole(self) -> ShardIndex:
        """The index that it was made of."""
        keys = self.keys.decode("utf-8", "surrogateescape").split("\0") if len(self.offsets) else []
        return ShardIndex(keys, self.offsets, self.sizes, self.checksums)


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

    def __init__(
        self, urls: Sequence[str], counted: Sequence[_Counted], components: Components, storage: Storage
    ) -> None:
        sizes = np.fromiter((one.num_samples for one in counted), np.int64, len(counted))
        self.starts: npt.NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        num_bytes = np.fromiter((one.num_bytes for one in counted), np.int64, len(counted))
        self.shards: Sequence[Shard] = _Shards(urls, num_bytes, self.starts)
        self.num_samples = int(self.starts[-1])
        self.components = components
        self.storage = storage
        self._may_have_checksums = np.fromiter((one.may_have_checksums for one in counted), np.bool_, len(counted))
        self._checked = np.zeros(len(counted), np.bool_)
        self._kept_bytes = 0
        self._kept = {number: one.kept for number, one in enumerate(counted) if one.kept is not None}

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
        urls = expand(source)
        if len(urls) == 1 and last_component(urls[0]).endswith(".json"):
            entries = _manifest(reader, urls[0], urls[0])
            if entries is None:
                raise ShardError(
                    f"{shown(urls[0])}: must be a manifest of shards, got none. Write one with `streamaug index`."
                )
            urls = [entry.url for entry in entries]
            known = {entry.url: entry for entry in entries}
        else:
            known = _known(reader, urls)
        counted: dict[int, _Counted] = {}
        missing = []
        for number, url in enumerate(urls):
            entry = known.get(url)
            if entry is None or entry.num_bytes < 0:
                missing.append(number)
            else:
                counted[number] = _Counted(entry.num_samples, entry.num_bytes, None, entry.has_checksums)
        counted |= _count(reader, urls, missing, known, wanted)
        return cls(tuple(urls), [counted[number] for number in range(len(urls))], wanted, reader)

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
        """SHA-256 (hex) over the shards as listed, name and count of samples each: the same on disk and in S3."""
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update(f"{last_component(shard.url)}\t{shard.num_samples}\n".encode())
        return digest.hexdigest()

    def index(self, shard: int) -> ShardIndex:
        """Where the samples of one shard lie; may be called by any number of threads.

        An index that was read is kept, small, while all that are kept take up less than 128 MiB (some 2 million
        samples), so that a smaller dataset reads each of them once; what had to be scanned is always kept.

        Raises:
            StorageError: If the index or the shard cannot be read.
            ShardError: If the index does not fit the shard, or the shard is damaged; names it.
        """
        kept = self._kept.get(shard)
        if kept is not None:
            return kept.whole()
        one = self.shards[shard]
        place = index_url(one.url)
        data = self.storage.read_all(place)
        if data is None:
            samples, num_bytes = scan(self.storage, one.url)
            index = select(samples, self.components)
        else:
            samples = list(read_index(data.decode("utf-8", "surrogateescape"), place, one.num_bytes))
            if not self._checked[shard]:
                check_fresh(self.storage, one.url, place, samples, one.num_bytes)
                self._checked[shard] = True
            num_bytes = self.storage.size(one.url)
            index = select(samples, self.components)
            if self._may_have_checksums[shard]:
                index = self._with_checksums(index, samples, one.url, data)
        if (num_bytes, len(samples)) != (one.num_bytes, one.num_samples):
            raise ShardError(
                f"{shown(one.url)}: must hold {one.num_samples} samples in {one.num_bytes} bytes as listed, "
                f"got {len(samples)} in {num_bytes}. The manifest or index is stale: write it with `streamaug index`."
            )
        compact = _compact(index)
        if data is None or self._kept_bytes + compact.num_bytes <= _KEPT_LIMIT:
            self._kept_bytes += compact.num_bytes
            self._kept[shard] = compact
        return index

    def _with_checksums(self, index: ShardIndex, samples: Sequence[Sample], url: str, text: bytes) -> ShardIndex:
        """The index with the checksums of its companion, if there is one."""
        place = checksums_url(url)
        data = self.storage.read_all(place)
        if data is None:
            return index
        sums = read_checksums(data.decode("ascii", "replace"), place, text, samples)
        return dataclasses.replace(index, checksums=select_checksums(samples, sums, self.components))


def _manifest(storage: Storage, url: str, shard: str) -> list[manifest.Entry] | None:
    data = storage.read_all(url, asked_for=shard)
    return None if data is None else manifest.parse(data, url)


def _known(storage: Storage, urls: Sequence[str]) -> dict[str, manifest.Entry]:
    """What manifests beside the shards say of them, by the shard's URL as asked for."""
    folders: dict[str, list[str]] = {}
    for url in urls:
        folders.setdefault(beside(url, ""), []).append(url)
    known: dict[str, manifest.Entry] = {}
    for inside in folders.values():
        for name in manifest.NAMES:
            entries = _manifest(storage, beside(inside[0], name), inside[0])
            if entries is None:
                continue
            by_name = {last_component(entry.url): entry for entry in entries}
            known |= {url: by_name[last_component(url)] for url in inside if last_component(url) in by_name}
            break
    return known


def _count(
    storage: Storage, urls: Sequence[str], missing: Sequence[int], known: dict[str, manifest.Entry], wanted: Components
) -> Iterator[tuple[int, _Counted]]:
    """Counts of the shards that no manifest gives whole."""

    def one(number: int) -> _Counted:
        url = urls[number]
        entry = known.get(url)
        if entry is not None:
            return _Counted(entry.num_samples, storage.size(url), None, entry.has_checksums)
        place = index_url(url)
        head = storage.read_head(place, 64)
        if head is not None:
            return _Counted(count_of(head.decode("utf-8", "replace"), place), storage.size(url))
        samples, num_bytes = scan(storage, url)
        return _Counted(len(samples), num_bytes, _compact(select(samples, wanted)))

    if all(is_local(urls[number]) for number in missing):
        for number in progress(missing, total=len(missing), what="Indexing"):
            yield number, one(number)
        return
    yield from zip(missing, in_parallel(storage, one, missing, what="Indexing"), strict=True)


def _compact(index: ShardIndex) -> _Compact:
    keys = "\0".join(index.keys).encode("utf-8", "surrogateescape")
    return _Compact(keys, index.offsets, index.sizes, index.checksums)
