"""webdataset: shards split by node and worker, both shuffles by `detshuffle`.

It has no state. What a loop can do is done here: the epoch begins again, and what was seen is skipped by hand.
"""

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
import webdataset as wds
from protocol import SEED, WORKERS, Delivered, Job, Mixing, crop_flip_by_torch, main


def prepare(tars: Path, data: Path) -> None:
    """Nothing: tars are read as they are."""


def sample(row: tuple) -> tuple:
    return int(row[0]), crop_flip_by_torch(row[1]), int(row[2])


def batches(job: Job) -> Iterator[Delivered]:
    torch.manual_seed(SEED)
    mixing = Mixing(job.state)
    data = wds.WebDataset(
        job.tars,
        detshuffle=True,
        shardshuffle=100,
        seed=SEED,
        nodesplitter=wds.split_by_node,
        workersplitter=wds.split_by_worker,
    )
    data = data.compose(wds.detshuffle(100, seed=SEED)).decode("rgb8").to_tuple("__key__", "jpg", "cls").map(sample)
    loader = wds.WebLoader(
        data.batched(job.batch, partial=False, collation_fn=None), batch_size=None, num_workers=WORKERS
    )
    done = 0 if job.state is None else job.state["loader"]
    for number, rows in enumerate(itertools.islice(loader, done, None), start=done + 1):
        keys, images, labels = zip(*rows, strict=True)
        yield Delivered(list(keys), images, mixing.targets(labels), functools.partial(mixing.checkpoint, number))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(prepare, batches)
