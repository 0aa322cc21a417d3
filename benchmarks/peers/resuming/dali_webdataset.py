"""DALI: its WebDataset reader, operators with seeds, and `enable_checkpointing`, as its page on checkpointing has it.

`fn.readers.webdataset` shuffles samples in a buffer; each rank reads a share of the tars' samples. Mixing is
`fn.permute_batch` with a λ of DALI's own generator.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def
from protocol import CLASSES, CROP, SEED, Delivered, Job, main

from streamaug.cli import main as streamaug


def prepare(tars: Path, data: Path) -> None:
    """The index files of DALI's `wds2idx`, which have this form."""
    streamaug(["index", *map(str, sorted(tars.glob("*.tar")))])


@pipeline_def(enable_checkpointing=True, num_threads=2, device_id=None, seed=SEED)
def graph(job: Job):
    jpegs, labels = fn.readers.webdataset(
        paths=job.tars,
        index_paths=[path.removesuffix("tar") + "idx" for path in job.tars],
        ext=["jpg", "cls"],
        shard_id=job.rank,
        num_shards=job.world,
        random_shuffle=True,
        initial_fill=256,
        pad_last_batch=True,
        name="reader",
        seed=SEED,
    )
    images = fn.decoders.image_random_crop(jpegs, random_area=[0.5, 1.0])
    images = fn.resize(images, size=[CROP, CROP])
    images = fn.flip(images, horizontal=fn.random.coin_flip())
    lam = fn.random.beta(alpha=0.4, beta=0.4)
    partner = fn.batch_permutation()
    return images, labels, lam, fn.permute_batch(labels, indices=partner)


def checkpoint(pipeline: Any, done: int) -> dict[str, Any]:
    return {"loader": pipeline.checkpoint(), "done": done}


def batches(job: Job) -> Iterator[Delivered]:
    state = job.state
    pipeline = graph(job, batch_size=job.batch, checkpoint=None if state is None else state["loader"])
    pipeline.build()
    done = 0 if state is None else state["done"]
    # An epoch of the reader is the largest share of a rank, padded.
    steps = -(-pipeline.reader_meta("reader")["epoch_size_padded"] // (job.world * job.batch))
    for number in range(done, steps):
        images, labels, lam, others = ([np.asarray(one) for one in out] for out in pipeline.run())
        own, other = (np.array([int(bytes(label)) for label in column]) for column in (labels, others))
        shares = np.reshape(lam, (-1, 1))
        eye = np.eye(CLASSES, dtype=np.float32)
        targets = shares * eye[own] + (1 - shares) * eye[other]
        yield Delivered(own.tolist(), images, targets, functools.partial(checkpoint, pipeline, number + 1))


if __name__ == "__main__":
    main(prepare, batches)
