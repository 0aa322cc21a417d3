"""webdataset in its documented way: a pipe from the command-line client of the store."""

import sys
from collections.abc import Iterator
from pathlib import Path

import webdataset as wds
from timed_epoch import WORKERS, Job, main


def epoch(job: Job) -> Iterator[int]:
    aws = Path(sys.executable).with_name("aws")
    url = f"pipe:{aws} s3 cp s3://bucket/wds/{job.pattern} -"
    data = (
        wds.WebDataset(url, shardshuffle=100, workersplitter=wds.split_by_worker).shuffle(1000).to_tuple("jpg", "cls")
    )
    loader = wds.WebLoader(data.batched(job.batch_size, collation_fn=list), batch_size=None, num_workers=WORKERS)
    for batch in loader:
        yield len(batch)


if __name__ == "__main__":
    main(epoch)
