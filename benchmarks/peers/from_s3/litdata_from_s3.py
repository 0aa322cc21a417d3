"""litdata: `StreamingDataset` and `StreamingDataLoader`, of its own chunks."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litdata.streaming.downloader
from litdata import StreamingDataLoader, StreamingDataset
from litdata.streaming.writer import BinaryWriter
from timed_epoch import WORKERS, Job, main, samples


def as_bytes(rows: list[dict[str, Any]]) -> list[tuple[bytes, int]]:
    """Rows that a worker can send: litdata gives memoryviews, which cannot be pickled."""
    return [(bytes(row["image"]), row["label"]) for row in rows]


def allow_plain_http(worker: int = 0) -> None:
    """litdata refuses endpoints without TLS otherwise."""
    del worker
    litdata.streaming.downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True


def write(shards: Path, target: Path) -> None:
    writer = BinaryWriter(str(target), chunk_bytes="64MB")
    for number, (image, label) in enumerate(samples(shards)):
        writer[number] = {"image": image, "label": label}
    writer.done()
    writer.merge(1)


def epoch(job: Job) -> Iterator[int]:
    allow_plain_http()
    options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"], "region_name": os.environ["AWS_REGION"]}
    data = StreamingDataset("s3://bucket/litdata", cache_dir=str(job.scratch), shuffle=True, storage_options=options)
    workers = {"num_workers": WORKERS, "worker_init_fn": allow_plain_http}
    workers["multiprocessing_context"] = "spawn"  # they download by obstore, which survives no fork
    for batch in StreamingDataLoader(data, batch_size=job.batch_size, collate_fn=as_bytes, **workers):
        yield len(batch)


if __name__ == "__main__":
    main(epoch, write)
