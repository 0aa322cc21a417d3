"""Reads the label of every sample of a dataset once, for `ShardSet.balance_classes`.

In: a catalogue whose second component is the label. Out: class numbers. Where samples can be read one by one, it reads
labels only.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from streamaug.errors import TargetError
from streamaug.samples.label import parse_label
from streamaug.shards.catalogue import Catalogue, Shard
from streamaug.storage.location import Location, shown
from streamaug.storage.parallel import in_parallel

Int64Array = npt.NDArray[np.int64]

_BLOCK = 16 << 20


def read_labels(catalogue: Catalogue) -> Int64Array:
    """The label of every sample, int64 (N,), read from the second component.

    It reads local shards label by label, and remote shards whole, 16 MB at a time and several at once.

    Raises:
        ValueError: If the set has no second component.
        TargetError: If a label is no class number, see `parse_label`, or a sample has none; names key and shard.
        StorageError: If labels cannot be read.
    """
    if len(catalogue.components) < 2:
        raise ValueError(
            f"balance_classes: the second component must be the label, got only {catalogue.components}. "
            'Open the set with components=("jpg", "cls").'
        )
    options = catalogue.storage.options
    threads = max(1, min(options.concurrency, int(options.memory_limit) // (2 * _BLOCK)))
    if catalogue.is_local:
        threads = 1
    numbers = range(len(catalogue.shards))
    labels = in_parallel(catalogue.storage, partial(_labels_of, catalogue), numbers, what="Labels", threads=threads)
    return np.concatenate([np.zeros(0, np.int64), *labels])


def _labels_of(catalogue: Catalogue, number: int) -> Int64Array:
    shard, index = catalogue.shards[number], catalogue.index(number)
    labels = []
    texts = _texts(catalogue, shard, index.offsets[:, 1].tolist(), index.sizes[:, 1].tolist())
    for key, text in zip(index.keys, texts, strict=True):
        try:
            labels.append(parse_label(text))
        except ValueError as reason:
            raise TargetError(f"sample {key!r} of shard {shown(shard.url)}: its label {reason}. Repair it.") from None
    return np.array(labels, np.int64)


def _texts(catalogue: Catalogue, shard: Shard, offsets: list[int], sizes: list[int]) -> Iterator[bytes]:
    """The labels' bytes; empty where a sample has none."""
    step = 0 if Location.parse(shard.url).is_local else _BLOCK
    begin, block = 0, memoryview(b"")
    for offset, size in zip(offsets, sizes, strict=True):
        if offset < 0:
            yield b""
            continue
        if not begin <= offset <= offset + size <= begin + len(block):
            begin = offset
            stop = min(max(offset + step, offset + size), max(shard.num_bytes, offset + size))
            block = memoryview(catalogue.storage.read(shard.url, offset, stop))
        yield bytes(block[offset - begin : offset - begin + size])
