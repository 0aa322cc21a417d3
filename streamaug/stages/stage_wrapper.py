"""`StageWrapper`: what a dataset or loader around a chain passes on to it: length, epoch and state."""

from collections.abc import Mapping
from typing import Any

from streamaug.stages.base import Stage


class StageWrapper:
    """The base of objects around the last stage of a chain, for other people's loaders and loops.

    A subclass sets `_stage`, and defines what its iterator delivers.
    """

    __slots__ = ()

    _stage: Stage

    def __len__(self) -> int:
        """Batches of a whole epoch, the same on every rank."""
        return len(self._stage)

    @property
    def epoch(self) -> int:
        """The epoch that the next pass delivers."""
        return self._stage.epoch

    def set_epoch(self, epoch: int) -> None:
        """Deliver an epoch next, see `Stage.set_epoch`."""
        self._stage.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The chain's state."""
        return self._stage.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken, see `Stage.load_state_dict`."""
        self._stage.load_state_dict(state)
