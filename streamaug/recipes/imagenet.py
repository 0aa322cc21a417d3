"""Ready recipes: ImageNet training, evaluation, test-time augmentation."""

from streamaug import ops
from streamaug.ops.base import Operation
from streamaug.recipes.output import Output
from streamaug.recipes.recipe import Recipe
from streamaug.recipes.views import Sizes, named_views

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
    """Random crop and flip, and further operations by the arguments.

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
    """Resize the shorter side to `resize` pixels and cut out the centre, by torchvision's arithmetic.

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

    `Recipe(views=…)` takes views of your own: a sequence of operations for each view.

    Args:
        views: "identity"; "hflip": the centre and its mirror image; "flips": these two, and both upside down;
            "five_crop": corners (top left, top right, bottom left, bottom right) and centre; "ten_crop": these five,
            then those of the mirrored image; "multi_scale": the centre of images resized to 1, 0.9, 1.1 and 1.25 times
            `resize`, though never smaller than a view; "d4": the centre turned by quarters, then its mirror images,
            eight in all; "rotations": the centre, turned by -5, 5, -10 and 10 degrees and enlarged until no border
            shows; "photometric": the centre, darker and brighter, with less and with more contrast. `view_names` names
            them.
        size: Pixels of each view; a square for "d4".
        resize: Pixels of the shorter side before the crops.
        interpolation: "bilinear", "bicubic" or "lanczos".
        dtype: Of the images; all but uint8 are normalised with ImageNet's mean and standard deviation.

    Raises:
        RecipeError: If there are no such views, or as the operations do.
    """
    front, named = named_views(views, Sizes(size, resize, interpolation))
    return Recipe(front, output=_output(dtype), views=tuple(named.values()))
