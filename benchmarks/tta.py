"""Ten crops of each image from one decode, against a loop of ten passes that decode for one crop each.

In: shards (default: the real images beside the checkout). Out: images/s of both, by the clock and by CPU time, in turn,
round after round; and benchmarks/results/tta.json. An image counts once, when all its ten views have come. Both sides
run the same graph of the same operations and deliver the same float32 views; a loader for training can make ten views
by such a loop only.

    python benchmarks/tta.py --rounds 7
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from harness import interleaved, ratio, save, summary
from loader import REAL, drawn_shards, real_shards

from streamaug import Recipe, ShardReader, ShardSet, recipes
from streamaug.cli import main as streamaug


class Views:
    """An epoch of some recipes, one after the other, batch by batch."""

    def __init__(self, shards: str, each: list[Recipe], arguments: argparse.Namespace) -> None:
        opened = ShardSet.open(shards)
        options = {"batch_size": arguments.batch_size, "shuffle": False, "tail": "pad"}
        self._chains = [
            ShardReader(opened, **options).augment(recipe, device="cpu", num_threads=arguments.threads + 1)
            for recipe in each
        ]

    def __call__(self) -> int:
        """Run an epoch; returns the number of images with all of their views."""
        return sum(len(batch.images) for chain in self._chains for batch in chain) // 10


def main() -> None:
    """Measure and write benchmarks/results/tta.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", help="local shards; default: the real images beside the checkout, else drawn ones")
    parser.add_argument("--images", type=int, default=512, help="how many to write where no shards are given")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2, help="the cores to use; both sides take one thread more")
    arguments = parser.parse_args()
    ten = recipes.imagenet_tta(views="ten_crop", size=arguments.size, resize=arguments.resize)
    ones = [replace(ten, operations=(*ten.operations, *view), views=()) for view in ten.views]
    with tempfile.TemporaryDirectory() as folder:
        shards = arguments.shards
        if shards is None:
            shards = (real_shards if REAL.exists() else drawn_shards)(Path(folder), arguments.images)
            streamaug(["index", shards])
        works = {"one decode": Views(shards, [ten], arguments), "ten decodes": Views(shards, ones, arguments)}
        samples = interleaved(works, arguments.rounds)
    clock, cpu = ratio(samples, "one decode", "ten decodes")
    print(f"one decode is {clock} times as fast by the clock, {cpu} times by CPU time")
    result = {
        "question": "ten crops from one decode against a loop of ten decodes",
        "settings": {key: value for key, value in vars(arguments).items() if key != "shards"},
        "images_per_second": {name: [one.images_per_second for one in rows] for name, rows in samples.items()},
        "cpu_ms_per_image": {name: [one.cpu_ms for one in rows] for name, rows in samples.items()},
        "ratios": {"one decode / ten decodes": {"clock": summary(clock), "cpu": summary(cpu)}},
    }
    print(f"wrote {save('tta', result)}")


if __name__ == "__main__":
    main()
