"""The definition of a `ShardReader`: its options, checked, and all that follows from them without reading a byte.

In: the dataset and the reader's arguments. Out: the order (of the options, or of a loaded state), this rank's share of
it, and what replaces its bad samples. It never changes; a copy of a reader is made from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamaug.arguments import as_whole, flag, whole
from streamaug.bad_samples.substitution import Substitution
from streamaug.errors import StateError
from streamaug.order.base import SHUFFLE_FIX, Order, default_lanes, default_window
from streamaug.reader import Share
from streamaug.reader.state import check_fields, make_state
from streamaug.shards.shard_set import ShardSet
from streamaug.stages.advice import warn_of_dropped_tail, warn_of_shared_lanes


class Definition:
    """What a reader reads, and how.

    Args:
        shards: The dataset.
        options: The keyword arguments of `ShardReader` but the ranks, by name.

    Attributes:
        shards: The dataset.
        options: The options, checked.

    Raises:
        TypeError: If `shards` is no `ShardSet`, or a flag is no bool.
        ValueError: If a value is out of its range.
    """

    def __init__(self, shards: ShardSet, options: Mapping[str, Any]) -> None:
        if not isinstance(shards, ShardSet):
            raise TypeError(
                f"ShardReader.shards: must be a ShardSet, got {type(shards).__name__}. "
                "Open the shards first: ShardReader(ShardSet.open(…), …)."
            )
        batch_size = _count("batch_size", options["batch_size"], "Try 256")
        num_classes, lanes = options["num_classes"], options["lanes"]
        if lanes is not None:
            lanes = _count("lanes", lanes, "None takes a number that fits")
        if num_classes is not None:
            num_classes = _count("num_classes", num_classes, "None sets no bound")
        repeats = _count("repeats", options["repeats"], "1 takes each sample once")
        stall_after = options["stall_after"]
        if stall_after is not None and not (isinstance(stall_after, int | float) and stall_after > 0):
            raise ValueError(
                f"ShardReader.stall_after: must be seconds above 0, got {stall_after!r}. None says nothing of stalls."
            )
        quarantine = options["quarantine"]
        if not (quarantine is None or isinstance(quarantine, str | Path)):
            raise ValueError(
                f'ShardReader.quarantine: must be the path of a file, got {quarantine!r}. Write "bad.jsonl".'
            )
        self.shards = shards
        self.options: dict[str, Any] = {
            **options,
            "batch_size": batch_size,
            "lanes": lanes,
            "num_classes": num_classes,
            "repeats": repeats,
            "shuffle": flag("ShardReader.shuffle", options["shuffle"], SHUFFLE_FIX),
            **{name: flag(f"ShardReader.{name}", options[name]) for name in ("sticky_lanes", "read_ahead")},
        }

    @property
    def batch_size(self) -> int:
        """B, rows that this rank delivers a step."""
        batch_size: int = self.options["batch_size"]
        return batch_size

    @property
    def num_classes(self) -> int | None:
        """K as given; labels must be below it."""
        num_classes: int | None = self.options["num_classes"]
        return num_classes

    def order(self) -> Order:
        """The order as given."""
        return self.order_with(self.options["lanes"], self.options["window"])

    def order_with(self, lanes: int | None, window: int | None) -> Order:
        """The order with these lanes and this window; where either is None, its default."""
        options = self.options
        if lanes is None:
            most = self.shards.ordering.most_lanes(self.shards.catalogue.sizes) // options["repeats"]
            lanes = default_lanes(self.shards.num_samples // options["repeats"], most)
        window = default_window(lanes) if window is None else window
        kept = {name: options[name] for name in ("seed", "shuffle", "tail", "sticky_lanes", "repeats")}
        return self.shards.order(lanes=lanes, window=window, **kept)

    def order_of(self, state: Mapping[str, Any], current: Order) -> Order:
        """The order of a state, as far as the options give none; the current order where they are equal.

        Raises:
            StateError: If the state is no state, or its order does not fit the dataset.
        """
        mine = make_state(current, self.shards.fingerprint, (0, 0))
        check_fields(state, mine)
        asked = {
            name: self.options[name] if self.options[name] is not None else state["order"].get(name)
            for name in ("lanes", "window")
        }
        now = {"lanes": current.lanes, "window": current.window}
        if asked == now or None in map(as_whole, asked.values()):
            return current
        try:
            return self.order_with(asked["lanes"], asked["window"])
        except ValueError as error:
            raise StateError(f"state.order: must fit the dataset, got {state['order']!r}. {error}") from error

    def substitution(self, order: Order) -> Substitution:
        """What replaces the bad samples of an order.

        Raises:
            ValueError: If an option of bad samples is out of its range, or the quarantine cannot be appended to.
        """
        options = self.options
        return Substitution(
            self.shards.catalogue,
            order,
            on_bad_sample=options["on_bad_sample"],
            max_bad_samples=options["max_bad_samples"],
            quarantine=options["quarantine"],
        )

    def share(self, order: Order, rank: int, world_size: int) -> Share:
        """A rank's share of every batch of an order; warns of lanes that ranks share, and of a large dropped tail.

        Raises:
            ValueError: If an epoch has less than one global batch.
        """
        share = Share(self.batch_size, rank, world_size, interleaved=order.shuffle)
        if share.num_batches(order) == 0:
            raise ValueError(
                "ShardReader.batch_size: an epoch must hold at least one global batch, got "
                f"{order.num_positions} positions for {world_size} ranks of {share.batch_size}. Use a "
                f'batch_size of at most {max(1, order.num_positions // world_size)}, or tail="pad".'
            )
        warn_of_shared_lanes(order, world_size)
        warn_of_dropped_tail(order, share)
        return share


def _count(name: str, value: object, fix: str) -> int:
    return whole(f"ShardReader.{name}", value, fix, least=1)
