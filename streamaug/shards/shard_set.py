"""`ShardSet`: a dataset, which is a catalogue of shards and an ordering of their samples.

In: paths or URLs of WebDataset tars. Out: a dataset for `ShardReader`. Two sets may share a catalogue: balancing or
ordering a set anew opens no shard again.
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
        catalogue: The shards, and the positions of their samples.
        ordering: Makes the order of the samples.

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
        of each shard, else from the headers of the shard itself. Counts of a remote shard are kept in the user's cache
        (`$XDG_CACHE_HOME/streamaug`, else `~/.cache/streamaug`), so that they are read once a node.

        Args:
            source: Paths or URLs, with braces and `::` as webdataset takes them, and `*`, `?` and `[…]` in paths; or a
                manifest (.json), or a folder: its manifest, else all its tars. Several in a list or tuple.
            split: The split to take, "train", say, where a manifest, folder or pattern names shards. The manifest says
                the split of a shard, else a word in its name. None: all must be of one split.
            components: The suffixes of a sample's components, the image first, the label second; "jpg;png" means
                either.
            storage: The options of object storage.

        Raises:
            ValueError: If no shard is named, several splits are named and none is chosen, or the components clash.
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
        """Join several datasets, each with its share of every epoch.

        Args:
            parts: {shards: weight, …}; a weight is a share of the samples of an epoch, and they need not sum to 1. A
                mixture among them is replaced by its own datasets, which divide its weight as they divide the mixture.
                A weight may be a function of the epoch, from 0; it may return 0, and the dataset rests. The function
                must be pure, because it is called for all epochs up to the present one, and picklable if the chain is
                to be pickled.

        Raises:
            TypeError: If parts is no mapping of sets.
            ValueError: If there is no dataset, a weight is no positive number, a function returns no weight for epoch
                0, the datasets differ in components or storage options, or a dataset has an order of its own. Later,
                when an epoch begins for which a function returns no weight; names the epoch.
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
        """Order the same samples so that every class comes equally often in every epoch; reads all labels once.

        Where a class is scattered over the shards, images are fetched one by one, which suits local disks and caches.
        For shards of a single class, `mix` reads longer ranges.

        Raises:
            ValueError: If the set has no label component, or an order of its own, which the balance would undo.
            TargetError: If a label is no ASCII integer; names key and shard.
        """
        if not self.ordering.is_plain:
            raise ValueError(
                f"balance_classes: must be asked of a plain set, got {self}, which has an order of its own. "
                "Open all the shards as one set, and balance that."
            )
        return self.ordered_by(Balanced(read_labels(self.catalogue)))

    def select(self, shards: slice | Sequence[int] | None = None, fraction: float | None = None) -> "ShardSet":
        """Take a part of the set, without rewriting it: some shards, the first samples of each, or both.

        The fraction takes neighbours in a shard, so it is a fair sample if the samples were shuffled when the shards
        were made.

        Args:
            shards: The numbers of the shards to take, in the order of the list; or a slice. None: all.
            fraction: The share of each shard's samples to take from its beginning, 0..1, rounded down. None: all.

        Raises:
            TypeError: If `shards` is neither a slice nor a list of integers.
            ValueError: If a shard does not exist or is named twice, the fraction lies outside 0..1, no sample is left,
                or the set has an order of its own, which the choice would undo.
        """
        if not self.ordering.is_plain:
            raise ValueError(
                f"select: must be asked of a plain set, got {self}, which has an order of its own. "
                "Select of each set first, and mix or balance what is left."
            )
        return ShardSet(selected(self.catalogue, shards, fraction), self.ordering)

    def ordered_by(self, ordering: Ordering) -> "ShardSet":
        """Read the same shards in another order, of your own for instance.

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
        """SHA-256 (hex) over the shards as listed, and all that decides the order: the same on disk and in S3."""
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
        """The index of a shard; may be called by any number of threads.

        Raises:
            StorageError: If the index or the shard cannot be read.
            ShardError: If the index does not fit the shard, or the shard is damaged; names it.
        """
        return self.catalogue.index(shard)
