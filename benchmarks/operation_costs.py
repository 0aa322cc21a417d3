"""The cost of each operation in CPU milliseconds an image, for `docs/gallery.md`.

In: the gallery's examples, at 224 instead of 160 pixels and with probability 1, on copies of its photograph. Each runs
in turn with `Resize(224)` alone, with one thread of DALI. Out: the difference of the CPU time of all threads, round by
round, as a median with its interval; and benchmarks/results/operations.json.

    python benchmarks/operation_costs.py
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from harness import RESULTS, interleaved, median_interval, save
from webdataset import TarWriter

from streamaug import Annotations, Output, Recipe, ShardReader, ShardSet
from streamaug.recipes.imagenet import IMAGENET_MEAN, IMAGENET_STD

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs" / "extensions"))
from operation_pictures import FACE, PHOTOGRAPH, Example, examples, surely

#: Sides in the gallery, and here.
SIDES = {"160": "224", "220": "256", "120": "192"}
ALONE = Example.of("ops.Resize(224)")


def write_copies(path: Path, count: int) -> ShardSet:
    """A shard of copies of the photograph, each with the box of the face."""
    note = json.dumps({"boxes": [FACE], "labels": [0]}).encode()
    with TarWriter(str(path)) as tar:
        for number in range(count):
            tar.write({"__key__": f"cat{number:05d}", "jpg": PHOTOGRAPH.read_bytes(), "cls": 0, "json": note})
    return ShardSet.open(path, components=("jpg", "cls", "json"))


class Epoch:
    """All images once, by an example's recipe."""

    def __init__(self, shards: ShardSet, example: Example, batch_size: int) -> None:
        recipe = Recipe(list(example.operations), output=Output(mean=IMAGENET_MEAN, std=IMAGENET_STD))
        notes = Annotations(component="json") if example.keeps_boxes else None
        reader = ShardReader(shards, batch_size=batch_size, shuffle=False)
        self.chain = reader.augment(recipe, device="cpu", num_threads=1, annotations=notes)

    def __call__(self) -> int:
        """Deliver an epoch; returns the number of images."""
        return sum(batch.batch_size for batch in self.chain)


def larger(example: Example) -> Example:
    """The example at the side of this benchmark, acting on every sample."""
    code = example.code
    for side, larger_side in SIDES.items():
        code = code.replace(side, larger_side)
    return surely(Example.of(code))


def main() -> int:
    """Measure every operation and write benchmarks/results/operations.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128, help="of an epoch")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", help="measure these operations, and keep what the file says of the others")
    arguments = parser.parse_args()
    measured = json.loads((RESULTS / "operations.json").read_text())["operations"] if arguments.only else {}
    with tempfile.TemporaryDirectory() as folder:
        shards = write_copies(Path(folder) / "cat.tar", arguments.images)
        for name, example in examples():
            if arguments.only and name not in arguments.only:
                continue
            works = {
                "alone": Epoch(shards, ALONE, arguments.batch_size),
                "with it": Epoch(shards, larger(example), arguments.batch_size),
            }
            samples = interleaved(works, arguments.rounds)
            more = [
                after.cpu_ms - before.cpu_ms for before, after in zip(samples["alone"], samples["with it"], strict=True)
            ]
            found = median_interval(more)
            alone = median_interval([sample.cpu_ms for sample in samples["alone"]])
            measured[name] = {
                "code": larger(example).code,
                **{"ms": found.median, "low": found.low, "high": found.high, "confidence": found.confidence},
                "resize_alone_ms": alone.median,
                "rounds": arguments.rounds,
                "images": arguments.images,
            }
            print(f"{name}: {found} ms, Resize(224) alone {alone.median:.2f} ms", flush=True)
            for work in works.values():
                work.chain.close()
    path = save("operations", {"operations": measured})
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
