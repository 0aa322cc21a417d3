"""`BalancedShards`: a dataset read class by class, each equally often. What `ShardSet.balance_classes` returns."""

import hashlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from streamaug.balanced_order import BalancedOrder
from streamaug.batch import Int64Array
from streamaug.errors import TargetError
from streamaug.labels import parse_label
from streamaug.order import Tail
from streamaug.shards import Shard, ShardIndex, ShardSet
from streamaug.storage.parallel import in_parallel
from streamaug.storage.urls import is_local, shown

_BLOCK = 16 << 20


class BalancedShards(ShardSet):
    """A dataset whose classes are read equally often; a `ShardReader` reads it as any other.

    Args:
        shards: The dataset; its second component is the label.

    Raises:
        ValueError: If the dataset has no label component, or is a mixture, whose weights the balance would undo.
        TargetError: If a label is no class number, see `labels`, or a sample has none; names key and shard.
        StorageError: If labels cannot be read.
    """

    def __init__(self, shards: ShardSet) -> None:
        if type(shards).order is not ShardSet.order:
            raise ValueError(
                f"balance_classes: must be asked of a plain set, got {shards}, which has an order of its own. "
                "Open all the shards as one set, and balance that."
            )
        self._set = shards
        self.components, self.storage = shards.components, shards.storage
        self.shards, self.starts, self.num_samples = shards.shards, shards.starts, shards.num_samples
        self.labels = read_labels(shards)

    def __repr__(self) -> str:
        return f"{self._set}.balance_classes()"

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the dataset's fingerprint and all labels."""
        return hashlib.sha256(self._set.fingerprint.encode() + self.labels.astype("<i8").tobytes()).hexdigest()

    def index(self, shard: int) -> ShardIndex:
        """Where the samples of one shard lie."""
        return self._set.index(shard)

    def order(self, *, seed: int, lanes: int, window: int | None, shuffle: bool, tail: Tail) -> BalancedOrder:
        """The order that reads it."""
        if not shuffle:
            raise ValueError("shuffle: must be True for balanced classes, got False. Evaluate the plain set.")
        return BalancedOrder(self.labels, seed=seed, lanes=lanes, window=window, tail=tail)


def read_labels(shards: ShardSet) -> Int64Array:
    """The label of every sample, int64 (N,), read from the second component.

    Local shards are read label by label; others whole, 16 MB at a time and several at once.
    """
    if len(shards.components) < 2:
        raise ValueError(
            f"balance_classes: the second component must be the label, got only {shards.components}. "
            'Open the set with components=("jpg", "cls").'
        )
    options = shards.storage.options
    threads = max(1, min(options.concurrency, options.memory_limit // (2 * _BLOCK)))
    if all(is_local(shard.url) for shard in shards.shards):
        threads = 1
    numbers = range(len(shards.shards))
    each = in_parallel(shards.storage, partial(_labels_of, shards), numbers, what="Labels", threads=threads)
    return np.concatenate([np.zeros(0, np.int64), *each])


def _labels_of(shards: ShardSet, number: int) -> Int64Array:
    shard, index = shards.shards[number], shards.index(number)
    labels = []
    texts = _texts(shards, shard, index.offsets[:, 1].tolist(), index.sizes[:, 1].tolist())
    for key, text in zip(index.keys, texts, strict=True):
        try:
            labels.append(parse_label(text))
        except ValueError as reason:
            raise TargetError(f"sample {key!r} of shard {shown(shard.url)}: its label {reason}. Repair it.") from None
    return np.array(labels, np.int64)


def _texts(shards: ShardSet, shard: Shard, offsets: list[int], sizes: list[int]) -> Iterator[bytes]:
    """The labels' bytes; empty where a sample has none."""
    step = 0 if is_local(shard.url) else _BLOCK
    begin, block = 0, memoryview(b"")
    for offset, size in zip(offsets, sizes, strict=True):
        if offset < 0:
            yield b""
            continue
        if not begin <= offset <= offset + size <= begin + len(block):
            begin = offset
            stop = min(max(offset + step, offset + size), max(shard.num_bytes, offset + size))
            block = memoryview(shards.storage.read(shard.url, offset, stop))
        yield bytes(block[offset - begin : offset - begin + size])
