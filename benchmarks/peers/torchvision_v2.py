"""webdataset, torchvision's decode_jpeg and its v2 transforms on uint8 tensors."""

import torch
import torchvision_without_operators  # noqa: F401
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2
from turns import arguments, take_turns
from workers import loader_epoch

END = [v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
FRONT = [v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()]
RECIPES = {
    "crop_flip": [*FRONT, *END],
    "heavy": [
        *FRONT,
        v2.RandomRotation(15, interpolation=v2.InterpolationMode.BILINEAR),
        v2.RandomPerspective(0.2, p=1.0),
        v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
        v2.GaussianBlur(9, sigma=(0.1, 2.0)),
        v2.ToDtype(torch.float32, scale=True),
        v2.GaussianNoise(0.0, 0.05),
        v2.RandomErasing(p=1.0, scale=(0.02, 0.2)),
        END[1],
    ],
    "trivial_augment": [
        *FRONT,
        v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR),
        *END,
    ],
}


def main() -> None:
    if not hasattr(torch.ops.image, "decode_jpeg"):
        raise SystemExit("torchvision's decode_jpeg does not load beside this build of torch")
    torch.set_num_threads(1)
    recipe, shards, threads = arguments()
    chain = v2.Compose(RECIPES[recipe])

    def transform(data: bytes) -> torch.Tensor:
        raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return chain(decode_jpeg(raw, mode=ImageReadMode.RGB))

    take_turns(loader_epoch(transform, None, threads, shards), "webdataset + torchvision decode_jpeg + transforms.v2")


if __name__ == "__main__":
    main()
