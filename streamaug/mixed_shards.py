"""`MixedShards`: several datasets read as one, each with a weight. What `ShardSet.mix` returns."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from streamaug.batch import Int64Array
from streamaug.mixture_order import MixtureOrder, normalized
from streamaug.order import Tail
from streamaug.shards import Shard, ShardIndex, ShardSet


class MixedShards(ShardSet):
    """A mixture of datasets; a `ShardReader` reads it as any other.

    Args:
        parts: Each dataset with its weight, its share of every epoch's samples; the weights need not sum to 1. A
            mixture among them stands for its own datasets, which divide its weight as they divide the mixture.

    Raises:
        ValueError: If there is no dataset, a weight is no positive number, the datasets differ in components or storage
            options, or one has its classes balanced.
    """

    def __init__(self, parts: Mapping[ShardSet, float]) -> None:
        if not parts:
            raise ValueError("ShardSet.mix: must be given at least one dataset, got none. Pass {shards: weight, …}.")
        weights = _flattened(parts)
        sets = list(weights)
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
        self._sets, self._weights = sets, list(weights.values())
        self._shares: list[float] = normalized(self._weights).tolist()
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
        """SHA-256 (hex) over the datasets' fingerprints and shares: weights of 1 and 3 are those of 2 and 6."""
        facts = [[one.fingerprint, share] for one, share in zip(self._sets, self._shares, strict=True)]
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


def _flattened(parts: Mapping[ShardSet, float]) -> dict[ShardSet, float]:
    """The plain datasets of a mixture with their weights; one that comes twice has both together."""
    normalized(list(parts.values()))  # before anything is multiplied: the error names the weight as given
    weights: dict[ShardSet, float] = {}
    for one, weight in parts.items():
        leaves = {one: 1.0}
        if isinstance(one, MixedShards):
            leaves = dict(zip(one._sets, one._shares, strict=True))
        elif type(one).order is not ShardSet.order:
            raise ValueError(
                f"ShardSet.mix: a dataset must be a plain set or a mixture, got {one}, which has an order of its own. "
                "Mix plain sets, or balance the classes of one set opened over all the shards."
            )
        for leaf, share in leaves.items():
            weights[leaf] = weights.get(leaf, 0.0) + float(weight) * share
    return weights
