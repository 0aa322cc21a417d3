"""Augmentations and mixings of CIFAR-10 by name, for the training program and the table of its results.

In: the name of a method. Out: its recipe, and the parameters of its mixing. Pure data.
"""

from dataclasses import dataclass

from streamaug import Recipe, ops
from streamaug.ops.base import Operation
from streamaug.recipes.output import Output

SIZE = 32
CLASSES = 10
#: Of the training images, in units of 0..255.
MEAN = (125.3, 123.0, 113.9)
STD = (63.0, 62.1, 66.7)
_OUTPUT = Output(mean=MEAN, std=STD, channels_last=True)

_WHOLE = (ops.Resize(SIZE),)
_CROP = (*_WHOLE, ops.RandomCrop(SIZE, padding=4, fill=MEAN))
_FLIP_CROP = (*_CROP, ops.HorizontalFlip())
_CUTOUT = ops.Erase(size=16, fill=MEAN, probability=1.0)


@dataclass(frozen=True)
class Method:
    """A way to make a network's training images.

    Attributes:
        title: Its name in tables.
        operations: Of its recipe; the first sets the frame's size.
        mixup_alpha: λ ~ Beta(α, α) of Mixup; 0: none.
        cutmix_alpha: Likewise of CutMix.
    """

    title: str
    operations: tuple[Operation, ...]
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0

    @property
    def mixes(self) -> bool:
        """Whether pairs of images are mixed."""
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    @property
    def recipe(self) -> Recipe:
        """The training recipe."""
        return Recipe([*self.operations], output=_OUTPUT)


#: The methods that the papers compare: Cutout, Mixup and CutMix come on top of flip and crop.
MAIN = {
    "none": Method("no augmentation", _WHOLE),
    "flip_crop": Method("flip and crop", _FLIP_CROP),
    "cutout": Method("flip and crop, Cutout", (*_FLIP_CROP, _CUTOUT)),
    "mixup": Method("flip and crop, Mixup α=0.2", _FLIP_CROP, mixup_alpha=0.2),
    "cutmix": Method("flip and crop, CutMix α=1", _FLIP_CROP, cutmix_alpha=1.0),
    "both": Method("flip and crop, Mixup α=0.2 or CutMix α=1", _FLIP_CROP, mixup_alpha=0.2, cutmix_alpha=1.0),
}

#: One operation, added to no augmentation by itself.
SINGLE = {
    "rotate": Method("rotation ±15° with border", (*_WHOLE, ops.Rotate(degrees=15, fill=MEAN))),
    "rotate_crop": Method("rotation ±15°, border cropped", (*_WHOLE, ops.RotateCrop(degrees=15))),
    "perspective": Method("perspective 0.3", (*_WHOLE, ops.Perspective(distortion_scale=0.3, fill=MEAN))),
    "crop": Method("crop of 4 pixels' padding", _CROP),
    "erase": Method("Cutout 16²", (*_WHOLE, _CUTOUT)),
    "noise": Method("Gaussian noise σ ≤ 0.1", (*_WHOLE, ops.GaussianNoise(std=(0.0, 0.1)))),
    "blur": Method("Gaussian blur σ 0.1 to 1", (*_WHOLE, ops.GaussianBlur(sigma=(0.1, 1.0)))),
    "jitter": Method(
        "colour jitter 0.4, hue 0.1", (*_WHOLE, ops.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1))
    ),
}

#: One mixing, added to no augmentation by itself.
MIXED_ALONE = {
    "mixup_alone": Method("Mixup α=0.2", _WHOLE, mixup_alpha=0.2),
    "cutmix_alone": Method("CutMix α=1", _WHOLE, cutmix_alpha=1.0),
}

METHODS: dict[str, Method] = MAIN | SINGLE | MIXED_ALONE

_MIRROR = ops.HorizontalFlip(probability=1.0)
_SHIFTED = tuple((ops.Pad(amount=2, fill=MEAN), ops.CornerCrop(SIZE, corner=corner)) for corner in ops.CORNERS)
_PLAIN: tuple[tuple[Operation, ...], ...] = ((), *_SHIFTED)
#: The image itself, shifted by two pixels in four directions, and all of these mirrored.
VIEWS: tuple[tuple[Operation, ...], ...] = (*_PLAIN, *((*view, _MIRROR) for view in _PLAIN))


def evaluation_recipe(*, views: bool = False) -> Recipe:
    """The images without augmentation; with all `VIEWS` if `views`."""
    return Recipe([*_WHOLE], output=_OUTPUT, views=VIEWS if views else ())
