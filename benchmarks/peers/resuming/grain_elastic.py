"""grain: a MapDataset with `random_map`, in an `ElasticIterator`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain
import numpy as np
from protocol import SEED, WORKERS, Delivered, Job, Mixing, crop_flip, decoded, main, samples


class Transform(grain.transforms.RandomMap):
    """A crop and a flip by the generator that grain makes of the seed and the sample's place."""

    def random_map(self, element: Any, rng: np.random.Generator) -> Any:
        number, jpeg, label = element
        return number, np.ascontiguousarray(crop_flip(decoded(jpeg), rng.random(3))), label


def prepare(tars: Path, data: Path) -> None:
    """Nothing: images are read from the tars."""


def batches(job: Job) -> Iterator[Delivered]:
    data = grain.MapDataset.source(list(samples(map(Path, job.tars)))).seed(SEED).shuffle().random_map(Transform())
    shard = grain.sharding.ShardOptions(shard_index=job.rank, shard_count=job.world, drop_remainder=True)
    workers = grain.multiprocessing.MultiprocessingOptions(num_workers=WORKERS)
    stream = iter(grain.experimental.ElasticIterator(data, job.global_batch, shard, multiprocessing_options=workers))
    mixing = Mixing(job.state)
    if job.state is not None:
        stream.set_state(job.state["loader"])
    for numbers, pixels, labels in stream:
        yield Delivered(
            numbers.tolist(), pixels, mixing.targets(labels), lambda: mixing.checkpoint(dict(stream.get_state()))
        )


if __name__ == "__main__":
    from absl import flags

    flags.FLAGS(["grain"])
    main(prepare, batches)
