"""`ShardSet`: a dataset, which is a catalogue of shards and an ordering of their samples.

In: paths or URLs of WebDataset tars. Out: what a `ShardReader` reads. Two sets may share one catalogue: balancing or
ordering a set anew opens nothing again.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streamaug.order.balanced import Balanced
from streamaug.order.base import Order, OrderOptions, Tail
from streamaug.order.ordering import Ordering
from streamaug.order.shuffled import Shuffled
from streamaug.order.weights import Weight
from streamaug.shards.catalogue import Catalogue, CountedCatalogue, Shard
from streamaug.shards.counts import count_shards
from streamaug.shards.index import Components, ShardIndex, components_of
from streamaug.shards.labels import read_labels
from streamaug.shards.mixture import Part, mixed
from streamaug.shards.selection import selected
from streamaug.shards.sources import absolute, list_shards
from streamaug.storage.options import StorageOptions
from streamaug.storage.storage import Storage
from streamaug.storage.urls import Source, expand


class ShardSet:
    """A dataset; made by `ShardSet.open`.

    Args:
        catalogue: The shards, and where their samples lie.
        ordering: How the samples are ordered.

    Attributes:
        catalogue: As given.
        ordering: As given.
    """

    def __init__(self, catalogue: Catalogue, ordering: Ordering) -> None:
        self.catalogue, self.ordering = catalogue, ordering

    def __repr__(self) -> str:
        plain = f"ShardSet({len(self.shards)} shards, {self.num_samples} samples)"
        return self.ordering.describe(plain)

    @classmethod
    def open(
        cls,
        source: Source,
        *,
        split: str | None = None,
        components: Sequence[str] = ("jpg;jpeg;png;webp", "cls"),
        storage: StorageOptions = StorageOptions(),  # noqa: B008 - frozen
    ) -> "ShardSet":
        """Open shards by path or URL.

        The counts come from a manifest beside the shards (`index.json`, or timm's `_info.json`), else from the `.idx`
        of each shard, else from the headers of the shard itself. Those of a remote shard are kept in the user's cache
        (`$XDG_CACHE_HOME/streamaug`, else `~/.cache/streamaug`), so that they are read once a node.

        Args:
            source: Paths or URLs, with braces and `::` as webdataset takes them, and `*`, `?` and `[…]` in paths; or a
                manifest (.json), or a folder: its manifest, else all its tars. Several in a list or tuple.
            split: The split to take of what a manifest, folder or pattern names: "train", say. As the manifest calls
                it, else by a word in the shards' names. None: there must be one split only.
            components: The suffixes of a sample's parts, the image first, the label second; "jpg;png" is either.
            storage: How object storage is reached.

        Raises:
            ValueError: If nothing is named, several splits are and none is chosen, or the components clash.
            StorageError: If a shard or its index cannot be read; names it.
            ShardError: If a shard or its index is damaged, or there is no sample; names it.
        """
        if not isinstance(storage, StorageOptions):
            raise TypeError(f"storage: must be StorageOptions, got {type(storage).__name__}. Write StorageOptions(…).")
        wanted, reader = components_of(components), Storage(storage)
        names = [absolute(name) for name in expand(source)]
        counted, scanner = count_shards(reader, list_shards(reader, names, split=split), wanted)
        return cls(CountedCatalogue(counted, scanner, wanted, reader), Shuffled())

    @staticmethod
    def mix(parts: "Mapping[ShardSet, Weight]") -> "ShardSet":
        """Several datasets as one, each with its share of every epoch.

        Args:
            parts: {shards: weight, …}; a weight is a share of the samples of an epoch, and they need not sum to 1. A
                mixture among them stands for its own datasets, which divide its weight as they divide the mixture. A
                weight may be a function of the epoch, from 0, that gives it; 0 lets a dataset rest. It must be pure,
                for it is asked for all epochs up to the present one, and picklable where the chain is to be.

        Raises:
            TypeError: If parts is no mapping of sets.
            ValueError: If there is no dataset, a weight is no positive number, a function gives none for epoch 0, the
                datasets differ in components or storage options, or one has an order of its own. Later, when an epoch
                begins for which a function gives no weight; names the epoch.
        """
        if not isinstance(parts, Mapping):
            raise TypeError(
                f"ShardSet.mix: parts must be a mapping, got {type(parts).__name__}. Pass {{shards: weight, …}}."
            )
        for shards in parts:
            if not isinstance(shards, ShardSet):
                raise TypeError(
                    f"ShardSet.mix: each dataset must be a ShardSet, got {type(shards).__name__}. "
                    "Open it with ShardSet.open."
                )
        catalogue, ordering = mixed(
            [Part(shards.catalogue, shards.ordering, weight, repr(shards)) for shards, weight in parts.items()]
        )
        return ShardSet(catalogue, ordering)

    def balance_classes(self) -> "ShardSet":
        """The same samples, but every class equally often in every epoch; reads all labels once.

        Images are then fetched one by one where a class is scattered over the shards: fit for local disks and caches.
        For whole shards of one class, `mix` reads longer ranges.

        Raises:
            ValueError: If there is no label component, or the set has an order of its own, which the balance would
                undo.
            TargetError: If a label is no ASCII integer; names key and shard.
        """
        if not self.ordering.is_plain:
            raise ValueError(
                f"balance_classes: must be asked of a plain set, got {self}, which has an order of its own. "
                "Open all the shards as one set, and balance that."
            )
        return self.ordered_by(Balanced(read_labels(self.catalogue)))

    def select(self, shards: slice | Sequence[int] | None = None, fraction: float | None = None) -> "ShardSet":
        """Part of the set, without rewriting it: some shards, the first samples of each, or both.

        Parts of one shard lie side by side in it, so a fraction is a fair sample where the shards were shuffled when
        they were made.

        Args:
            shards: The shards to take by number, in the order of a list given; a slice of those listed. None: all.
            fraction: How much of each shard's samples to take from its beginning, 0..1, rounded down. None: all.

        Raises:
            TypeError: If `shards` is neither a slice nor a list of integers.
            ValueError: If a shard is not there or is named twice, the fraction lies outside 0..1, nothing is left, or
                the set has an order of its own, which the choice would undo.
        """
        if not self.ordering.is_plain:
            raise ValueError(
                f"select: must be asked of a plain set, got {self}, which has an order of its own. "
                "Select of each set first, and mix or balance what is left."
            )
        return ShardSet(selected(self.catalogue, shards, fraction), self.ordering)

    def ordered_by(self, ordering: Ordering) -> "ShardSet":
        """The same shards with another ordering, one of your own for instance.

        Raises:
            TypeError: If it is no `streamaug.order.Ordering`.
        """
        if not isinstance(ordering, Ordering):
            raise TypeError(
                f"ordered_by: ordering must be a streamaug.order.Ordering, got {type(ordering).__name__}. "
                "Derive a class from it, and one from streamaug.order.Order that it makes."
            )
        return ShardSet(self.catalogue, ordering)

    def order(
        self,
        *,
        seed: int,
        lanes: int,
        window: int | None,
        shuffle: bool,
        tail: Tail,
        sticky_lanes: bool = False,
        repeats: int = 1,
    ) -> Order:
        """The order in which a reader takes the samples, see `SampleOrder` and `RepeatedOrder`."""
        options = OrderOptions(
            seed=seed, lanes=lanes, window=window, shuffle=shuffle, tail=tail, sticky_lanes=sticky_lanes
        )
        if repeats == 1:
            return self.ordering.order(self.catalogue.sizes, options)
        return self.ordering.repeated(self.catalogue.sizes, options, repeats)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the shards as listed, and what else decides the order: the same on disk and in S3."""
        return self.ordering.fingerprint(self.catalogue.fingerprint)

    @property
    def num_samples(self) -> int:
        """Samples in all shards."""
        return self.catalogue.num_samples

    @property
    def shards(self) -> Sequence[Shard]:
        """The shards as listed, each with url, num_bytes and num_samples."""
        return self.catalogue.shards

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """int64 (S + 1,); shard s holds the sample ids starts[s] to starts[s + 1]."""
        return self.catalogue.starts

    @property
    def components(self) -> Components:
        """Each asked component's alternatives; its name is the first of them."""
        return self.catalogue.components

    @property
    def storage(self) -> Storage:
        """Where the bytes come from."""
        return self.catalogue.storage

    def index(self, shard: int) -> ShardIndex:
        """Where the samples of one shard lie; may be called by any number of threads.

        Raises:
            StorageError: If the index or the shard cannot be read.
            ShardError: If the index does not fit the shard, or the shard is damaged; names it.
        """
        return self.catalogue.index(shard)
