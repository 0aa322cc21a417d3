"""webdataset, torchvision's decode_jpeg and its v2 transforms."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch

from streamaug.cli.bench.peers.options import MEAN, STD, PeerOptions
from streamaug.cli.bench.peers.workers import loaded


def batches(options: PeerOptions) -> Iterator[int]:
    """Endless batches; of each the number of images."""
    io, v2 = import_module("torchvision.io"), import_module("torchvision.transforms.v2")
    chain = v2.Compose(
        [
            v2.RandomResizedCrop((options.height, options.width), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def transform(data: bytes) -> Any:
        raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return chain(io.decode_image(raw, mode=io.ImageReadMode.RGB))

    return loaded(options, transform)
