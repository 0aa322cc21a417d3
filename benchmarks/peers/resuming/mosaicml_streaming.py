"""mosaicml-streaming: `StreamingDataset` and `StreamingDataLoader`, whose state is elastic at one global batch size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision_without_operators  # noqa: F401 - streaming imports torchvision
from protocol import SEED, WORKERS, Delivered, Job, crop_flip_by_torch, decoded, main, resumed, samples
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset


class Images(StreamingDataset):
    """Transforms in `__getitem__`, as in its examples."""

    def __getitem__(self, index: Any) -> Any:
        row = super().__getitem__(index)
        return row["number"], torch.from_numpy(crop_flip_by_torch(decoded(row["image"]))), row["label"]


def prepare(tars: Path, data: Path) -> None:
    columns = {"image": "bytes", "label": "int", "number": "int"}
    with MDSWriter(out=str(data), columns=columns, compression=None, size_limit="100kb") as writer:
        for number, jpeg, label in samples(sorted(tars.glob("*.tar"))):
            writer.write({"image": jpeg, "label": label, "number": number})


def batches(job: Job) -> Iterator[Delivered]:
    torch.manual_seed(SEED)
    # The canonical nodes of the first run go on, by the state; for 6, 2 and 3 ranks divide them.
    data = Images(local=str(job.data), shuffle=True, shuffle_seed=SEED, batch_size=job.batch, num_canonical_nodes=6)
    loader = StreamingDataLoader(data, batch_size=job.batch, num_workers=WORKERS, drop_last=True)
    return resumed(loader, job)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(prepare, batches)
