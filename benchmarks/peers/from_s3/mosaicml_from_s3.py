"""mosaicml-streaming: `StreamingDataset` and `StreamingDataLoader`, of MDS shards."""

import os
from collections.abc import Iterator
from pathlib import Path

import torchvision_without_operators  # noqa: F401 - streaming imports torchvision
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from streaming.base.util import clean_stale_shared_memory
from timed_epoch import WORKERS, Job, main, samples


def write(shards: Path, target: Path) -> None:
    with MDSWriter(out=str(target), columns={"image": "bytes", "label": "bytes"}, compression=None) as writer:
        for image, label in samples(shards):
            writer.write({"image": image, "label": b"%d" % label})


def loader(job: Job) -> StreamingDataLoader:
    clean_stale_shared_memory()
    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    data = StreamingDataset(remote="s3://bucket/mds", local=str(job.scratch), shuffle=True, batch_size=job.batch_size)
    return StreamingDataLoader(data, batch_size=job.batch_size, num_workers=WORKERS, collate_fn=list)


def epoch(job: Job) -> Iterator[int]:
    for batch in loader(job):
        yield len(batch)


def second(job: Job) -> Iterator[int]:
    batches = loader(job)
    for _ in batches:
        pass
    return map(len, batches)


if __name__ == "__main__":
    main(epoch, write, second)
