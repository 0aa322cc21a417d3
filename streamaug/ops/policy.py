"""What learned and random policies share: their sub-operations, as one matrix and a few branches of the graph.

In: from a policy, which sub-operation each sample gets at each step, and how strongly. Out: the steps' shears,
translations and rotations as one matrix per sample, which joins the recipe's other geometry, and the steps' other
sub-operations, each of which runs only on the samples that chose it. The geometry of all steps comes first.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.geometry import Matrices, about_center, identity, rotation
from streamaug.ops.base import Arguments, Border, Draws, Extent, Geometric, Node, Parameters, Photometric
from streamaug.ops.equalize import equalized
from streamaug.ops.grayscale import gray
from streamaug.ops.posterize import mask
from streamaug.ops.solarize import solarized

Values = npt.NDArray[np.float64]


class Step(IntEnum):
    """Sub-operations, with what their amount means; those before BRIGHTNESS are geometric."""

    IDENTITY = 0
    SHEAR_X = 1  # the tangent of the angle
    SHEAR_Y = 2
    TRANSLATE_X = 3  # pixels
    TRANSLATE_Y = 4
    ROTATE = 5  # degrees
    BRIGHTNESS = 6  # the factor less 1; likewise the next three
    COLOR = 7
    CONTRAST = 8
    SHARPNESS = 9
    POSTERIZE = 10  # bits that are kept
    SOLARIZE = 11  # the threshold, 0..255
    AUTO_CONTRAST = 12  # none; likewise the next two
    EQUALIZE = 13
    INVERT = 14


#: Sub-operations whose amount gets a random sign.
SIGNED = np.isin(np.arange(len(Step)), range(Step.SHEAR_X, Step.POSTERIZE))
#: The sub-operations that RandAugment and TrivialAugmentWide choose from.
FOURTEEN = np.arange(Step.INVERT)
#: Pillow's SMOOTH, with which its Sharpness extrapolates.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13.0
_NEVER = 256


class Choice(NamedTuple):
    """What each sample gets.

    Attributes:
        steps: int64 (B, n), values of `Step`, applied from left to right.
        amounts: float64 (B, n), with their signs.
    """

    steps: npt.NDArray[np.int64]
    amounts: Values


def amounts_table(
    bins: int, *, shear: float, translate: float, rotate: float, enhance: float, lost_bits: int
) -> npt.NDArray[np.float64]:
    """float64 (steps, bins): each step's amount in each bin, as torchvision tabulates them.

    Args:
        bins: Number of magnitudes.
        shear: The last bin's tangent.
        translate: The last bin's shift, in any unit.
        rotate: The last bin's angle in degrees.
        enhance: The last bin's factor of brightness, colour, contrast and sharpness, less 1.
        lost_bits: How many bits Posterize clears in the last bin.
    """
    table = np.zeros((len(Step), bins))
    rising = np.linspace(0.0, 1.0, bins)
    table[[Step.SHEAR_X, Step.SHEAR_Y]] = shear * rising
    table[[Step.TRANSLATE_X, Step.TRANSLATE_Y]] = translate * rising
    table[Step.ROTATE] = rotate * rising
    table[Step.BRIGHTNESS : Step.POSTERIZE] = enhance * rising
    table[Step.POSTERIZE] = 8 - np.rint(lost_bits * rising)
    table[Step.SOLARIZE] = 255.0 * (1.0 - rising)
    return table


def signs(draws: Values) -> Values:
    """-1 or 1, of the shape of the uniform numbers."""
    return np.where(draws <= 0.5, -1.0, 1.0)


class Policy(Geometric, Photometric):
    """The base of policies: subclasses are dataclasses with the fields `border`, `fill` and `probability`.

    Attributes:
        steps: How many sub-operations a sample gets.
        uses: The sub-operations that can occur.
    """

    __slots__ = ()

    #: Sub-operations commute with mirroring, and geometry written later is done before them, as their own is.
    spatial: ClassVar[bool] = False

    border: str | None
    fill: float | None

    @property
    def steps(self) -> int:
        """How many sub-operations a sample gets."""
        raise NotImplementedError

    @property
    def uses(self) -> frozenset[int]:
        """The sub-operations that can occur."""
        return frozenset(FOURTEEN.tolist())

    def choose(self, draws: Draws, height: Extent, width: Extent) -> Choice:
        """Which sub-operations, and how strongly.

        Args:
            draws: float64 (B, `draws`) in [0, 1).
            height: float64 (B,), the frames' heights in pixels.
            width: float64 (B,), their widths.
        """
        raise NotImplementedError

    def shows(self) -> Border:
        """The border of the fields."""
        return Border(self.border, self.fill)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """The geometric steps in their order; shears about the top-left corner, rotations about the centre."""
        chosen = self.choose(draws, height, width)
        total = identity(len(draws))
        for step, amount in zip(chosen.steps.T, chosen.amounts.T, strict=True):
            matrices = identity(len(draws))
            matrices[:, 0, 1] = np.where(step == Step.SHEAR_X, -amount, 0.0)
            matrices[:, 1, 0] = np.where(step == Step.SHEAR_Y, -amount, 0.0)
            matrices[:, 0, 2] = np.where(step == Step.TRANSLATE_X, np.trunc(amount), 0.0)
            matrices[:, 1, 2] = np.where(step == Step.TRANSLATE_Y, np.trunc(amount), 0.0)
            turned = step == Step.ROTATE
            if turned.any():
                angle = np.deg2rad(amount[turned])
                matrices[turned] = about_center(rotation(angle), height[turned], width[turned])
            total = matrices @ total
        return total

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """For each step: who gets what, and the numbers of each branch."""
        extent = np.full(len(draws), float(height)), np.full(len(draws), float(width))
        chosen = self.choose(draws, *extent)
        found: Parameters = {}
        for number, (step, amount) in enumerate(zip(chosen.steps.T, chosen.amounts.T, strict=True)):
            for name, values in _step_parameters(step, amount, self.uses).items():
                found[f"{number}.{name}"] = values
        return found

    def build(self, image: Node, arguments: Arguments) -> Node:
        """The branches of each step in turn."""
        for number in range(self.steps):
            prefix = f"{number}."
            own = {key.removeprefix(prefix): node for key, node in arguments.nodes.items() if key.startswith(prefix)}
            for name, branch in _BRANCHES.items():
                if name in own:
                    inputs = {each: own[each] for each in branch.inputs}
                    image = replace(arguments, nodes=inputs).where(own[name], image, branch.build)
        return image


def _step_parameters(step: npt.NDArray[np.int64], amount: Values, uses: frozenset[int]) -> Parameters:
    """One step of a batch: a flag for each branch that can occur, and what the branches need."""
    found: Parameters = {}
    for name, branch in _BRANCHES.items():
        if uses & branch.steps:
            found[name] = _members(branch.steps)[step]
    needed = {each for name in found for each in _BRANCHES[name].inputs}
    factor = 1.0 + np.where((step >= Step.BRIGHTNESS) & (step <= Step.SHARPNESS), amount, 0.0)
    if "factor" in needed:
        found["factor"] = factor.astype(np.float32)
    if "blend" in needed:
        found["blend"] = np.stack([factor, 1.0 - factor], axis=1).astype(np.float32)[..., None]
    if "kernel" in needed:
        kernels = (1.0 - factor)[:, None, None] * _SMOOTH
        kernels[:, 1, 1] += factor
        found["kernel"] = kernels.astype(np.float32)
    if "mask" in needed:
        bits = np.where(step == Step.POSTERIZE, amount, 8.0).astype(np.int64)
        threshold = np.where(step == Step.SOLARIZE, np.ceil(amount), _NEVER)
        found["mask"] = mask(bits)
        found["threshold"] = np.where(step == Step.INVERT, 0, threshold).astype(np.int16)
    return found


@lru_cache(maxsize=32)
def _members(steps: frozenset[int]) -> npt.NDArray[np.bool_]:
    """Whether each sub-operation, by its number, is one of these."""
    table = np.zeros(len(Step), np.bool_)
    table[list(steps)] = True
    return table


def blended(image: Node, other: Node, arguments: Arguments) -> Node:
    """The sum of two uint8 (H, W, 3) images with the weights `blend`, float32 (2, 1); above 1 they extrapolate.

    A filter across the two as planes, because it rounds and clips to uint8 in a vectorised way.
    """
    fn = arguments.fn
    height, width = arguments.height, arguments.width
    planes = [fn.reshape(each, shape=[1, height * width * 3], layout="HW") for each in (image, other)]
    total = fn.filter(fn.cat(*planes, axis=0), arguments["blend"], mode="valid")
    return fn.reshape(total, shape=[height, width, 3], layout="HWC")


def _brightness(image: Node, arguments: Arguments) -> Node:
    return arguments.fn.brightness_contrast(image, brightness=arguments["factor"])


def _color(image: Node, arguments: Arguments) -> Node:
    return blended(image, gray(image, arguments), arguments)


def _contrast(image: Node, arguments: Arguments) -> Node:
    """About the mean luma of the image, a whole level, as Pillow has it."""
    fn, types = arguments.fn, arguments.types
    luma = fn.color_space_conversion(image, image_type=types.RGB, output_type=types.GRAY)
    mean = fn.cast(fn.reductions.mean(luma, axes=(0, 1, 2)), dtype=types.UINT8)
    return blended(image, (image & types.Constant(0, types.UINT8)) | mean, arguments)


def _sharpness(image: Node, arguments: Arguments) -> Node:
    return arguments.fn.filter(image, arguments["kernel"])


def _tones(image: Node, arguments: Arguments) -> Node:
    return solarized(image & arguments.beside("mask"), arguments.beside("threshold"), arguments)


def _auto_contrast(image: Node, arguments: Arguments) -> Node:
    """Each channel's lowest value to 0 and its highest to 255, by a table of (range, value above the lowest)."""
    fn, types = arguments.fn, arguments.types
    low, high = (reduce(image, axes=(0, 1), keep_dims=True) for reduce in (fn.reductions.min, fn.reductions.max))
    spread = high - low
    # A channel of one value stays as it is: row 0 of the table, with nothing subtracted.
    shift = fn.cast(spread, dtype=types.UINT16) * types.Constant(256, types.UINT16) - low * (spread > 0)
    table = spreads().reshape(-1).tolist()
    return fn.lookup_table(image + shift, keys=list(range(1 << 16)), values=table, dtype=types.UINT8)


def _equalize(image: Node, arguments: Arguments) -> Node:
    return equalized(image, arguments)


@lru_cache(maxsize=1)
def spreads() -> npt.NDArray[np.int64]:
    """int64 (256, 256): ⌊255 · value / range⌋ by range and value; the value itself for a range of 0."""
    spread, value = np.mgrid[:256, :256]
    scaled = np.minimum(value * 255 // np.maximum(spread, 1), 255)
    return np.asarray(np.where(spread == 0, value, scaled))


class _Branch(NamedTuple):
    """Nodes that run on the samples with one of `steps`, and the parameters that they use."""

    steps: frozenset[int]
    inputs: tuple[str, ...]
    build: Callable[[Node, Arguments], Node]


_BRANCHES = {
    "brightness": _Branch(frozenset({Step.BRIGHTNESS}), ("factor",), _brightness),
    "color": _Branch(frozenset({Step.COLOR}), ("blend",), _color),
    "contrast": _Branch(frozenset({Step.CONTRAST}), ("blend",), _contrast),
    "sharpness": _Branch(frozenset({Step.SHARPNESS}), ("kernel",), _sharpness),
    "tones": _Branch(frozenset({Step.POSTERIZE, Step.SOLARIZE, Step.INVERT}), ("mask", "threshold"), _tones),
    "auto_contrast": _Branch(frozenset({Step.AUTO_CONTRAST}), (), _auto_contrast),
    "equalize": _Branch(frozenset({Step.EQUALIZE}), (), _equalize),
}
