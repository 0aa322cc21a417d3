"""`Plan`: the samples of each shard, before any of them is read.

In: listings and options. Out: the order of the samples, the borders of the shards, and a fingerprint of all that
decides the bytes, by which a killed run recognises its own shards. A plan does not depend on processes or parts.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.making.images import versions
from streamaug.making.keys import unique_keys
from streamaug.making.labels import numbered
from streamaug.making.listing import Listing, Source, bytes_in_tar
from streamaug.making.options import QUALITY, MakeOptions
from streamaug.random import Stream, uniform

Int64Array = npt.NDArray[np.int64]

#: The version of the layout of shards; it rises when the same options begin to make other bytes.
_VERSION = 1
_SMALLEST, _LARGEST, _SHARDS = 4 << 20, 256 << 20, 96
#: The end of a tar: its marker, padded to a record.
TAR_RECORD = 10240
_DRAWN_AT_ONCE = 1 << 20


class Sample(NamedTuple):
    """A sample for a worker: its key, the number of its source, the source's reference, and its class number."""

    key: str
    source: int
    ref: Any
    label: int | None


class Plan:
    """All samples in their order, cut into shards.

    Args:
        listings: The listing of every source.
        options: The options of the run.
        class_names: The given class table, if any.
    """

    def __init__(self, listings: Sequence[Listing], options: MakeOptions, class_names: Sequence[str] | None) -> None:
        self.options = options
        self.sources: list[Source] = [listing.source for listing in listings]
        self._listed = [sample for listing in listings for sample in listing.samples]
        self._source = np.repeat(np.arange(len(listings)), [len(listing.samples) for listing in listings])
        self._labels, self.class_names = numbered(listings, class_names)
        self._keys, self.num_renamed = unique_keys(sample.name for sample in self._listed)
        self.order = _order(len(self._listed), options)
        self._bytes = np.array([self._bytes_of(number) for number in self.order.tolist()], np.int64)
        self.borders = np.array([0, len(self._listed)], np.int64)
        self._shard_bytes = self._bytes.sum(keepdims=True)

    def __len__(self) -> int:
        return len(self._listed)

    @property
    def num_shards(self) -> int:
        """The number of shards."""
        return len(self.borders) - 1

    def _bytes_of(self, number: int) -> int:
        label, key = self._labels[number], self._keys[number]
        num_bytes = self._listed[number].num_bytes + (0 if label is None else bytes_in_tar(len(str(label))))
        return num_bytes if key.isascii() and len(key) < 90 else num_bytes + 2048  # longer names take a header more

    def probes(self, count: int) -> list[Sample]:
        """Samples from all over the order, for an estimate."""
        at = np.unique(np.linspace(0, len(self) - 1, count).astype(np.int64))
        return [self._sample(int(self.order[position])) for position in at]

    def cut(self, ratio: float = 1.0) -> None:
        """Choose the borders of the shards, for samples that will take `ratio` of their listed bytes."""
        num_bytes = np.maximum(1024, (self._bytes * ratio).astype(np.int64))
        size = self.options.shard_size
        if size is None:
            size = min(_LARGEST, max(_SMALLEST, int(num_bytes.sum()) // _SHARDS))
        self.borders = _borders(num_bytes, size - TAR_RECORD)
        self._shard_bytes = np.add.reduceat(num_bytes, self.borders[:-1]) + TAR_RECORD

    def shard(self, number: int) -> list[Sample]:
        """The samples of one shard."""
        return [self._sample(int(at)) for at in self.order[self.borders[number] : self.borders[number + 1]]]

    def num_bytes(self, number: int) -> int:
        """The size of a shard, about, and rather a little too large."""
        return int(self._shard_bytes[number])

    def _sample(self, number: int) -> Sample:
        listed = self._listed[number]
        return Sample(self._keys[number], int(self._source[number]), listed.ref, self._labels[number])

    def describe(self, sample: Sample) -> str:
        """The name of a sample in messages."""
        return self.sources[sample.source].describe(sample.ref)

    def record(self) -> dict[str, Any]:
        """The record beside the shards: how they were made, with a fingerprint."""
        options = self.options
        said = {
            "version": _VERSION,
            "samples": len(self),
            "shards": self.num_shards,
            "classes": None if self.class_names is None else len(self.class_names),
            "seed": options.seed if options.shuffle else None,
            "max_side": options.max_side,
            "quality": None if options.max_side is None else options.quality or QUALITY,
            "reduced_by": None if options.max_side is None else versions(),
            "decoded": options.decode,
        }
        digest = hashlib.sha256(json.dumps([said, self.class_names]).encode())
        for number, num_bytes in zip(self.order.tolist(), self._bytes.tolist(), strict=True):
            text = f"{self._keys[number]}\0{num_bytes}\0{self._labels[number]}\n"
            digest.update(text.encode("utf-8", "surrogateescape"))
        digest.update(self.borders.astype("<i8").tobytes())
        return said | {"fingerprint": digest.hexdigest()}


def _order(count: int, options: MakeOptions) -> Int64Array:
    """The numbers of the samples in the order in which they are written."""
    if not options.shuffle:
        return np.arange(count)
    pieces = (np.arange(start, min(start + _DRAWN_AT_ONCE, count)) for start in range(0, count, _DRAWN_AT_ONCE))
    drawn = [uniform(options.seed, 0, ids, stream=Stream.WRITING_ORDER, n=1)[:, 0] for ids in pieces]
    return np.argsort(np.concatenate(drawn), kind="stable")


def _borders(num_bytes: Int64Array, size: int) -> Int64Array:
    """The borders of shards of at most `size` bytes (or one sample each), all about as large."""
    ends = np.cumsum(num_bytes)
    borders = [0]
    while borders[-1] < len(num_bytes):
        begun = int(ends[borders[-1] - 1]) if borders[-1] else 0
        borders.append(max(borders[-1] + 1, int(np.searchsorted(ends, begun + size, "right"))))
    even = ends[-1] * np.arange(1, len(borders) - 1) // (len(borders) - 1)
    evenly = np.array([0, *np.searchsorted(ends, even, "left") + 1, len(num_bytes)], np.int64)
    sums = np.diff(np.concatenate([[0], ends])[evenly])
    fits = (np.diff(evenly) > 0).all() and (sums <= size).all()
    return evenly if fits else np.array(borders, np.int64)
