"""SPDL: decoding, crop, resize and flip in FFmpeg's filters on threads, normalisation by the batch."""

import random
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import spdl.io
import spdl.io.utils
import torch
from spdl.pipeline import PipelineBuilder
from turns import arguments, take_turns

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


def crop_window(width: int, height: int) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop: 10 tries, then the centre; (x, y, w, h)."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def decode(data: bytes):
    packets = spdl.io.demux_image(data)
    x, y, w, h = crop_window(packets.codec.width, packets.codec.height)
    flip = ",hflip" if random.random() < 0.5 else ""
    chain = f"crop={w}:{h}:{x}:{y}:exact=1,scale=224:224:flags=bilinear{flip},format=pix_fmts=rgb24"
    return spdl.io.decode_packets(packets, filter_desc=chain)


def stack(frames: list) -> torch.Tensor:
    pixels = spdl.io.to_torch(spdl.io.convert_frames(frames))
    return (pixels.permute(0, 3, 1, 2).float() - MEAN) / STD


def samples(shards: list[str]):
    order = list(shards)
    random.shuffle(order)
    for path in order:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    yield tar.extractfile(member).read()


def main() -> None:
    recipe, shards, threads = arguments()
    if recipe != "crop_flip":
        raise SystemExit(f"no recipe {recipe}")
    spdl.io.utils.get_ffmpeg_versions()  # raises at once where FFmpeg's libraries are missing
    torch.set_num_threads(1)
    executor = ThreadPoolExecutor(threads)

    def epoch() -> int:
        builder = PipelineBuilder().add_source(samples(shards))
        builder = builder.pipe(decode, executor=executor, concurrency=threads).aggregate(64)
        pipeline = builder.pipe(stack, concurrency=1).add_sink(2).build(num_threads=1)
        with pipeline.auto_stop():
            return sum(len(batch) for batch in pipeline)

    take_turns(epoch, "SPDL with FFmpeg filters")


if __name__ == "__main__":
    main()
