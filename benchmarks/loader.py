"""Images/s of `recipes.imagenet_train` against plain DALI, on the same shards, cores and batch size, in one run.

Plain DALI is its own WebDataset reader with index files, its own random crop, resize and flip, and the same float32
NCHW output handed to torch. It is tried in several configurations first, with as many threads as cores and with one
more, and the fastest is the peer; streamaug runs with its default, one more. Neither side trains: a batch is taken, and
the next one asked for. Both run on from round to round, across the borders of epochs; the batches that were prepared
while the others had their turn are taken before the clock starts.

    python benchmarks/loader.py --rounds 9
    python benchmarks/loader.py --shards '/data/train-{000000..000007}.tar'
"""

import argparse
import collections
import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import webdataset
from harness import interleaved, ratio, save, summary, timed
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.plugin.base_iterator import LastBatchPolicy
from nvidia.dali.plugin.pytorch import DALIGenericIterator
from webdataset.shardlists import expand_urls

from streamaug import Augmenter, ShardReader, ShardSet, recipes
from streamaug.cli import main as streamaug
from streamaug.recipes.imagenet import IMAGENET_MEAN, IMAGENET_STD

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "data" / "imagenet-sample"
Work = Callable[[], int]
#: Batches before the clock starts: more than either side prefetches.
WARM = 8
#: Ways to run the peer, tried before the rounds: executor, how batches reach torch, batches prefetched, threads beyond
#: the number of cores.
CONFIGURATIONS = [
    (True, "dlpack", 2, 0),
    (True, "dlpack", 2, 1),
    (True, "dlpack", 3, 1),
    (True, "iterator", 2, 0),
    (False, "iterator", 2, 0),
    (False, "iterator", 2, 1),
]
Configuration = tuple[bool, str, int, int]


def real_shards(folder: Path, images: int) -> str:
    """The real images, repeated under new keys, as 8 shards."""
    sources = [str(path) for path in sorted(REAL.glob("*.tar"))]
    stored = [(sample["jpg"], sample["cls"]) for sample in webdataset.WebDataset(sources, shardshuffle=False)]
    rows = itertools.cycle(stored)
    for shard in range(8):
        with webdataset.TarWriter(str(folder / f"train-{shard:06d}.tar"), mtime=0, encoder=False) as tar:
            for row, (jpeg, label) in enumerate(itertools.islice(rows, images // 8)):
                tar.write({"__key__": f"{shard:03d}{row:05d}", "jpg": jpeg, "cls": label})
    return f"{folder}/train-{{000000..000007}}.tar"


def drawn_shards(folder: Path, images: int) -> str:
    """The demo's images, where there are no real ones."""
    sys.path.insert(0, str(ROOT / "pipelines"))
    from demo_dataset import write_demo_dataset

    return write_demo_dataset(folder, train=images, val=10)[0]


@pipeline_def
def plain_pipeline(paths: list[str], size: int, antialias: bool, device: str) -> Any:
    """The pipeline of DALI's own documentation for ImageNet, on WebDataset shards."""
    indexes = [str(Path(path).with_suffix(".idx")) for path in paths]
    jpegs, _ = fn.readers.webdataset(
        paths=paths, index_paths=indexes, ext=["jpg", "cls"], random_shuffle=True, initial_fill=1024, name="reader"
    )
    images = fn.decoders.image_random_crop(
        jpegs,
        device="mixed" if device == "gpu" else "cpu",
        random_area=[0.08, 1.0],
        random_aspect_ratio=[3 / 4, 4 / 3],
        num_attempts=10,
        output_type=types.RGB,
    )
    images = fn.resize(images, size=[size, size], interp_type=types.INTERP_LINEAR, antialias=antialias)
    return fn.crop_mirror_normalize(
        images,
        dtype=types.FLOAT,
        output_layout="CHW",
        mean=list(IMAGENET_MEAN),
        std=list(IMAGENET_STD),
        mirror=fn.random.coin_flip(probability=0.5),
    )


class PlainDali:
    """The peer; `configuration` is one of CONFIGURATIONS. It delivers images only, labels stay bytes."""

    def __init__(
        self, paths: list[str], arguments: argparse.Namespace, antialias: bool, configuration: Configuration
    ) -> None:
        dynamic, handover, prefetch, more = configuration
        self._pipeline = plain_pipeline(
            paths,
            arguments.size,
            antialias,
            arguments.device,
            batch_size=arguments.batch_size,
            num_threads=arguments.threads + more,
            device_id=0 if arguments.device == "gpu" else None,
            prefetch_queue_depth=prefetch,
            exec_dynamic=dynamic,
            seed=1,
        )
        self._pipeline.build()
        self._steps = arguments.batches
        self._batches = self._dlpack() if handover == "dlpack" else self._iterator()

    def _dlpack(self) -> Iterator[torch.Tensor]:
        while True:
            stream = torch.cuda.current_stream() if torch.cuda.is_available() else None
            (images,) = self._pipeline.run(stream)
            yield torch.from_dlpack(images.as_tensor())

    def _iterator(self) -> Iterator[torch.Tensor]:
        for (batch,) in DALIGenericIterator(
            self._pipeline, ["images"], size=-1, last_batch_policy=LastBatchPolicy.FILL
        ):
            yield batch["images"]

    def warm(self) -> None:
        """Take the batches that were prepared during other turns, and come up to speed."""
        collections.deque(itertools.islice(self._batches, WARM), maxlen=0)

    def __call__(self) -> int:
        """Take a turn's batches, on from the last call; returns the number of images."""
        return counted(itertools.islice(self._batches, self._steps))


class Streamaug:
    """Ours, likewise: epoch after epoch, the borders between them included, labels parsed."""

    def __init__(self, shards: str, arguments: argparse.Namespace, antialias: bool) -> None:
        reader = ShardReader(ShardSet.open(shards), batch_size=arguments.batch_size, seed=1)
        recipe = recipes.imagenet_train(size=arguments.size, antialias=antialias)
        self._pipe: Augmenter = reader.augment(recipe, device=arguments.device, num_threads=arguments.threads + 1)
        self._steps = arguments.batches
        self._batches = self._epochs()

    def _epochs(self) -> Iterator[torch.Tensor]:
        while True:
            for batch in self._pipe:
                yield batch.images

    def warm(self) -> None:
        """Take the batches that were prepared during other turns, and come up to speed."""
        collections.deque(itertools.islice(self._batches, WARM), maxlen=0)

    def __call__(self) -> int:
        """Take a turn's batches, on from the last call; returns the number of images."""
        return counted(itertools.islice(self._batches, self._steps))


def counted(batches: Iterator[torch.Tensor]) -> int:
    """The number of images of the batches, which must all have come."""
    images = sum(len(batch) for batch in batches)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return images


def name_of(configuration: Configuration) -> str:
    """A configuration in words."""
    dynamic, handover, prefetch, more = configuration
    threads = "as many threads as cores" if more == 0 else f"{more} more thread than cores"
    return f"{'dynamic' if dynamic else 'classic'} executor, {handover}, prefetch {prefetch}, {threads}"


def fastest_peer(paths: list[str], arguments: argparse.Namespace) -> tuple[Configuration, dict[str, float]]:
    """Try every configuration three times, in turn; the fastest by its median, and all medians."""
    works = {configuration: PlainDali(paths, arguments, True, configuration) for configuration in CONFIGURATIONS}
    speeds: dict[Configuration, list[float]] = {configuration: [] for configuration in works}
    for work in works.values():
        work()
    for _ in range(3):
        for configuration, work in works.items():
            speeds[configuration].append(timed(work).images_per_second)
    medians = {configuration: statistics.median(values) for configuration, values in speeds.items()}
    return max(medians, key=lambda each: medians[each]), {name_of(each): value for each, value in medians.items()}


def measure(shards: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Choose the peer, run the rounds, print and return the result."""
    paths = expand_urls(shards)
    streamaug(["index", shards])
    chosen, tried = fastest_peer(paths, arguments)
    for configuration, speed in tried.items():
        print(f"plain DALI, {configuration}: {speed:.0f} images/s")
    works: dict[str, Work] = {
        "DALI": PlainDali(paths, arguments, True, chosen),
        "DALI, no antialias": PlainDali(paths, arguments, False, chosen),
        "streamaug": Streamaug(shards, arguments, True),
        "streamaug, no antialias": Streamaug(shards, arguments, False),
    }
    samples = interleaved(works, arguments.rounds)
    result: dict[str, object] = {
        "question": "images/s of recipes.imagenet_train against plain DALI",
        "images": ShardSet.open(shards).num_samples,
        "settings": {
            "device": arguments.device,
            "size": arguments.size,
            "batch_size": arguments.batch_size,
            "cores": arguments.threads,
        },
        "peer": {"chosen": name_of(chosen), "tried": tried},
        "images_per_second": {n: [s.images_per_second for s in rows] for n, rows in samples.items()},
        "cpu_ms_per_image": {n: [s.cpu_ms for s in rows] for n, rows in samples.items()},
    }
    ratios = {}
    for name, peer in (
        ("streamaug", "DALI"),
        ("streamaug, no antialias", "DALI"),
        ("streamaug, no antialias", "DALI, no antialias"),
    ):
        clock, cpu = ratio(samples, name, peer)
        print(f"{name} / {peer}: {clock} by the clock, {cpu} by CPU time")
        ratios[f"{name} / {peer}"] = {"clock": summary(clock), "cpu": summary(cpu)}
    return {**result, "ratios": ratios}


def main(device: str = "cpu") -> int:
    """Measure and write benchmarks/results/loader.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", help="local shards; default: the real images beside the checkout, else drawn ones")
    parser.add_argument("--images", type=int, default=8000, help="how many to write where no shards are given")
    parser.add_argument("--batches", type=int, default=48, help="timed in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2, help="the cores to use; both sides may take one thread more")
    parser.add_argument("--result", default="loader" if device == "cpu" else device)
    parser.set_defaults(device=device)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shards = arguments.shards
        if shards is None:
            shards = (real_shards if REAL.exists() else drawn_shards)(Path(folder), arguments.images)
        print(save(arguments.result, measure(shards, arguments)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
