"""webdataset and timm's training transform."""

import torch
import torchvision_without_operators  # noqa: F401 - timm imports torchvision
from timm.data import create_transform
from turns import arguments, take_turns
from workers import loader_epoch

if __name__ == "__main__":
    torch.set_num_threads(1)
    recipe, shards, threads = arguments()
    if recipe != "crop_flip":
        raise SystemExit(f"no recipe {recipe}")
    transform = create_transform(224, is_training=True, color_jitter=None, interpolation="bilinear")
    take_turns(loader_epoch(transform, "pil", threads, shards), "webdataset + timm.create_transform")
