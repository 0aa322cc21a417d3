"""streamaug, of the tars as they are."""

from collections.abc import Iterator

import obstore  # noqa: F401 - the first request would import it
from timed_epoch import Job, main

from streamaug.shards.shard_set import ShardSet
from streamaug.stages.reader import ShardReader


def epoch(job: Job) -> Iterator[int]:
    shards = ShardSet.open(f"s3://bucket/wds/{job.pattern}")
    for batch in ShardReader(shards, batch_size=job.batch_size, window=2048):
        yield len(batch.data)


if __name__ == "__main__":
    main(epoch)
