"""An epoch of encoded images out of S3, with nothing in any cache, and the next: streamaug against other loaders.

In: a folder of shards (default: the real images beside the checkout), copied several times over; the same images in
litdata's and MosaicML's own formats, and beside Energon's indexes. Out: images/s and bytes over the wire of each, in a
process of its own, in turn, round after round: over the whole epoch, starts of workers included, and from its first
batch on. The seconds to that batch stand beside, since a loader that downloads for seconds before it has less to do
then. Imports are not timed. The loaders that are fastest from the first batch on, ours and MosaicML's, read a second
epoch from their disk caches as well, in a process that has read the first.
Nothing is decoded, so this is storage alone. Bytes are counted in one more round, through a proxy. Plain DALI reads S3
itself, and its environment is ours. Peers that have no environment in --peers are left out, by name.

    python benchmarks/peers/environments.py build/peers webdataset litdata mosaicml-streaming megatron-energon
    python benchmarks/storage_peers.py --peers build/peers --rounds 5
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
sys.path.insert(0, str(PEERS))

from environments import python_of  # noqa: E402 - it lies beside the peers' programs

#: Epochs that a loader may fail before it is left out; the result has the number of failed epochs.
MOST_FAILURES = 4
#: Seconds that an epoch may take, and the exit code of a loader that took longer; it does not get another try.
TIMED_OUT = 124
LIMIT = 200


@dataclass(frozen=True)
class Loader:
    """A program of benchmarks/peers/from_s3.

    Attributes:
        environment: The environment that it needs; None: ours.
        written: The folder that its own format is written to, None where it reads the tars.
        keeps: Whether a second epoch is read from what it has kept on the disk.
    """

    environment: str | None = None
    written: str | None = None
    keeps: bool = False


LOADERS = {
    "streamaug": Loader(keeps=True),
    "dali": Loader(),
    "webdataset": Loader("webdataset"),
    "litdata": Loader("litdata", written="litdata"),
    "mosaicml": Loader("mosaicml-streaming", written="mds", keeps=True),
    "energon": Loader("megatron-energon", written="energon"),
}


class Bench:
    """The servers' address and the processes that read from it."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path, pattern: str) -> None:
        self.arguments, self.scratch, self.pattern = arguments, scratch, pattern
        self.count = 0
        self.failures: Counter[str] = Counter()

    def python(self, name: str) -> str:
        """The interpreter of a loader; one that is not there where its environment was not made."""
        environment = LOADERS[name].environment
        if environment is None:
            return sys.executable
        return python_of(self.arguments.peers, environment) or f"{environment}/bin/python"

    def call(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a loader's program; it finds our package only in our own environment."""
        command = [self.python(name), str(PEERS / "from_s3" / f"{name}_from_s3.py"), *options]
        paths = [PEERS, *([ROOT] if LOADERS[name].environment is None else ())]
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, env=variables)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, TIMED_OUT, "", f"it did not end within {LIMIT} s")
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 1, "", "its environment is not in --peers")

    def has_written(self, name: str, shards: Path) -> bool:
        """Write a loader's own format, if it has any; False where that failed, and the loader is left out."""
        folder = LOADERS[name].written
        if folder is None:
            return True
        done = self.call(name, "--write", "--data", str(shards), "--target", str(self.scratch / folder))
        if done.returncode:
            print(f"{name} is left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return done.returncode == 0

    def epoch(self, name: str, *options: str, before_retry: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """The times of an epoch; with the option `--second`, of the one after it."""
        self.count += 1
        target = self.scratch / f"cache{self.count}"
        target.mkdir()
        print(name, end=" ", flush=True)
        done = self.call(
            name,
            *("--pattern", self.pattern, "--target", str(target)),
            *("--batch-size", str(self.arguments.batch_size)),
            *options,
        )
        if done.returncode == 0:
            return dict(json.loads(done.stdout.splitlines()[-1]))
        self.failures[name] += 1
        what = f"{name} ended with {done.returncode}: {done.stderr.strip()[-2000:]}"
        if self.failures[name] > MOST_FAILURES or done.returncode == TIMED_OUT:
            raise RuntimeError(what)
        print(f"{what}\nanother try", file=sys.stderr)
        before_retry()
        return self.epoch(name, *options, before_retry=before_retry)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imagenet-sample")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments, or one environment for all")
    return compare(parser.parse_args())


def compare(arguments: argparse.Namespace) -> int:
    """Start the servers, store the data in every format, and let the loaders take turns."""
    from harness import save
    from storage import prepare

    sys.path.insert(0, str(ROOT / "tests"))
    from servers import KEY, SECRET, seaweedfs

    from streamaug.storage import Storage, StorageOptions

    with tempfile.TemporaryDirectory() as folder, seaweedfs() as address:
        scratch = Path(folder)
        (shards := scratch / "wds").mkdir()
        bench = Bench(arguments, scratch, prepare(shards, arguments.data, arguments.copies))
        os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
        os.environ |= {"AWS_ENDPOINT_URL": "http://{}:{}".format(*address), "AWS_DEFAULT_REGION": "us-east-1"}
        names = [name for name in LOADERS if bench.has_written(name, shards)]
        storage = Storage(StorageOptions())
        for path in scratch.rglob("*"):
            if path.is_file():
                storage.write(f"s3://bucket/{path.relative_to(scratch)}", path.read_bytes())
        rounds = in_turns(bench, names)
        size = sum(path.stat().st_size for path in shards.glob("*.tar"))
        wire = {name: bytes_on_the_wire(bench, name, address, size) for name in names}
    print(save("storage_peers", {"loaders": {name: row(bench, name, rounds, wire[name]) for name in names}}))
    return 0


def in_turns(bench: Bench, names: list[str]) -> list[dict[str, dict[str, Any]]]:
    """The epochs of all loaders, round after round; takes out of the names the loaders that fail."""
    # The first round warms up, and does not count.
    rounds: list[dict[str, dict[str, Any]]] = [{} for _ in range(bench.arguments.rounds + 1)]
    for results in rounds:
        for name in list(names):
            try:
                results[name] = bench.epoch(name)
                if LOADERS[name].keeps:
                    results[name]["second"] = bench.epoch(name, "--second")["whole"]
            except RuntimeError as error:
                print(f"{name} is left out: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
                names.remove(name)
    return rounds[1:]


def bytes_on_the_wire(bench: Bench, name: str, address: tuple[str, int], size: int) -> float | None:
    """The bytes of an epoch over those of the tars, counted by a proxy; None where the loader failed."""
    from servers import proxy_before

    with proxy_before(address) as (proxy, endpoint):
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        failed = bench.failures[name]
        try:
            result = bench.epoch(name, before_retry=proxy.forget)
        except RuntimeError as error:
            print(f"bytes of {name} were not counted: {error}", file=sys.stderr)
            return None
        retries = bench.failures[name] - failed
        print(f"{name}: {result['images']} images, {proxy.requests}, {retries} retries", file=sys.stderr)
        return proxy.all_bytes / size


def row(bench: Bench, name: str, rounds: list[dict[str, dict[str, Any]]], wire: float | None) -> dict[str, Any]:
    """The result of a loader, which is printed too."""
    from harness import median_interval

    whole, rest, first = (median_interval([one[name][part] for one in rounds]) for part in ("whole", "rest", "first"))
    print(f"{name:12} images/s {whole}, from the first batch on {rest}; bytes / bytes of the tars {wire}")
    print(f"{'':12} failed epochs: {bench.failures[name]}")
    second = {}
    if LOADERS[name].keeps:
        again = median_interval([one[name]["second"] for one in rounds])
        print(f"{'':12} second epoch {again}")
        second = {"second_epoch": asdict(again)}
    return {
        "images_per_second": asdict(whole),
        "from_first_batch_on": asdict(rest),
        "seconds_to_first_batch": asdict(first),
        **second,
        "bytes_over_tars": wire,
        "images": rounds[0][name]["images"],
        "failed_epochs": bench.failures[name],
    }


if __name__ == "__main__":
    sys.exit(main())
