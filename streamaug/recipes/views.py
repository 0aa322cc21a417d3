"""The named sets of views of test-time augmentation, each view with a name of its own.

In: the sizes of an evaluation. Out: the operations with which all views begin, and those of each view. Pure data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamaug import ops
from streamaug.errors import RecipeError
from streamaug.ops.base import Operation

#: Sizes in "multi_scale", as factors of the usual size.
SCALES = (1.0, 0.9, 1.1, 1.25)
#: Angles in "rotations", in degrees.
ANGLES = (0, -5, 5, -10, 10)
#: Factors of brightness and of contrast in "photometric".
FACTORS = (0.8, 1.2)

_Branch = tuple[Operation, ...]
_MIRROR = ops.HorizontalFlip(probability=1.0)
_UPSIDE_DOWN = ops.VerticalFlip(probability=1.0)


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of an evaluation, and how it resamples.

    Attributes:
        size: Of each view.
        resize: Pixels of the shorter side before the crops.
        interpolation: See `ops.ResizeShortest`.
    """

    size: int | tuple[int, int]
    resize: int
    interpolation: str

    def resized(self, factor: float = 1.0) -> Operation:
        """The resize, to `factor` times its pixels, but never smaller than a view."""
        least = max(self.size) if isinstance(self.size, tuple) else self.size
        pixels = max(round(self.resize * factor), least) if factor != 1.0 else self.resize
        return ops.ResizeShortest(pixels, interpolation=self.interpolation)


def _centered(sizes: Sizes, views: Mapping[str, _Branch]) -> dict[str, _Branch]:
    """Views that begin with the centre."""
    return {name: (ops.CenterCrop(sizes.size), *operations) for name, operations in views.items()}


def _five_crop(sizes: Sizes) -> dict[str, _Branch]:
    crops: dict[str, _Branch] = {
        corner.replace("_", " "): (ops.CornerCrop(sizes.size, corner=corner),) for corner in ops.CORNERS
    }
    return {**crops, "center": (ops.CenterCrop(sizes.size),)}


def _ten_crop(sizes: Sizes) -> dict[str, _Branch]:
    five = _five_crop(sizes)
    # The mirrored image's top-left corner is the mirror image of the top-right one: it is resampled once for both.
    sides = {"left": "right", "right": "left"}
    mirrored: dict[str, _Branch] = {}
    for name in five:
        vertical, _, side = name.partition(" ")
        if side:
            mirrored[f"mirrored {name}"] = (*five[f"{vertical} {sides[side]}"], _MIRROR)
    # Its centre is the mirror image of the centre only where the margins are even, so it is resampled by itself.
    return {**five, **mirrored, "mirrored center": (_MIRROR, *five["center"])}


def _d4(sizes: Sizes) -> dict[str, _Branch]:
    if isinstance(sizes.size, tuple) and sizes.size[0] != sizes.size[1]:
        raise RecipeError(f'imagenet_tta.size: must be a square for views="d4", got {sizes.size}. Write 224.')
    # A quarter turn maps pixels onto pixels; the border is never seen.
    turns: dict[str, _Branch] = {
        "center": (),
        "turned 90": (ops.Rotate(degrees=(90.0, 90.0), border="replicate"),),
        "turned 180": (_MIRROR, _UPSIDE_DOWN),
        "turned 270": (ops.Rotate(degrees=(-90.0, -90.0), border="replicate"),),
    }
    mirrored = {f"{name}, mirrored": (*operations, _MIRROR) for name, operations in turns.items()}
    return _centered(sizes, {**turns, **mirrored})


def _multi_scale(sizes: Sizes) -> dict[str, _Branch]:
    return {f"scale {factor:g}": (sizes.resized(factor), ops.CenterCrop(sizes.size)) for factor in SCALES}


def _rotations(sizes: Sizes) -> dict[str, _Branch]:
    views: dict[str, _Branch] = {
        f"turned {angle:g}" if angle else "center": (
            (ops.RotateCrop(degrees=(float(angle), float(angle))),) if angle else ()
        )
        for angle in ANGLES
    }
    return _centered(sizes, views)


def _photometric(sizes: Sizes) -> dict[str, _Branch]:
    views: dict[str, _Branch] = {"center": ()}
    for factor in FACTORS:
        views[f"brightness {factor:g}"] = (ops.ColorJitter(brightness=(factor, factor)),)
        views[f"contrast {factor:g}"] = (ops.ColorJitter(contrast=(factor, factor)),)
    return _centered(sizes, views)


_NAMED: dict[str, Callable[[Sizes], dict[str, _Branch]]] = {
    "identity": lambda sizes: _centered(sizes, {"center": ()}),
    "hflip": lambda sizes: _centered(sizes, {"center": (), "mirrored": (_MIRROR,)}),
    "flips": lambda sizes: _centered(
        sizes,
        {
            "center": (),
            "mirrored": (_MIRROR,),
            "upside down": (_UPSIDE_DOWN,),
            "mirrored, upside down": (_MIRROR, _UPSIDE_DOWN),
        },
    ),
    "five_crop": _five_crop,
    "ten_crop": _ten_crop,
    "multi_scale": _multi_scale,
    "d4": _d4,
    "rotations": _rotations,
    "photometric": _photometric,
}

#: The names of all sets of views.
VIEWS: tuple[str, ...] = tuple(_NAMED)


def named_views(views: str, sizes: Sizes) -> tuple[_Branch, dict[str, _Branch]]:
    """The operations with which all views begin, and each view by its name.

    Raises:
        RecipeError: If there is no such set of views, or it does not fit the sizes.
    """
    if not isinstance(views, str) or views not in _NAMED:
        names = ", ".join(f'"{name}"' for name in VIEWS)
        raise RecipeError(f'imagenet_tta.views: must be one of {names}, got {views!r}. Write "ten_crop".')
    front: _Branch = () if views == "multi_scale" else (sizes.resized(),)
    return front, _NAMED[views](sizes)


def view_names(views: str) -> tuple[str, ...]:
    """The names of the views of a set, in their order, such as `TTAReport.table` takes.

    Args:
        views: "ten_crop" and so on, see `imagenet_tta`.

    Raises:
        RecipeError: If there is no such set.
    """
    return tuple(named_views(views, Sizes(1, 1, "bilinear"))[1])
