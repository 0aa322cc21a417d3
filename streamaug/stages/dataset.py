"""`StageDataset`: a chain as a plain `IterableDataset`, for torch's `DataLoader` and torchdata's `StatefulDataLoader`.

Torch hides the state of an `IterDataPipe` from its loaders; a plain dataset shows it to them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from streamaug.stages.base import Stage


class StageDataset(IterableDataset[Any]):
    """The batches of a chain; made by `Stage.as_dataset()`.

    Pass it on with `batch_size=None` and `num_workers=0`: the chain has threads of its own.

    Args:
        stage: The last stage of the chain.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def __iter__(self) -> Iterator[Any]:
        return self._stage.iterator(within_dataset=True)

    def __len__(self) -> int:
        """Batches of a whole epoch, the same on every rank."""
        return len(self._stage)

    def __repr__(self) -> str:
        return f"{self._stage!r}.as_dataset()"

    @property
    def stage(self) -> Stage:
        """The last stage of the chain."""
        return self._stage

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

    def close(self) -> None:
        """Close the chain."""
        self._stage.close()


def stage_of(loader: object) -> Stage | None:
    """The chain that a loader reads: a stage, its dataset, or a DataLoader over either; None: no chain."""
    if isinstance(loader, DataLoader):
        loader = getattr(loader.dataset, "_datapipe", loader.dataset)  # torch wraps an IterDataPipe
    if isinstance(loader, StageDataset):
        return loader.stage
    return loader if isinstance(loader, Stage) else None
