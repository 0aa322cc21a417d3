"""webdataset, OpenCV's decoder and albumentationsx."""

import albumentations as A
import cv2
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2
from turns import arguments, take_turns
from workers import loader_epoch

END = [A.Normalize(), ToTensorV2()]
FRONT = [A.RandomResizedCrop((224, 224)), A.HorizontalFlip()]
RECIPES = {
    "crop_flip": [*FRONT, *END],
    "heavy": [
        *FRONT,
        A.Rotate((-15, 15), p=1.0),
        A.Perspective((0.0, 0.1), p=1.0),
        A.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1), p=1.0),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=1.0),
        A.GaussNoise(std_range=(0.0, 0.05), p=1.0),
        A.CoarseDropout((1, 1), (0.15, 0.45), (0.15, 0.45), p=1.0),
        *END,
    ],
}


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    recipe, shards, threads = arguments()
    chain = A.Compose(RECIPES[recipe])

    def transform(data: bytes) -> torch.Tensor:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        return chain(image=image)["image"]

    take_turns(loader_epoch(transform, None, threads, shards), "webdataset + cv2.imdecode + albumentationsx")


if __name__ == "__main__":
    main()
