"""webdataset, Pillow and numpy, which are installed wherever webdataset is used."""

import io
import math
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from streamaug.cli.bench.peers.options import MEAN, STD, PeerOptions
from streamaug.cli.bench.peers.workers import loaded


def batches(options: PeerOptions) -> Iterator[int]:
    """Endless batches; of each the number of images."""
    return loaded(options, partial(_transform, size=(options.height, options.width)))


def _transform(data: bytes, *, size: tuple[int, int]) -> torch.Tensor:
    """A random crop as torchvision draws it, resized with Pillow, perhaps mirrored, normalised: float32 (3, H, W)."""
    image: Any = Image.open(io.BytesIO(data)).convert("RGB")
    image = image.resize(size[::-1], Image.Resampling.BILINEAR, box=_crop(*image.size))
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = (np.asarray(image, np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _crop(width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of 8% to 100% of the area, at a ratio of 3/4 to 4/3; the whole image after 10 trials."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            left, top = random.randint(0, width - wide), random.randint(0, height - high)
            return left, top, left + wide, top + high
    return 0, 0, width, height
