"""webdataset, Pillow and torchvision's transforms, as most training scripts have it."""

import torch
import torchvision_without_operators  # noqa: F401
from torchvision import transforms as T
from turns import arguments, take_turns
from workers import loader_epoch

NORMALISE = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RECIPES = {"crop_flip": [T.RandomResizedCrop(224), T.RandomHorizontalFlip(), T.ToTensor(), NORMALISE]}

if __name__ == "__main__":
    torch.set_num_threads(1)
    recipe, shards, threads = arguments()
    transform = T.Compose(RECIPES[recipe])
    take_turns(loader_epoch(transform, "pil", threads, shards), "webdataset + Pillow + torchvision.transforms")
