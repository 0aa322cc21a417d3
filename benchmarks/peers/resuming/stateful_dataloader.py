"""torchdata: `StatefulDataLoader` with `StatefulDistributedSampler` over a map-style dataset."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from protocol import SEED, WORKERS, Delivered, Job, crop_flip_by_torch, decoded, main, resumed, samples
from torchdata.stateful_dataloader import StatefulDataLoader
from torchdata.stateful_dataloader.sampler import StatefulDistributedSampler


class Images(torch.utils.data.Dataset):
    """Images of tars by their number, transformed as torchvision's transforms are, by torch's generator."""

    def __init__(self, tars: list[str]) -> None:
        self.rows = list(samples(map(Path, tars)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        number, jpeg, label = self.rows[index]
        return number, torch.from_numpy(crop_flip_by_torch(decoded(jpeg))), label


def prepare(tars: Path, data: Path) -> None:
    """Nothing: images are read from the tars."""


def batches(job: Job) -> Iterator[Delivered]:
    torch.manual_seed(SEED)
    images = Images(job.tars)
    sampler = StatefulDistributedSampler(images, job.world, job.rank, shuffle=True, seed=SEED, drop_last=True)
    loader = StatefulDataLoader(images, job.batch, sampler=sampler, num_workers=WORKERS, drop_last=True)
    return resumed(loader, job)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(prepare, batches)
