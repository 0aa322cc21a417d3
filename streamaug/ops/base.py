"""The base of operations: frozen records of the user's parameters, with pure functions from random numbers to effects.

`Geometric` operations give a matrix per sample; the graph composes those of a recipe and resamples once. `Photometric`
operations give parameters per sample and add DALI nodes that work on uint8 RGB frames. Neither draws numbers, holds
state, or applies the probability: the graph selects samples, and leaves the others untouched.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.geometry import Matrices
from streamaug.ops.nodes import Arguments, Node

Draws = npt.NDArray[np.float64]
#: Sizes of the samples of a batch, float64 (B,), whole numbers of pixels.
Extent = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: Top, left, bottom and right in pixels, float64 (B, 4).
Rectangles = npt.NDArray[np.float64]
#: A gray level 0..255, or (red, green, blue).
Color = float | tuple[float, float, float]
#: Name to array (B, ...), or to a list of B arrays where their shapes differ.
Parameters = dict[str, npt.NDArray[Any] | list[npt.NDArray[Any]]]


class StaticFrame(NamedTuple):
    """A frame's size that follows from the recipe alone, before any image is read: exact, or a lower bound."""

    height: int
    width: int
    exact: bool


class Border(NamedTuple):
    """The pixels outside an image: a mode of `BORDERS`, and the colour of a constant border; None: not named."""

    mode: str | None
    fill: Color | None


class Operation:
    """The base of all operations. Subclasses are frozen dataclasses with slots and keyword-only fields.

    An operation subclasses `Geometric` or `Photometric`, whose abstract methods it must implement: without them Python
    refuses to construct it with a TypeError that names them.

    Attributes:
        probability: The chance that a sample is changed at all, 0..1; most operations have it as a field; for the
            others it is 1.
    """

    __slots__ = ()

    probability: float = 1.0

    @property
    def draws(self) -> int:
        """The number of uniform numbers that the operation needs for a sample.

        Most operations replace this property by a class attribute, `draws = 2`; a property is for a number that depends
        on the fields.
        """
        return 0

    @property
    def moves_pixels(self) -> bool:
        """Whether it is geometry; a choice among operations is geometry if one of them is."""
        return isinstance(self, Geometric)

    @property
    def changes_values(self) -> bool:
        """Whether it is photometry; a choice among operations is photometry if one of them is."""
        return isinstance(self, Photometric)


class Geometric(Operation, ABC):
    """An operation that moves pixels: one matrix per sample.

    Attributes:
        aligned: Whether the matrices only scale, shift and mirror along the axes, as crops, resizes and flips do; like
            `flips`, a class attribute in most operations.
        flips: "h" for an operation that may exchange left and right, "v" for top and bottom, "hv" for both, "" for
            neither. With flips it does nothing else.
        interpolation: "bilinear", "bicubic" or "lanczos" for an operation that resizes, else None.
        antialias: For an operation that resizes: whether it filters when shrinking.
        ignores_outside_window: Whether pixels outside the window that the operation cuts out have no effect on the
            result, not even through a filter at the window's edge.
        keeps_boxes: Whether the matrices depend on the samples' boxes, by `matrix_keeping`.
    """

    __slots__ = ()

    interpolation: str | None = None
    antialias: bool = True
    ignores_outside_window: ClassVar[bool] = False
    keeps_boxes: ClassVar[bool] = False

    @property
    def aligned(self) -> bool:
        return False

    @property
    def flips(self) -> str:
        return ""

    @abstractmethod
    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """Source-to-output matrices of a batch.

        Args:
            draws: float64 (B, `draws`) in [0, 1).
            height: float64 (B,), the frames' heights in pixels before the operation.
            width: float64 (B,), their widths.

        Returns:
            float64 (B, 3, 3), for pixels with (0, 0) at the outer corner of the first pixel.
        """

    def matrix_keeping(self, draws: Draws, height: Extent, width: Extent, kept: Rectangles) -> Matrices:
        """The matrices where `keeps_boxes` is set.

        Args:
            draws: As of `matrix`.
            height: As of `matrix`.
            width: As of `matrix`.
            kept: float64 (B, 4), the rectangle around each sample's boxes, in pixels of the frame before the operation;
                NaN where a sample has no boxes.
        """
        return self.matrix(draws, height, width)

    def unselected(self, height: Extent, width: Extent) -> Matrices:
        """float64 (B, 3, 3): matrices of samples that were not selected; the identity for most operations."""
        return np.broadcast_to(np.eye(3), (np.broadcast(height, width).size, 3, 3))

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        """The frames' (heights, widths) after the operation, each float64 (B,); most operations do not change them."""
        return height, width

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame | None:
        """The frame that follows from the recipe alone, after the operation.

        Args:
            frame: The frame before it; None where no operation has set one.

        Returns:
            The frame after it: exact, or a lower bound where it differs from image to image; None as for `frame`.

        Raises:
            RecipeError: If the operation needs another frame before it.
        """
        return frame

    def shows(self) -> Border | None:
        """The border that may come into view, None where the operation never shows a border."""
        return None

    def parts(self) -> "tuple[Geometric, ...]":
        """The operations of which it consists, in order, where a resize ends before the last; else itself.

        All parts get the same random numbers, and each has the operation's chance.
        """
        return (self,)

    def alternatives(self) -> "tuple[Geometric, ...]":
        """The operations from which each sample gets one, for a choice among operations; else itself."""
        return (self,)

    def exposes(self, draws: Draws) -> Flags:
        """Which samples may show a border, bool (B,), for draws as in `matrix`: all or none, but for a choice."""
        return np.full(len(draws), self.shows() is not None)


class Photometric(Operation, ABC):
    """An operation that changes values: parameters per sample, and nodes that use them.

    Attributes:
        spatial: Whether the result depends on where a pixel is or on its neighbours. Geometry written after such an
            operation is an error; geometry written after any other operation is done before it.
        finishes: Whether it works on the normalised images, by `finish`, at the end of the recipe.
        inputs: The parameters that nodes compute with as they do with the image (`filter`'s kernel, the other side of
            an arithmetic operator), rather than take as arguments. On a GPU they are copied there, all in one copy a
            batch.
    """

    __slots__ = ()

    @property
    def spatial(self) -> bool:
        return True

    @property
    def finishes(self) -> bool:
        return False

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset()

    @abstractmethod
    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """The numbers by which the nodes treat each sample.

        Args:
            draws: float64 (B, `draws`) in [0, 1).
            height: The frame's height in pixels.
            width: Its width.

        Returns:
            Name to array (B, ...), or to a list of B arrays where their shapes differ, of a type of DALI's: float32,
            int32, uint8 or bool. The names must not depend on the batch.
        """

    @abstractmethod
    def build(self, image: Node, arguments: Arguments) -> Node:
        """Add DALI nodes: uint8 (H, W, 3) RGB in, the same out. The nodes see only the samples that were selected."""

    def finish(self, image: Node, arguments: Arguments, channels_first: bool) -> Node:
        """Add DALI nodes to the normalised image, float32 (3, H, W) if `channels_first`, else (H, W, 3); the same out.

        Called only where `finishes` is set, for values that must not be normalised. The nodes see the samples that were
        selected.
        """
        return image

    def hides(self, draws: Draws, points: npt.NDArray[np.float64], height: int, width: int) -> Flags:
        """Which points the operation paints over, so that a keypoint there is no longer visible; by default none.

        Args:
            draws: float64 (P, `draws`), the numbers of the sample that each point belongs to.
            points: float64 (P, 2), x and y in pixels.
            height: The frame's height in pixels.
            width: Its width.

        Returns:
            bool (P,).
        """
        return np.zeros(len(points), np.bool_)
