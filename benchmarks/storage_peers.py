"""One epoch of encoded images out of S3, with nothing in any cache: streamaug against other loaders.

In: a folder of shards (default: the real images beside the checkout), copied several times over; the same images in
litdata's and MosaicML's own formats, and beside Energon's indexes. Out: images/s and bytes over the wire of each, in a
process of its own, in turn, round after round: over the whole epoch, starts of workers included, and from its first
batch on. The seconds to that batch stand beside, since a loader that downloads for seconds before it has less to do
then. Imports are not timed.
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
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))

from environments import python_of  # noqa: E402 - it lies beside the peers' programs

WORKERS = 2
#: Epochs that a loader may fail before it is left out; the result has the number of failed epochs.
MOST_FAILURES = 4
#: Seconds that an epoch may take, and the exit code of a loader that took longer; it does not get another try.
TIMED_OUT = 124
LIMIT = 200


def samples(folder: Path) -> Iterator[tuple[bytes, int]]:
    """Image and label of every sample in a folder of shards."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            parts: dict[str, bytes] = {}
            for info in tar:
                file = tar.extractfile(info)
                parts[info.name.rpartition(".")[2]] = file.read() if file else b""
                if len(parts) == 2:
                    yield parts["jpg"], int(parts["cls"])
                    parts = {}


def run_streamaug(pattern: str, scratch: str, batch_size: int) -> Iterator[int]:
    from streamaug import ShardReader, ShardSet

    del scratch
    for batch in ShardReader(ShardSet.open(f"s3://bucket/wds/{pattern}"), batch_size=batch_size, window=2048):
        yield len(batch.data)


def run_webdataset(pattern: str, scratch: str, batch_size: int) -> Iterator[int]:
    """The documented way: a pipe from the command-line client of the store."""
    import webdataset as wds

    del scratch
    aws = Path(sys.executable).with_name("aws")
    url = f"pipe:{aws} s3 cp s3://bucket/wds/{pattern} -"
    data = (
        wds.WebDataset(url, shardshuffle=100, workersplitter=wds.split_by_worker).shuffle(1000).to_tuple("jpg", "cls")
    )
    loader = wds.WebLoader(data.batched(batch_size, collation_fn=list), batch_size=None, num_workers=WORKERS)
    for batch in loader:
        yield len(batch)


def as_bytes(rows: list[dict[str, Any]]) -> list[tuple[bytes, int]]:
    """Rows that a worker can send: litdata gives memoryviews, which cannot be pickled."""
    return [(bytes(row["image"]), row["label"]) for row in rows]


def allow_plain_http(worker: int = 0) -> None:
    """litdata refuses endpoints without TLS otherwise."""
    import litdata.streaming.downloader

    del worker
    litdata.streaming.downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True


def run_litdata(pattern: str, scratch: str, batch_size: int) -> Iterator[int]:
    from litdata import StreamingDataLoader, StreamingDataset

    del pattern
    allow_plain_http()
    options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"], "region_name": os.environ["AWS_REGION"]}
    data = StreamingDataset("s3://bucket/litdata", cache_dir=scratch, shuffle=True, storage_options=options)
    workers = {"num_workers": WORKERS, "worker_init_fn": allow_plain_http}
    workers["multiprocessing_context"] = "spawn"  # they download by obstore, which survives no fork
    for batch in StreamingDataLoader(data, batch_size=batch_size, collate_fn=as_bytes, **workers):
        yield len(batch)


def run_mosaicml(pattern: str, scratch: str, batch_size: int) -> Iterator[int]:
    from streaming import StreamingDataLoader, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    del pattern
    clean_stale_shared_memory()
    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    data = StreamingDataset(remote="s3://bucket/mds", local=scratch, shuffle=True, batch_size=batch_size)
    for batch in StreamingDataLoader(data, batch_size=batch_size, num_workers=WORKERS, collate_fn=list):
        yield len(batch)


def run_energon(pattern: str, scratch: str, batch_size: int) -> Iterator[int]:
    """Its documented way to object stores, the Multi-Storage Client, which takes its settings from a file.

    Those name a cache: without one the client downloads a shard whole when it is opened, and with two workers Energon
    7.4.1 then fails in some epochs ("Unexpected end of tar file"); with one, it reads ranges, and writes nothing there.
    """
    from energon_encoded import batches

    del pattern
    options = {"base_path": "bucket", "endpoint_url": os.environ["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
    profiles = {"store": {"storage_provider": {"type": "s3", "options": options}}}
    settings = {"profiles": profiles, "cache": {"size": "20G", "location": str(Path(scratch, "shards"))}}
    os.environ["MSC_CONFIG"] = str(Path(scratch, "msc.json"))
    Path(os.environ["MSC_CONFIG"]).write_text(json.dumps(settings))
    yield from map(len, batches("msc://store/energon", batch_size, WORKERS))


def run_dali(pattern: str, scratch: str, batch_size: int) -> Iterator[int]:
    """DALI's own WebDataset reader, on s3:// URLs, with index files from the disk; whole batches only."""
    from nvidia.dali import fn, pipeline_def
    from webdataset.shardlists import expand_urls

    @pipeline_def(batch_size=batch_size, num_threads=WORKERS, device_id=None, prefetch_queue_depth=2)
    def graph() -> Any:
        names = list(expand_urls(pattern))
        encoded, labels = fn.readers.webdataset(
            paths=[f"s3://bucket/wds/{name}" for name in names],
            index_paths=[str(Path(scratch).parent / "wds" / Path(name).with_suffix(".idx")) for name in names],
            ext=["jpg", "cls"],
            random_shuffle=True,
            initial_fill=1024,
            name="reader",
        )
        return encoded, labels

    pipe = graph()
    pipe.build()
    for _ in range(pipe.epoch_size("reader") // batch_size):
        yield len(pipe.run()[0])


#: Imports before the clock starts; streaming imports torchvision.
MODULES = {
    "streamaug": ("streamaug.stages.reader", "streamaug.shards.shard_set", "obstore"),  # what the two names import
    "dali": ("nvidia.dali",),
    "webdataset": ("webdataset",),
    "litdata": ("litdata",),
    "mosaicml": ("torchvision_without_operators", "streaming"),
    "energon": ("energon_encoded",),
}
RUNS = {
    "streamaug": run_streamaug,
    "dali": run_dali,
    "webdataset": run_webdataset,
    "litdata": run_litdata,
    "mosaicml": run_mosaicml,
    "energon": run_energon,
}
#: The environments of the peers that have one of their own.
ENVIRONMENTS = {
    "webdataset": "webdataset",
    "litdata": "litdata",
    "mosaicml": "mosaicml-streaming",
    "energon": "megatron-energon",
}


def write_litdata(shards: Path, target: Path) -> None:
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(target), chunk_bytes="64MB")
    for number, (image, label) in enumerate(samples(shards)):
        writer[number] = {"image": image, "label": label}
    writer.done()
    writer.merge(1)


def write_mosaicml(shards: Path, target: Path) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=str(target), columns={"image": "bytes", "label": "bytes"}, compression=None) as writer:
        for image, label in samples(shards):
            writer.write({"image": image, "label": b"%d" % label})


def write_energon(shards: Path, target: Path) -> None:
    """The same samples, below a folder for each shard, with the indexes that Energon asks for.

    The shards are copies of each other, and Energon prepares no dataset in which two samples have the same key.
    """
    target.mkdir()
    for path in shards.glob("*.tar"):
        with tarfile.open(path) as tar, tarfile.open(target / path.name, "w", format=tarfile.USTAR_FORMAT) as renamed:
            for info in tar:
                file = tar.extractfile(info)
                info.name = f"{path.stem}/{info.name}"
                renamed.addfile(info, file)
    program = str(Path(sys.executable).with_name("energon"))
    flags = ["--non-interactive", "--split-ratio", "1,0,0", "--sample-type", "CrudeWebdataset", "--no-progress"]
    subprocess.run([program, "prepare", *flags, str(target)], check=True, stdout=sys.stderr)


WRITERS = {"litdata": write_litdata, "mosaicml": write_mosaicml, "energon": write_energon}


def child(arguments: argparse.Namespace) -> int:
    """In the process of a loader: write its format, or read an epoch and print images and seconds."""
    for module in MODULES[arguments.run or arguments.write]:
        import_module(module)
    if arguments.write:
        WRITERS[arguments.write](arguments.data, arguments.target)
        return 0
    stream = RUNS[arguments.run](arguments.pattern, str(arguments.target), arguments.batch_size)
    started = time.perf_counter()
    first = next(stream)
    begun = time.perf_counter()
    rest = sum(stream)
    ended = time.perf_counter()
    print(
        json.dumps(
            {
                "images": first + rest,
                "whole": (first + rest) / (ended - started),
                "rest": rest / (ended - begun),
                "first": begun - started,
            }
        )
    )
    return 0


class Bench:
    """The servers' address and the processes that read from it."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path, pattern: str) -> None:
        self.arguments, self.scratch, self.pattern = arguments, scratch, pattern
        self.count = 0
        self.failures: Counter[str] = Counter()

    def python(self, name: str) -> str:
        """The interpreter of a loader; one that is not there where its environment was not made."""
        if name not in ENVIRONMENTS:
            return sys.executable
        return python_of(self.arguments.peers, ENVIRONMENTS[name]) or f"{ENVIRONMENTS[name]}/bin/python"

    def call(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [self.python(name), __file__, *options]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, TIMED_OUT, "", f"it did not end within {LIMIT} s")
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 1, "", "its environment is not in --peers")

    def epoch(self, name: str, before_retry: Callable[[], None] = lambda: None) -> dict[str, Any]:
        self.count += 1
        target = self.scratch / f"cache{self.count}"
        target.mkdir()
        print(name, end=" ", flush=True)
        done = self.call(
            name,
            *("--run", name, "--pattern", self.pattern, "--target", str(target)),
            *("--batch-size", str(self.arguments.batch_size)),
        )
        if done.returncode == 0:
            return dict(json.loads(done.stdout.splitlines()[-1]))
        self.failures[name] += 1
        what = f"{name} ended with {done.returncode}: {done.stderr.strip()[-2000:]}"
        if self.failures[name] > MOST_FAILURES or done.returncode == TIMED_OUT:
            raise RuntimeError(what)
        print(f"{what}\nanother try", file=sys.stderr)
        before_retry()
        return self.epoch(name, before_retry)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imagenet-sample")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments, or one environment for all")
    for name in ("--run", "--write", "--pattern"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    return child(arguments) if arguments.run or arguments.write else compare(arguments)


def compare(arguments: argparse.Namespace) -> int:
    """Start the servers, store the data in every format, and let the loaders take turns."""
    from harness import median_interval, save
    from storage import prepare

    sys.path.insert(0, str(ROOT / "tests"))
    from servers import KEY, SECRET, proxy_before, seaweedfs

    from streamaug.storage import Storage, StorageOptions

    with tempfile.TemporaryDirectory() as folder, seaweedfs() as address:
        scratch = Path(folder)
        (shards := scratch / "wds").mkdir()
        bench = Bench(arguments, scratch, prepare(shards, arguments.data, arguments.copies))
        os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
        os.environ |= {"AWS_ENDPOINT_URL": "http://{}:{}".format(*address), "AWS_DEFAULT_REGION": "us-east-1"}
        names = ["streamaug", "dali", "webdataset"]
        for name in WRITERS:
            target = scratch / ("mds" if name == "mosaicml" else name)
            done = bench.call(name, "--write", name, "--data", str(shards), "--target", str(target))
            if done.returncode:
                print(f"{name} is left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            else:
                names.append(name)
        storage = Storage(StorageOptions())
        for path in scratch.rglob("*"):
            if path.is_file():
                storage.write(f"s3://bucket/{path.relative_to(scratch)}", path.read_bytes())
        # The first round warms up, and does not count.
        rounds: list[dict[str, dict[str, Any]]] = [{} for _ in range(arguments.rounds + 1)]
        for results in rounds:
            for name in list(names):
                try:
                    results[name] = bench.epoch(name)
                except RuntimeError as error:
                    print(f"{name} is left out: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
                    names.remove(name)
        del rounds[0]
        size = sum(path.stat().st_size for path in shards.glob("*.tar"))
        wire: dict[str, float | None] = {}
        for name in names:
            with proxy_before(address) as (proxy, endpoint):
                os.environ["AWS_ENDPOINT_URL"] = endpoint
                failed = bench.failures[name]
                try:
                    result = bench.epoch(name, before_retry=lambda counted=proxy: counted.forget())
                except RuntimeError as error:
                    print(f"bytes of {name} were not counted: {error}", file=sys.stderr)
                    wire[name] = None
                    continue
                wire[name] = proxy.all_bytes / size
                retries = bench.failures[name] - failed
                print(f"{name}: {result['images']} images, {proxy.requests}, {retries} retries", file=sys.stderr)
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        whole, rest = (median_interval([one[name][part] for one in rounds]) for part in ("whole", "rest"))
        print(f"{name:12} images/s {whole}, from the first batch on {rest}; bytes / bytes of the tars {wire[name]}")
        print(f"{'':12} failed epochs: {bench.failures[name]}")
        rows[name] = {"images_per_second": asdict(whole), "from_first_batch_on": asdict(rest)}
        rows[name]["seconds_to_first_batch"] = asdict(median_interval([one[name]["first"] for one in rounds]))
        rows[name] |= {"bytes_over_tars": wire[name], "images": rounds[0][name]["images"]}
        rows[name]["failed_epochs"] = bench.failures[name]
    print(save("storage_peers", {"loaders": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
