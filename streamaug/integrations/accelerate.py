"""A chain in Hugging Face's Accelerate: each rank reads its own share; Accelerate gets the epoch's end and padding.

In: an `Accelerator` and the last stage of a chain. Out: a loader that the Accelerator saves and restores, which
`gather_for_metrics`, `accumulate` and `skip_first_batches` support. It does not divide the data a second time.
"""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from torch.utils.data import IterableDataset

from streamaug.stages.base import Stage
from streamaug.stages.stage_wrapper import StageWrapper

__all__ = ["StageLoader", "prepare"]

#: Frames of torch's and Accelerate's loaders between a dataset and the loader that skips: some six of them.
_FRAMES = 16


def prepare(accelerator: Any, stage: Stage) -> "StageLoader":
    """A loader over a chain for an Accelerator, instead of `accelerator.prepare(DataLoader(…))`.

    `accelerator.save_state` and `load_state` save and restore it, in the order in which loaders were prepared.

    Args:
        accelerator: An `accelerate.Accelerator`.
        stage: The last stage of the chain itself, not a DataLoader over it.

    Raises:
        TypeError: If `stage` is no stage.
        ValueError: If it pads a shuffled epoch: `gather_for_metrics` removes padding only at the end of the last batch.
    """
    from accelerate.utils import send_to_device

    _check_stage("prepare", stage)

    def move(batch: Any) -> Any:
        if not accelerator.device_placement:
            return batch
        return send_to_device(batch, accelerator.device, non_blocking=accelerator.non_blocking)

    loader = StageLoader(stage, accelerator.gradient_state, move)
    accelerator.register_for_checkpointing(loader)
    return loader


class StageLoader(StageWrapper):
    """The batches of a chain, with the attributes that Accelerate reads; made by `prepare`.

    Attributes:
        gradient_state: The Accelerator's, which reads the next two attributes of this loader.
        end_of_dataloader: Whether the batch delivered last is the epoch's last.
        remainder: Rows of the epoch's last batch, over all ranks, that are no padding; 0: all of them.

    Args:
        stage: The last stage of the chain.
        gradient_state: As above.
        move: Moves a batch to the model's device.
    """

    #: The attributes that `skip_first_batches` passes to a loader of its own.
    batch_size = None
    drop_last = False
    num_workers = 0
    prefetch_factor = None

    def __init__(self, stage: Stage, gradient_state: Any, move: Callable[[Any], Any]) -> None:
        order = stage._reader.order
        if order.tail == "pad" and order.shuffle:
            raise ValueError(
                'prepare.stage: must not pad a shuffled epoch, got shuffle=True with tail="pad", whose padding '
                'gather_for_metrics would not find. Give ShardReader shuffle=False, or tail="drop".'
            )
        self._stage, self._move = stage, move
        self.gradient_state = gradient_state
        self.end_of_dataloader, self.remainder = False, -1

    def __iter__(self) -> Iterator[Any]:
        return self.batches()

    def __repr__(self) -> str:
        return f"StageLoader({self._stage!r})"

    @property
    def stage(self) -> Stage:
        """The last stage of the chain."""
        return self._stage

    @property
    def num_samples(self) -> int:
        """Samples of an epoch over all ranks, padding left out."""
        return min(self._stage._reader.order.num_positions, len(self) * self._stage._reader.global_batch())

    @property
    def dataset(self) -> IterableDataset[Any]:
        """The dataset for `skip_first_batches(loader, n)`: n empty items, and then the batches from step n on."""
        return _SkippingDataset(self)

    def dataset_length(self) -> int:
        """`len(loader.dataset)`: batches, which are this dataset's items."""
        return len(self)

    def batches(self, skipped: int = 0) -> Iterator[Any]:
        """The batches of the next pass, behind an empty item for each skipped batch; these are not read.

        Args:
            skipped: The number of the epoch's first batches to skip. A position that was loaded or sought stays.
        """
        if skipped:
            state = self._stage.state_dict()
            if not (state["epoch"] == self._stage.epoch and state["position"] > 0):
                self._stage.seek(self._stage.epoch, skipped)
        yield from [None] * skipped
        stream = self._stage.iterator()
        self.end_of_dataloader, self.remainder = False, self._remainder()
        self.gradient_state._add_dataloader(self)
        try:
            for batch in stream:
                self.end_of_dataloader = stream.complete
                yield self._move(batch)
        finally:
            self.gradient_state._remove_dataloader(self)

    def _remainder(self) -> int:
        reader = self._stage._reader
        return reader.order.num_positions % reader.global_batch() if reader.order.tail == "pad" else 0

    @staticmethod
    def collate_fn(batch: Any) -> Any:
        """The batch itself, which is a batch already."""
        return batch


class _SkippingDataset(IterableDataset[Any]):
    """A `StageLoader` as Accelerate's skipping loaders read it."""

    def __init__(self, loader: StageLoader) -> None:
        super().__init__()
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        return self._loader.batches(_skip_batches())

    def __len__(self) -> int:
        return self._loader.dataset_length()


def _check_stage(name: str, stage: object) -> None:
    if not isinstance(stage, Stage):
        raise TypeError(
            f"{name}.stage: must be a streamaug stage, got {type(stage).__name__}. Pass the last stage of the chain "
            "itself, not a DataLoader over it."
        )


def _skip_batches() -> int:
    """The number of batches that the calling loader skips; Accelerate tells a dataset in no other way."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_FRAMES):
        if frame is None:
            return 0
        if frame.f_globals.get("__name__") == "accelerate.data_loader":
            count = getattr(frame.f_locals.get("self"), "skip_batches", None)
            if isinstance(count, int):
                return count
        frame = frame.f_back
    return 0
