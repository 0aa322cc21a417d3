"""`MixedShards`: several datasets read as one, each with a weight. What `ShardSet.mix` returns."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from streamaug.batch import Int64Array
from streamaug.mixture_order import MixtureOrder
from streamaug.order import Tail
from streamaug.shards import Shard, ShardIndex, ShardSet


class MixedShards(ShardSet):
    """A mixture of datasets; a `ShardReader` reads it as any other.

    Args:
        parts: Each dataset with its weight, its share of every epoch's samples; the weights need not sum to 1.

    Raises:
        ValueError: If there is no dataset, or they differ in components or storage options.
    """

    def __init__(self, parts: Mapping[ShardSet, float]) -> None:
        sets = list(parts)
        if not sets:
            raise ValueError("ShardSet.mix: must be given at least one dataset, got none. Pass {shards: weight, …}.")
        for one in sets[1:]:
            for name, mine, first in (
                ("components", one.components, sets[0].components),
                ("storage", one.storage.options, sets[0].storage.options),
            ):
                if mine != first:
                    raise ValueError(
                        f"ShardSet.mix: all datasets must have the same {name}, got {mine} and {first}. "
                        "Open them with the same."
                    )
        self._sets, self._weights = sets, [float(parts[one]) for one in sets]
        self.components, self.storage = sets[0].components, sets[0].storage
        self.shards: list[Shard] = [shard for one in sets for shard in one.shards]
        sizes = np.concatenate([np.diff(one.starts) for one in sets])
        self.starts: Int64Array = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self.num_samples = int(self.starts[-1])
        self._firsts = np.cumsum([0] + [len(one.shards) for one in sets])

    def __repr__(self) -> str:
        parts = ", ".join(f"{one}: {weight:g}" for one, weight in zip(self._sets, self._weights, strict=True))
        return f"ShardSet.mix({{{parts}}})"

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the datasets' fingerprints and weights."""
        facts = [[one.fingerprint, weight] for one, weight in zip(self._sets, self._weights, strict=True)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def index(self, shard: int) -> ShardIndex:
        """Where the samples of one shard lie."""
        which = int(np.searchsorted(self._firsts, shard, side="right")) - 1
        return self._sets[which].index(shard - int(self._firsts[which]))

    def order(self, *, seed: int, lanes: int, window: int | None, shuffle: bool, tail: Tail) -> MixtureOrder:
        """The order that reads the mixture."""
        if not shuffle:
            raise ValueError(
                "shuffle: must be True for a mixture, which has no order of listing, got False. Evaluate each alone."
            )
        sizes = [np.diff(one.starts) for one in self._sets]
        return MixtureOrder(sizes, self._weights, seed=seed, lanes=lanes, window=window, tail=tail)
