"""streamaug: the chain's `state_dict()`, loaded on any number of ranks."""

from collections.abc import Iterator
from pathlib import Path

import nvidia.dali.fn
import nvidia.dali.ops  # noqa: F401 - this and the next are else imported by the first chain, behind the start of the clock
import scipy.special  # noqa: F401
from protocol import CLASSES, CROP, SEED, Delivered, Job, main

import streamaug as sa
import streamaug.dali.engine
import streamaug.shards.shard_set
import streamaug.stages.mixing
import streamaug.stages.reader


def prepare(tars: Path, data: Path) -> None:
    """Nothing: tars are read as they are."""


def batches(job: Job) -> Iterator[Delivered]:
    """One chain that mixes, and one that does not, for the digests of what was mixed."""
    recipe = sa.Recipe([sa.ops.RandomResizedCrop(CROP, scale=(0.5, 1.0)), sa.ops.HorizontalFlip()])
    chains = []
    for mixes in (True, False):
        reader = sa.ShardReader(sa.ShardSet.open(job.tars), batch_size=job.batch, seed=SEED, lanes=12)
        chain = reader.augment(recipe, device="cpu", num_threads=1)
        chains.append(chain.mixup_or_cutmix(num_classes=CLASSES) if mixes else chain)
        if job.state is not None:
            chains[-1].load_state_dict(job.state)
    for batch, plain in zip(*chains, strict=True):
        yield Delivered(
            batch.origin.sample_ids.tolist(), plain.images.numpy(), batch.targets.numpy(), chains[0].state_dict
        )


if __name__ == "__main__":
    main(prepare, batches)
