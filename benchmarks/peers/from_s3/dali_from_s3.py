"""DALI's own WebDataset reader, on s3:// URLs, with index files from the disk; whole batches only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nvidia.dali import fn, pipeline_def
from timed_epoch import WORKERS, Job, main
from webdataset.shardlists import expand_urls


def epoch(job: Job) -> Iterator[int]:
    @pipeline_def(batch_size=job.batch_size, num_threads=WORKERS, device_id=None, prefetch_queue_depth=2)
    def graph() -> Any:
        names = list(expand_urls(job.pattern))
        encoded, labels = fn.readers.webdataset(
            paths=[f"s3://bucket/wds/{name}" for name in names],
            index_paths=[str(job.scratch.parent / "wds" / Path(name).with_suffix(".idx")) for name in names],
            ext=["jpg", "cls"],
            random_shuffle=True,
            initial_fill=1024,
            name="reader",
        )
        return encoded, labels

    pipe = graph()
    pipe.build()
    for _ in range(pipe.epoch_size("reader") // job.batch_size):
        yield len(pipe.run()[0])


if __name__ == "__main__":
    main(epoch)
