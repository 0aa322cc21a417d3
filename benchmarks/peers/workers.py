"""The peers that decode and augment in DataLoader workers share all but their transform: webdataset in front of it."""

from collections.abc import Callable
from typing import Any

import torch
import webdataset as wds


def loader_epoch(transform: Callable[[Any], torch.Tensor], decode: str | None, threads: int, shards: list[str]):
    """A function that runs one epoch of webdataset, the transform and batches of 64, with persistent workers."""
    dataset = wds.WebDataset(shards, shardshuffle=len(shards), seed=1).shuffle(500)
    if decode:
        dataset = dataset.decode(decode)
    dataset = dataset.to_tuple("jpg", "cls").map_tuple(transform, int).batched(64)
    loader = wds.WebLoader(
        dataset, batch_size=None, num_workers=threads, persistent_workers=threads > 0, prefetch_factor=2
    )

    def epoch() -> int:
        return sum(len(images) for images, _ in loader)

    return epoch
