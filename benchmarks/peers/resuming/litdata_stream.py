"""litdata: `StreamingDataset` and `StreamingDataLoader`, whose state may be loaded on other ranks.

LITDATA_POSIX_FAST=0 is set: in the order that it takes for files on a local disk otherwise, it resumes whole chunks.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from litdata import StreamingDataLoader, StreamingDataset, optimize
from protocol import SEED, WORKERS, Delivered, Job, crop_flip_by_torch, decoded, main, resumed, samples


class Images(StreamingDataset):
    """Transforms in `__getitem__`, as in its examples."""

    def __getitem__(self, index: Any) -> Any:
        row = super().__getitem__(index)
        return row["number"], torch.from_numpy(crop_flip_by_torch(decoded(bytes(row["image"])))), row["label"]


def sample(row: tuple[int, bytes, int]) -> dict[str, Any]:
    return dict(zip(("number", "image", "label"), row, strict=True))


def prepare(tars: Path, data: Path) -> None:
    rows = list(samples(sorted(tars.glob("*.tar"))))
    optimize(sample, rows, str(data), chunk_size=25, num_workers=1, keep_data_ordered=True)


def batches(job: Job) -> Iterator[Delivered]:
    torch.manual_seed(SEED)
    data = Images(str(job.data), shuffle=True, seed=SEED, drop_last=True)
    loader = StreamingDataLoader(data, batch_size=job.batch, num_workers=WORKERS, drop_last=True)
    return resumed(loader, job)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(prepare, batches)
