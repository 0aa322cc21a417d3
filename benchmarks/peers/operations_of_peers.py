"""What torchvision and timm make of the pictures and numbers that `benchmarks/operation_peers.py` hands them.

In: a .npz with pictures and what was drawn. Out: a .npz of images by name, and a line of JSON on stdout: versions and
tables. It is run by the interpreter of the peers' own virtual environment.
"""

import json
import random
import sys

import numpy as np
import PIL
import timm
import torch
import torchvision
from PIL import Image
from timm.data import auto_augment as timm_policies
from timm.data.random_erasing import RandomErasing
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.v2 import functional as F

COLOR = [124, 116, 104]
LINEAR = InterpolationMode.BILINEAR
#: timm's names where they differ from the steps' own.
RELATIVE = {"TranslateX": "TranslateXRel", "TranslateY": "TranslateYRel"}
INCREASING = {"Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness"}
STEPS = [
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"),
    *("Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert", "SolarizeAdd"),
]


def letterbox(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    height, width = images.shape[-2:]
    scale = min(size[0] / height, size[1] / width)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size[0] - high) // 2, (size[1] - wide) // 2
    inner = F.resize(images, [high, wide], LINEAR, antialias=True)
    return F.pad(inner, [left, top, size[1] - wide - left, size[0] - high - top], fill=COLOR)


def torchvisions(told: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Images (N, 3, H, W) of each operation."""
    images = torch.from_numpy(told["images"]).permute(0, 3, 1, 2)
    sides = [7, 3, 2, 5]  # left, top, right, bottom
    padded = F.pad(images, [8, 8, 8, 8], fill=COLOR)
    crops = [F.crop(each, int(y), int(x), 80, 100) for each, (y, x) in zip(padded, told["crop"], strict=True)]
    return {
        "pad constant": F.pad(images, sides, fill=COLOR),
        "pad replicate": F.pad(images, sides, padding_mode="edge"),
        "pad reflect": F.pad(images, sides, padding_mode="symmetric"),
        "pad reflect_101": F.pad(images, sides, padding_mode="reflect"),
        "random crop": torch.stack(crops),
        "letterbox larger": letterbox(images, (160, 160)),
        "letterbox smaller": letterbox(images, (48, 48)),
        "rotate": F.rotate(images, 30.0, LINEAR, fill=COLOR),
        "sharpen 0": F.adjust_sharpness(images, 0.0),
        "sharpen 2": F.adjust_sharpness(images, 2.0),
        "auto contrast": F.autocontrast(images),
        "invert": F.invert(images),
        "gamma 0.5": F.adjust_gamma(images, 0.5),
        "gamma 2": F.adjust_gamma(images, 2.0),
        "equalize": F.equalize(images),
        "posterize": F.posterize(images, 3),
        "solarize": F.solarize(images, 100),
    }


def timms(told: dict[str, np.ndarray]) -> np.ndarray:
    """timm's functions, by Pillow, with the amounts that were drawn; uint8 (N, H, W, 3)."""
    options = {"fillcolor": tuple(COLOR), "resample": Image.Resampling.BILINEAR}
    out = []
    for image, step, amount in zip(told["images"], told["steps"], told["amounts"], strict=True):
        name = STEPS[step]
        if name == "Identity":
            out.append(image)
            continue
        if name.startswith("Translate"):  # cut to whole pixels as ours, and to the other side
            amount = -int(amount) / (image.shape[1] if name.endswith("X") else image.shape[0])
        elif name in INCREASING - {"Posterize", "Solarize"}:
            amount = 1 + amount
        elif name in ("Posterize", "Solarize", "SolarizeAdd"):
            amount = int(amount)
        arguments = () if name in ("AutoContrast", "Equalize", "Invert") else (amount,)
        function = timm_policies.NAME_TO_OP[RELATIVE.get(name, name)]
        out.append(np.asarray(function(Image.fromarray(image), *arguments, **options)))
    return np.stack(out)


def erased(count: int, height: int, width: int) -> np.ndarray:
    """timm's normal noise: everything erased by a thousand tries."""
    erasing = RandomErasing(1.0, min_area=0.3, max_area=0.5, mode="pixel", min_count=1, device="cpu")
    images = torch.full((count, 3, height, width), 99.0)
    done = erasing(images)
    return done[done != 99.0].numpy()


def tables() -> dict[str, object]:
    policies = {}
    for policy in AutoAugmentPolicy:
        pairs = AutoAugment(policy).policies
        policies[policy.value] = [[[name, chance, strength or 0] for name, chance, strength in pair] for pair in pairs]
    strengths = {}
    for increasing in (False, True):
        names = timm_policies._RAND_INCREASING_TRANSFORMS if increasing else timm_policies._RAND_TRANSFORMS
        for name in names:
            level_of = timm_policies.LEVEL_TO_ARG[name]
            random.random = lambda: 0.1  # the sign is positive
            plain = name.removesuffix("Increasing").removesuffix("Rel")
            values = [level_of(level, {})[0] if level_of else 0 for level in np.arange(0.0, 10.1, 0.5)]
            strengths[f"{plain} {increasing}"] = [round(float(value), 9) for value in values]
    return {"policies": policies, "strengths": strengths}


if __name__ == "__main__":
    told = dict(np.load(sys.argv[1]))
    answers = {name: images.permute(0, 2, 3, 1).numpy() for name, images in torchvisions(told).items()}
    answers["timm"] = timms(told)
    answers["erased"] = erased(*told["images"].shape[:3])
    np.savez(sys.argv[2], **answers)
    versions = {"torchvision": torchvision.__version__, "timm": timm.__version__, "pillow": PIL.__version__}
    print(json.dumps({"versions": versions, **tables()}))
