"""`StageDataset`: a chain as a plain `IterableDataset`, for torch's `DataLoader` and torchdata's `StatefulDataLoader`.

Torch hides the state of an `IterDataPipe` from its loaders; a plain dataset shows it to them.
"""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from streamaug.stages.base import Stage
from streamaug.stages.stage_wrapper import StageWrapper


class StageDataset(StageWrapper, IterableDataset[Any]):
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

    def __repr__(self) -> str:
        return f"{self._stage!r}.as_dataset()"

    @property
    def stage(self) -> Stage:
        """The last stage of the chain."""
        return self._stage

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
