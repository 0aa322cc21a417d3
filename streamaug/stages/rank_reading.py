"""A rank's reading in one order: its share of every batch, the stand-ins of bad samples, the engine that reads.

In: the definition of a reader, and its ranks. Out: the encoded batches of a pass, and the state at a place. Where a
state brings another order, all three are made anew. It knows no chain and moves no position.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from streamaug.batch import EncodedBatch
from streamaug.errors import StateError
from streamaug.order.base import Order
from streamaug.reader import BatchReader, Share
from streamaug.reader.metering import ReaderCounts
from streamaug.reader.state import EpochPass, check_state, make_state, place_of
from streamaug.stages.definition import Definition
from streamaug.stages.ranks import Ranks


class RankReading:
    """What this process reads.

    Args:
        definition: The reader's options.
        ranks: This process's rank, which is settled with the share.

    Attributes:
        order: Which sample stands at which position.
        substitution: What replaces bad samples.
        engine: Reads the bytes; None before the first pass in this order.
        settled: This rank's share of every batch; None until it is first needed.
    """

    def __init__(self, definition: Definition, ranks: Ranks) -> None:
        self._definition, self._ranks = definition, ranks
        self.engine: BatchReader | None = None
        self.read_in(definition.order())

    def read_in(self, order: Order) -> None:
        """Read in an order from the next pass on."""
        self.drop_ahead()
        self.order = order
        self.settled: Share | None = None
        self.engine = None
        self.substitution = self._definition.substitution(order)

    def share(self) -> Share:
        """This rank's share of every batch. Settles the ranks, and checks here all that depends on them.

        Raises:
            ValueError: If an epoch has less than one global batch.
        """
        if self.settled is None:
            self.settled = self._definition.share(self.order, *self._ranks.settle())
        return self.settled

    def num_batches(self, position: int = 0) -> int:
        """Batches of an epoch from a position on. Settles the ranks."""
        return self.share().num_batches(self.order, position)

    def check_step(self, step: int | None) -> None:
        """Refuse a step that was sought behind the end of an epoch. Settles the ranks."""
        length = self.num_batches()
        if step is not None and step >= length:
            raise ValueError(f"seek.step: must lie in 0..{length - 1}, got {step}. An epoch has {length} steps.")

    def run(self, epoch_pass: EpochPass, counts: ReaderCounts | None) -> Iterator[EncodedBatch]:
        """This rank's encoded batches of a pass."""
        if self.engine is None:
            self.engine = BatchReader(
                self._definition.shards.catalogue,
                self.order,
                self.share(),
                self.substitution.replace_known_bad,
                reads_ahead=self._definition.options["read_ahead"],
            )
        yield from self.engine.read(epoch_pass, counts)

    def begin_next(self) -> EncodedBatch | None:
        """The next batch of the pass that comes next, where it was read ahead; its `run` will deliver the same."""
        return None if self.engine is None else self.engine.begin_next()

    def keep_ahead(self, epoch: int, position: int) -> None:
        """Drop what was read ahead for another place than this."""
        if self.engine is not None:
            self.engine.keep_ahead(epoch, position)

    def drop_ahead(self, epoch_pass: EpochPass | None = None) -> None:
        """Drop what was read ahead, and end all that still runs for a pass; None: for any pass."""
        if self.engine is not None:
            self.engine.drop_ahead(epoch_pass)

    def state(self, place: tuple[int, int]) -> dict[str, Any]:
        """The state of a chain at (epoch, position)."""
        return make_state(self.order, self._definition.shards.fingerprint, place)

    def taken_from(self, state: Mapping[str, Any]) -> tuple[Order, int, int]:
        """The order, epoch and position of a state.

        Raises:
            StateError: If the state is of another dataset, seed or order, or lies behind the end of its epoch.
        """
        order = self._definition.order_of(state, self.order)
        mine = make_state(order, self._definition.shards.fingerprint, place_of(state))
        epoch, position = check_state(state, mine)
        if position > order.num_positions:
            raise StateError(
                f"state.position: must lie in 0..{order.num_positions}, the positions of an epoch, got {position}. "
                "Load a state of state_dict()."
            )
        return order, epoch, position

    def facts(self, place: tuple[int, int]) -> dict[str, Any]:
        """The facts that must be the same on all ranks at (epoch, position), and the rank. Settles the ranks."""
        share, state = self.share(), self.state(place)
        return {
            **{name: state[name] for name in ("fingerprint", "seed", "order")},
            "batch_size": share.batch_size,
            "world_size": share.world_size,
            "rank": share.rank,
        }
