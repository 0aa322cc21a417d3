"""Where a reader stands: the epoch to come, a loaded position, and the state that says it.

Plain bookkeeping, apart from reading: a pass is begun here, and a state is made and checked here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from streamaug.errors import StateError
from streamaug.order import Order

VERSION = 1


class Pass(Protocol):
    """What the bookkeeping needs to know of a pass under way."""

    epoch: int
    start: int
    num_batches: int
    delivered: int


_P = TypeVar("_P", bound=Pass)


class Progress:
    """The epoch to come and the pass under way.

    Args:
        order: The order whose positions are counted.
        fingerprint: Of the dataset.
        global_batch: Positions that each delivered batch consumes.
    """

    def __init__(self, order: Order, fingerprint: str, global_batch: int) -> None:
        self._order, self._fingerprint, self._global_batch = order, fingerprint, global_batch
        self._next, self._position, self._loaded = 0, 0, False
        self._pass: Pass | None = None

    @property
    def epoch(self) -> int:
        """The epoch that the next pass delivers."""
        return self._next

    def begin(self, make: Callable[[int, int], _P]) -> _P:
        """Begin the next pass: `make(epoch, position)` builds it."""
        epoch_pass = make(self._next, self._position)
        self._pass = epoch_pass
        self._next, self._position, self._loaded = self._next + 1, 0, False
        return epoch_pass

    def set_epoch(self, epoch: int) -> None:
        """Deliver an epoch next, from its start, or from a loaded state's position where it is that state's epoch."""
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise ValueError(
                f"set_epoch: epoch must be an integer of at least 0, got {epoch!r}. Pass range(...)'s value."
            )
        self._pass = None
        if not (self._loaded and epoch == self._next):
            self._next, self._position, self._loaded = epoch, 0, False

    def state(self) -> dict[str, Any]:
        """The state after the last delivered batch."""
        epoch, position = self._next, self._position
        if self._pass is not None:
            epoch, position = self._pass.epoch, self._pass.start + self._pass.delivered * self._global_batch
            if self._pass.delivered >= self._pass.num_batches:
                epoch, position = epoch + 1, 0
        return {
            "version": VERSION,
            "fingerprint": self._fingerprint,
            "seed": self._order.seed,
            "epoch": epoch,
            "position": position,
            "order": self._order.parameters,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a state.

        Raises:
            StateError: If a field is missing, or is of another dataset, seed or order.
        """
        mine = self.state()
        for field in mine:
            if field not in state:
                raise StateError(
                    f"state.{field}: is missing, got the fields {sorted(state)}. Load what state_dict() gave."
                )
        for field, fix in (
            ("version", "Load it with the release that saved it"),
            ("fingerprint", "Open the shards it was saved with, same names, sizes and order of listing"),
            ("seed", "Give the reader the seed it was saved with"),
        ):
            if state[field] != mine[field]:
                raise StateError(f"state.{field}: must be {mine[field]!r}, got {state[field]!r}. {fix}.")
        for field, value in mine["order"].items():
            given = state["order"].get(field)
            if given != value:
                raise StateError(
                    f"state.order.{field}: must be {value!r}, got {given!r}. Give the reader {field}={given!r}."
                )
        for field in ("epoch", "position"):
            if not isinstance(state[field], int) or state[field] < 0:
                raise StateError(
                    f"state.{field}: must be an integer of at least 0, got {state[field]!r}. "
                    "Load what state_dict() gave."
                )
        self._pass = None
        self._next, self._position, self._loaded = int(state["epoch"]), int(state["position"]), True
