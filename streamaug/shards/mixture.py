"""The work of `ShardSet.mix`: it joins the catalogues of several datasets, and makes the ordering that mixes them.

In: datasets with their orderings and weights. Out: one catalogue, one ordering. It never reads a shard.
"""

from collections.abc import Sequence
from typing import NamedTuple

from streamaug.order.mixture import Mixture
from streamaug.order.ordering import Ordering
from streamaug.order.weights import Weight, Weights, plus, times
from streamaug.shards.catalogue import Catalogue, JoinedCatalogue


class Part(NamedTuple):
    """A dataset to mix: its catalogue, its ordering, its weight, and its name in errors."""

    catalogue: Catalogue
    ordering: Ordering
    weight: Weight
    name: str


def mixed(parts: Sequence[Part]) -> tuple[JoinedCatalogue, Mixture]:
    """Join datasets.

    Raises:
        ValueError: If there is no dataset, a weight is no positive number, the datasets differ in components or storage
            options, or a dataset has an order of its own.
    """
    if not parts:
        raise ValueError("ShardSet.mix: must be given at least one dataset, got none. Pass {shards: weight, …}.")
    weights = _flattened(parts)
    catalogues = list(weights)
    for catalogue in catalogues[1:]:
        for name, given, first in (
            ("components", catalogue.components, catalogues[0].components),
            ("storage", catalogue.storage.options, catalogues[0].storage.options),
        ):
            if given != first:
                raise ValueError(
                    f"ShardSet.mix: all datasets must have the same {name}, got {given} and {first}. "
                    "Open them with the same."
                )
    ordering = Mixture(
        [catalogue.sizes for catalogue in catalogues],
        list(weights.values()),
        [catalogue.fingerprint for catalogue in catalogues],
    )
    return JoinedCatalogue(catalogues), ordering


def _flattened(parts: Sequence[Part]) -> dict[Catalogue, Weight]:
    """The plain datasets of a mixture with their weights; a dataset that comes twice has the sum of its weights.

    A mixture among the parts is replaced by its own datasets, which divide its weight as they divide the mixture.
    """
    Weights([part.weight for part in parts])  # before anything is multiplied: the error names the weight as given
    weights: dict[Catalogue, Weight] = {}
    for part in parts:
        leaves: dict[Catalogue, Weight]
        if isinstance(part.ordering, Mixture) and isinstance(part.catalogue, JoinedCatalogue):
            inner = part.ordering.weights
            leaves = {leaf: inner.share(number) for number, leaf in enumerate(part.catalogue.parts)}
        elif part.ordering.is_plain:
            leaves = {part.catalogue: 1.0}
        else:
            raise ValueError(
                f"ShardSet.mix: a dataset must be a plain set or a mixture, got {part.name}, which has an order of its "
                "own. Mix plain sets, or balance the classes of one set opened over all the shards."
            )
        for leaf, share in leaves.items():
            weights[leaf] = plus(weights.get(leaf, 0.0), times(part.weight, share))
    return weights
