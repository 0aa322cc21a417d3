"""The recipes that most people want, ready made: ImageNet training, evaluation, test-time augmentation."""

from streamaug import ops
from streamaug.errors import RecipeError
from streamaug.ops.base import Operation
from streamaug.ops.output import Output
from streamaug.recipe import Recipe

#: Channel means and standard deviations of ImageNet, in units of 0..255 (torchvision's 0.485, 0.456, 0.406 and so on).
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def _output(dtype: str) -> Output:
    if dtype == "uint8":
        return Output(dtype=dtype)
    return Output(dtype=dtype, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def imagenet_train(
    size: int | tuple[int, int] = 224,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    antialias: bool = True,
    interpolation: str = "bilinear",
    flip: float = 0.5,
    jitter: float | Operation | None = None,
    policy: Operation | None = None,
    erase: float = 0.0,
    dtype: str = "float32",
) -> Recipe:
    """Random crop, flip, and what is asked for on top.

    Args:
        size: Pixels of the output.
        scale: Range of the crop's area, as a fraction of the image's.
        ratio: Range of the crop's aspect ratio.
        antialias: See `ops.RandomResizedCrop`; False trades exactness for speed.
        interpolation: "bilinear", "bicubic" or "lanczos".
        flip: Chance of a horizontal flip.
        jitter: Strength d of a `ColorJitter(brightness=d, contrast=d, saturation=d)`, or an operation of your own.
        policy: `ops.RandAugment()`, `ops.TrivialAugmentWide()`, `ops.AutoAugment()`, or None.
        erase: Chance of an `Erase` of 2% to 33% of the area, filled with the mean colour of each image.
        dtype: Of the images; all but uint8 are normalised with ImageNet's mean and standard deviation.

    Raises:
        RecipeError: As the operations do.
    """
    operations: list[Operation] = [
        ops.RandomResizedCrop(size, scale=scale, ratio=ratio, antialias=antialias, interpolation=interpolation)
    ]
    if flip:
        operations.append(ops.HorizontalFlip(probability=flip))
    if policy is not None:
        operations.append(policy)
    if isinstance(jitter, Operation):
        operations.append(jitter)
    elif jitter is not None:
        operations.append(ops.ColorJitter(brightness=jitter, contrast=jitter, saturation=jitter))
    if erase:
        operations.append(ops.Erase(fill="mean", probability=erase))
    return Recipe(operations, output=_output(dtype))


def imagenet_eval(
    size: int | tuple[int, int] = 224, resize: int = 256, interpolation: str = "bilinear", dtype: str = "float32"
) -> Recipe:
    """The shorter side to `resize` pixels, then the centre cut out: torchvision's evaluation and its arithmetic.

    Args:
        size: Pixels of the output.
        resize: Pixels of the shorter side before the crop.
        interpolation: "bilinear", "bicubic" or "lanczos".
        dtype: Of the images; all but uint8 are normalised with ImageNet's mean and standard deviation.

    Raises:
        RecipeError: As the operations do.
    """
    operations = [ops.ResizeShortest(resize, interpolation=interpolation), ops.CenterCrop(size)]
    return Recipe(operations, output=_output(dtype))


def imagenet_tta(
    views: str = "ten_crop",
    size: int | tuple[int, int] = 224,
    resize: int = 256,
    interpolation: str = "bilinear",
    dtype: str = "float32",
) -> Recipe:
    """Several views of each image, from one decode.

    Args:
        views: "identity"; "hflip": the centre and its mirror image; "five_crop": the corners (top left, top right,
            bottom left, bottom right) and the centre; "ten_crop": those, then those of the mirrored image.
        size: Pixels of each view.
        resize: Pixels of the shorter side before the crops.
        interpolation: "bilinear", "bicubic" or "lanczos".
        dtype: Of the images; all but uint8 are normalised with ImageNet's mean and standard deviation.

    Raises:
        RecipeError: If there are no such views, or as the operations do.
    """
    center, mirror = ops.CenterCrop(size), ops.HorizontalFlip(probability=1.0)
    corners = {corner: ops.CornerCrop(size, corner=corner) for corner in ops.CORNERS}
    top_left, top_right, bottom_left, bottom_right = corners.values()
    five: list[tuple[Operation, ...]] = [(crop,) for crop in (*corners.values(), center)]
    # The mirrored image's top-left corner is the mirror image of the top-right one: it is resampled once for both.
    mirrored = [(crop, mirror) for crop in (top_right, top_left, bottom_right, bottom_left, center)]
    known: dict[str, list[tuple[Operation, ...]]] = {
        "identity": [(center,)],
        "hflip": [(center,), (center, mirror)],
        "five_crop": five,
        "ten_crop": [*five, *mirrored],
    }
    if views not in known:
        names = ", ".join(f'"{name}"' for name in known)
        raise RecipeError(f'imagenet_tta.views: must be one of {names}, got {views!r}. Write "ten_crop".')
    first = ops.ResizeShortest(resize, interpolation=interpolation)
    return Recipe([first], output=_output(dtype), views=known[views])
