"""The rules for torch's loaders over a chain: they deliver its batches unchanged, and save its state by `as_dataset()`.

A chain delivers batches. A loader that would put several of them into a batch, or that saves a state without the
chain's, is refused when it asks for the first batch; it never silently delivers other batches.
"""

import sys
from types import FrameType
from typing import Any, NoReturn

from torch.utils.data._utils.collate import default_collate_fn_map

from streamaug.batch import Batch, EncodedBatch, Prediction
from streamaug.errors import StreamaugError
from streamaug.stages.shapes import BatchDict, BatchTuple

_BATCH_SIZE = (
    "DataLoader.batch_size: must be None for a streamaug chain, whose items are batches already, got a loader that "
    "puts several into one. Pass DataLoader(chain.as_dataset(), batch_size=None, num_workers=0)."
)
_ACCELERATE = (
    "Give the chain itself to streamaug.integrations.accelerate.prepare(accelerator, chain), where each rank reads its "
    "own and skipping reads nothing."
)
#: Modules whose frames may lie between a chain and the code that asks for its batches.
_LOADERS = ("streamaug.stages", "torch.utils.data", "torchdata.stateful_dataloader", "accelerate.data_loader")
#: Between a chain and its caller lie a loader's own frames and those of its wrappers, some ten of them.
_FRAMES = 20


def refuse_unfit_loader(*, within_dataset: bool) -> None:
    """Refuse a loader of torch's that asks for a first batch and would deliver wrong batches.

    Args:
        within_dataset: Whether the caller is the iterator of `as_dataset()`, whose state loaders save.

    Raises:
        StreamaugError: If the loader would batch batches, save a state without the chain's, deal one rank's share to
            all ranks, or skip batches that the chain has skipped.
    """
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame is None:
            return
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(_LOADERS):
            return  # code outside of the loaders takes batches from the chain
        loader = frame.f_locals.get("self")
        if getattr(loader, "auto_collation", False):
            raise StreamaugError(_BATCH_SIZE)
        if module == "accelerate.data_loader":
            _refuse_accelerates(loader)
        if module.startswith("torchdata.stateful_dataloader") and not within_dataset:
            raise StreamaugError(
                "StatefulDataLoader: must be given chain.as_dataset(), got the chain itself, whose state torch hides "
                "from it. Pass StatefulDataLoader(chain.as_dataset(), batch_size=None)."
            )
        frame = frame.f_back


def _refuse_accelerates(loader: Any) -> None:
    """Refuse the loaders of `accelerator.prepare(DataLoader(…))` and `skip_first_batches` where they are wrong."""
    if type(loader).__name__ == "DataLoaderDispatcher" and loader.state.num_processes > 1:
        raise StreamaugError(
            "accelerator.prepare: must not be given a DataLoader over a chain, of which rank 0 alone would read, and "
            f"deal its share to all ranks. {_ACCELERATE}"
        )
    if getattr(loader, "skip_batches", 0) > 0:
        raise StreamaugError(
            "skip_first_batches: must not be given a DataLoader over a chain, which may stand behind these batches "
            f"already, so that others would be skipped. {_ACCELERATE}"
        )


def _refuse_to_collate(*_: Any, **__: Any) -> NoReturn:
    raise StreamaugError(_BATCH_SIZE)


for _kind in (Batch, EncodedBatch, Prediction, BatchTuple, BatchDict):
    default_collate_fn_map[_kind] = _refuse_to_collate
