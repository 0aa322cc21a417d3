"""A chain as a node of `torchdata.nodes`.

In: the last stage of a chain. Out: a `BaseNode` with the same batches and the same state. It keeps the chain's order
and resume; `reset()` begins the next epoch, `reset(state)` goes on behind the state.
"""

from collections.abc import Iterator
from typing import Any

from torchdata.nodes import BaseNode

from streamaug.stages.base import Stage

__all__ = ["StageNode"]


class StageNode(BaseNode[Any]):  # type: ignore[misc]  # torchdata's classes are untyped
    """The node of a chain.

    Args:
        stage: The last stage of the chain.

    Raises:
        TypeError: If it is no stage.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        if not isinstance(stage, Stage):
            raise TypeError(
                f"StageNode.stage: must be a streamaug stage, got {type(stage).__name__}. Pass the last one."
            )
        self._stage = stage
        self._batches: Iterator[Any] | None = None

    def reset(self, initial_state: dict[str, Any] | None = None) -> None:
        """Begin the next epoch, or go on where a state was taken."""
        super().reset(initial_state)
        if initial_state is not None:
            self._stage.load_state_dict(initial_state)
        self._batches = None

    def next(self) -> Any:
        """The next batch; StopIteration at the end of the epoch."""
        if self._batches is None:
            self._batches = iter(self._stage)
        return next(self._batches)

    def get_state(self) -> dict[str, Any]:
        """The chain's state."""
        return self._stage.state_dict()
