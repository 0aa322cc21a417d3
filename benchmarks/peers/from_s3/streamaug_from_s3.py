"""streamaug, of the tars as they are; the second epoch with a disk cache."""

from collections.abc import Iterator

import obstore  # noqa: F401 - the first request would import it
from timed_epoch import Job, main

from streamaug.shards.shard_set import ShardSet
from streamaug.stages.reader import ShardReader
from streamaug.storage import StorageOptions


def loader(job: Job, storage: StorageOptions) -> ShardReader:
    shards = ShardSet.open(f"s3://bucket/wds/{job.pattern}", storage=storage)
    return ShardReader(shards, batch_size=job.batch_size, window=2048)


def epoch(job: Job) -> Iterator[int]:
    for batch in loader(job, StorageOptions()):
        yield len(batch.data)


def second(job: Job) -> Iterator[int]:
    reader = loader(job, StorageOptions(cache_dir=job.scratch))
    for _ in reader:
        pass
    return (len(batch.data) for batch in reader)


if __name__ == "__main__":
    main(epoch, second=second)
