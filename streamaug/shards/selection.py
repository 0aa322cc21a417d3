"""A part of a dataset: some of its shards, or the first samples of each; it copies no byte.

In: a catalogue, and a choice. Out: a catalogue. The part has a fingerprint of its own, so that it refuses a state of
the whole.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from math import floor
from operator import index as whole
from typing import Any

import numpy as np

from streamaug.shards.catalogue import Catalogue, Int64Array, Shard
from streamaug.shards.index import ShardIndex

_ROUNDING = 1e-9  # so that 0.29 of 100 samples are 29, in spite of rounding


class SelectedCatalogue(Catalogue):
    """Some shards of a catalogue, and the first samples of each.

    Args:
        catalogue: The whole.
        numbers: The shards to take, by their numbers in the whole.
        counts: int64 (S,), the number of samples to take from the beginning of each.
    """

    def __init__(self, catalogue: Catalogue, numbers: Sequence[int], counts: Int64Array) -> None:
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        listed = (catalogue.shards[number] for number in numbers)
        shards = [
            Shard(shard.url, shard.num_bytes, count) for shard, count in zip(listed, counts.tolist(), strict=True)
        ]
        super().__init__(shards, starts, catalogue.components, catalogue.storage)
        self._whole, self._numbers = catalogue, list(numbers)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the fingerprint of the whole, and the choice."""
        taken = json.dumps([self._numbers, self.sizes.tolist()])
        return hashlib.sha256(f"{self._whole.fingerprint} {taken}".encode()).hexdigest()

    def index(self, shard: int) -> ShardIndex:
        """The index of a shard, of the chosen samples; raises as the whole's does."""
        found, count = self._whole.index(self._numbers[shard]), self.shards[shard].num_samples
        return ShardIndex(
            found.keys[:count],
            found.offsets[:count],
            found.sizes[:count],
            None if found.checksums is None else found.checksums[:count],
            {row: suffixes for row, suffixes in found.incomplete.items() if row < count},
        )


def selected(catalogue: Catalogue, shards: Any, fraction: float | None) -> SelectedCatalogue:
    """Part of a catalogue, see `ShardSet.select`.

    Raises:
        TypeError: If `shards` is neither None, a slice nor a list of integers.
        ValueError: If a shard does not exist or comes twice, the fraction does not lie in 0..1, or no sample is left.
    """
    numbers = _numbers(shards, len(catalogue.shards))
    sizes = catalogue.sizes[numbers]
    if fraction is not None:
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
            raise ValueError(
                f"select.fraction: must lie in 0..1, and above 0, got {fraction!r}. 0.1 takes a tenth of each shard."
            )
        sizes = np.array([floor(size * fraction + _ROUNDING) for size in sizes.tolist()], np.int64)
    if sizes.sum() == 0:
        raise ValueError(
            f"select: must leave at least one sample, got shards={shards!r} and fraction={fraction!r} of "
            f"{len(catalogue.shards)} shards with {catalogue.num_samples} samples. Take more."
        )
    return SelectedCatalogue(catalogue, numbers, sizes)


def _numbers(shards: Any, count: int) -> list[int]:
    """The numbers of the shards, as listed for a slice, as given for a list."""
    if shards is None:
        return list(range(count))
    if isinstance(shards, slice):
        return list(range(*shards.indices(count)))
    try:
        numbers = [whole(number) for number in shards]
    except TypeError:
        raise TypeError(
            f"select.shards: must be a slice or a list of integers, got {shards!r:.100}. Write slice(0, 10), or [0, 3]."
        ) from None
    for number in numbers:
        if not -count <= number < count:
            raise ValueError(
                f"select.shards: each must be the number of a shard, 0..{count - 1}, got {number}. "
                "`ShardSet.shards` lists them."
            )
    numbers = [number % count for number in numbers]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"select.shards: each shard must be named once, got {shards!r:.100}. Leave out the repeats.")
    return numbers
