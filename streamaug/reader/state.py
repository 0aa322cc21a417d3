"""The position of a reader: the epoch to come, a loaded or sought position, and the state that holds it.

Plain bookkeeping, apart from reading. A pass is proposed here, and counts from the moment at which its first batch is
ready; a state is made and checked here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamaug.arguments import whole
from streamaug.errors import StateError
from streamaug.order.base import Order
from streamaug.reader.metering import PassMeter

VERSION = 1

#: The values of options of the order that a state leaves out.
_WHERE_ABSENT = {"sticky_lanes": False, "repeats": 1}
#: The fix where a field of the order differs that is no option of the reader.
_FIXES = {"weights": "Mix with the weights that the epochs until then had"}


@dataclass(slots=True, eq=False)
class EpochPass:
    """One pass over one epoch; every stage gets it.

    Attributes:
        epoch: The epoch, from 0.
        start: The position, over all ranks, at which the pass begins.
        num_batches: Batches that it delivers, the same on every rank.
        global_batch: Positions that each batch consumes, over all ranks.
        delivered: Batches delivered to the user so far.
        meter: The work and the waiting of the stages.
    """

    epoch: int
    start: int
    num_batches: int
    global_batch: int
    delivered: int = 0
    meter: PassMeter = dataclasses.field(default_factory=PassMeter, repr=False)

    @property
    def complete(self) -> bool:
        """Whether all of its batches were delivered."""
        return self.delivered >= self.num_batches


class Progress:
    """The position where the next pass begins, and the pass that was begun last.

    Args:
        global_batch: Gives G, the positions of a step over all ranks; called only where a step must be counted.
    """

    def __init__(self, global_batch: Callable[[], int]) -> None:
        self._global_batch = global_batch
        self._epoch = 0
        self._position: int | None = 0  # None: at `_step`, whose position the number of ranks decides
        self._step = 0
        self._kept = False  # whether set_epoch of the same epoch keeps the position: it was loaded, or sought
        self._pass: EpochPass | None = None

    @property
    def epoch(self) -> int:
        """The epoch that the next pass delivers."""
        return self._epoch

    @property
    def next_place(self) -> tuple[int, int]:
        """(epoch, position) at which the next pass begins."""
        position = self._step * self._global_batch() if self._position is None else self._position
        return self._epoch, position

    @property
    def place(self) -> tuple[int, int]:
        """(epoch, position) behind the last batch delivered."""
        if self._pass is None:
            return self.next_place
        if self._pass.complete:
            return self._pass.epoch + 1, 0
        return self._pass.epoch, self._pass.start + self._pass.delivered * self._pass.global_batch

    def begin(self, epoch_pass: EpochPass) -> None:
        """Count a pass as begun: the next pass is of the epoch after it."""
        self._pass = epoch_pass
        self._epoch, self._position, self._kept = epoch_pass.epoch + 1, 0, False

    def set_epoch(self, epoch: int) -> None:
        """Deliver an epoch next: from its start, or from a loaded or sought position where that lies in it.

        Raises:
            ValueError: If `epoch` is no integer of at least 0.
        """
        epoch = _number("set_epoch.epoch", epoch)
        self._pass = None
        if not (self._kept and epoch == self._epoch):
            self._epoch, self._position, self._kept = epoch, 0, False

    def seek(self, epoch: int, step: int) -> None:
        """Deliver an epoch next, from a step on."""
        epoch, step = _number("seek.epoch", epoch), _number("seek.step", step)
        self._pass = None
        self._epoch, self._position, self._step, self._kept = epoch, None, step, True

    def load(self, epoch: int, position: int) -> None:
        """Deliver next the batches behind (epoch, position)."""
        self._pass = None
        self._epoch, self._position, self._kept = epoch, position, True

    @property
    def sought_step(self) -> int | None:
        """The step that the next pass begins with where `seek` said so; None elsewhere."""
        return self._step if self._position is None else None

    def to_dict(self) -> dict[str, int | bool | None]:
        """The state of a copy at the same step, even at a step not yet counted in positions."""
        if self._pass is None and self._position is None:
            return {"epoch": self._epoch, "position": None, "step": self._step, "kept": self._kept}
        epoch, position = self.place
        return {"epoch": epoch, "position": position, "step": 0, "kept": self._kept or self._pass is not None}

    def take(self, place: Mapping[str, Any]) -> None:
        """Take the state of `to_dict`."""
        self._pass = None
        self._epoch, self._position = place["epoch"], place["position"]
        self._step, self._kept = place["step"], place["kept"]


def _number(name: str, value: object) -> int:
    return whole(name, value, "Pass a value of range(…)", least=0)


def make_state(order: Order, fingerprint: str, place: tuple[int, int]) -> dict[str, Any]:
    """The state of a chain at (epoch, position)."""
    return {
        "version": VERSION,
        "fingerprint": fingerprint,
        "seed": order.seed,
        "epoch": place[0],
        "position": place[1],
        "order": {**order.parameters, **order.so_far(*place)},
    }


def place_of(state: Mapping[str, Any]) -> tuple[int, int]:
    """(epoch, position) of a state; the beginning, where the state has no valid one."""
    epoch, position = state.get("epoch"), state.get("position")
    for number in (epoch, position):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            return 0, 0
    return int(epoch or 0), int(position or 0)


def check_state(state: Mapping[str, Any], mine: Mapping[str, Any]) -> tuple[int, int]:
    """(epoch, position) of a state that was saved with the same dataset, seed and order.

    Args:
        state: As it was saved.
        mine: The state that `make_state` returns for the reader that loads it.

    Raises:
        StateError: If a field is missing, or is of another dataset, seed or order.
    """
    check_fields(state, mine)
    for field, fix in (
        ("version", "Load it with the release that saved it"),
        ("fingerprint", "Open the shards it was saved with, same names, sizes and order of listing"),
        ("seed", "Give the reader the seed it was saved with"),
    ):
        if state[field] != mine[field]:
            raise StateError(f"state.{field}: must be {mine[field]!r}, got {state[field]!r}. {fix}.")
    for field in {**mine["order"], **state["order"]}:
        absent = _WHERE_ABSENT.get(field)
        value, given = mine["order"].get(field, absent), state["order"].get(field, absent)
        if given != value:
            fix = _FIXES.get(field, f"Give the reader {field}={given!r}")
            raise StateError(f"state.order.{field}: must be {value!r}, got {given!r}. {fix}.")
    for field in ("epoch", "position"):
        if isinstance(state[field], bool) or not isinstance(state[field], int) or state[field] < 0:
            raise StateError(
                f"state.{field}: must be an integer of at least 0, got {state[field]!r}. Load a state of state_dict()."
            )
    return int(state["epoch"]), int(state["position"])


def check_fields(state: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Raise StateError unless a state has the fields of `mine`, and its `order` is a mapping."""
    if not isinstance(state, Mapping):
        raise StateError(f"state: must be a mapping, got {type(state).__name__}. Load a state of state_dict().")
    for field in mine:
        if field not in state:
            raise StateError(
                f"state.{field}: is missing, got the fields {sorted(state)}. Load a state of state_dict()."
            )
    if not isinstance(state["order"], Mapping):
        raise StateError(f"state.order: must be a mapping, got {state['order']!r}. Load a state of state_dict().")
