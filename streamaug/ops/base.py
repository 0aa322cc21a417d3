"""What an operation is: a frozen record of the user's parameters, and pure functions from random numbers to effects.

`Geometric` operations give a matrix per sample; the graph composes those of a recipe and resamples once. `Photometric`
operations give parameters per sample and add DALI nodes that work on uint8 RGB frames. Neither draws a number, holds
state, or knows of probability: the graph selects, and leaves a sample that was not selected untouched.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.errors import RecipeError
from streamaug.geometry import Matrices

#: A DALI node. DALI gives no types, and is imported only where a graph is built.
Node = Any
Draws = npt.NDArray[np.float64]
#: Sizes of the samples of a batch, float64 (B,), whole numbers of pixels.
Extent = npt.NDArray[np.float64]
#: Name to array (B, ...), or to a list of B arrays where their shapes differ.
Parameters = dict[str, npt.NDArray[Any] | list[npt.NDArray[Any]]]


def dali_fn() -> Any:
    """DALI's operators, `nvidia.dali.fn`; imported on the first call, so that `import streamaug` stays fast."""
    return import_module("nvidia.dali.fn")


def dali_types() -> Any:
    """DALI's types, `nvidia.dali.types`; imported on the first call."""
    return import_module("nvidia.dali.types")


class StaticFrame(NamedTuple):
    """What is known of a frame before any image is: its size, exact or at least so large."""

    height: int
    width: int
    exact: bool


class Border(NamedTuple):
    """What lies outside an image: a mode of `BORDERS`, and the gray level 0..255 of a constant one; None: not named."""

    mode: str | None
    fill: float | None


class Operation:
    """The base of all operations. Subclasses are frozen dataclasses with slots and keyword-only fields.

    Attributes:
        probability: The chance that a sample is changed at all, 0..1; most operations have it as a field.
    """

    __slots__ = ()

    probability: float

    @property
    def draws(self) -> int:
        """How many uniform numbers the operation needs for a sample; for most a constant: `draws = 2`."""
        return 0


class Geometric(Operation):
    """An operation that moves pixels: one matrix per sample.

    Attributes:
        aligned: Whether the matrices only scale, shift and mirror along the axes, as crops, resizes and flips do.
        flips: "h" for an operation that may exchange left and right, "v" for top and bottom, "" for neither.
        interpolation: "bilinear", "bicubic" or "lanczos" for an operation that resizes, else None.
        antialias: For an operation that resizes: whether it filters when shrinking.
    """

    __slots__ = ()

    aligned: ClassVar[bool] = False
    flips: ClassVar[str] = ""
    interpolation: str | None = None
    antialias: bool = True
    #: Whether the operation looks at nothing of the image outside the window that it cuts out.
    isolates: ClassVar[bool] = False

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """Source-to-output matrices of a batch.

        Args:
            draws: float64 (B, `draws`) in [0, 1).
            height: float64 (B,), the frames' heights in pixels before the operation.
            width: float64 (B,), their widths.

        Returns:
            float64 (B, 3, 3), for pixels with (0, 0) at the outer corner of the first.
        """
        raise NotImplementedError

    def unselected(self, height: Extent, width: Extent) -> Matrices:
        """float64 (B, 3, 3): what happens to samples that were not selected; the identity for most."""
        return np.broadcast_to(np.eye(3), (np.broadcast(height, width).size, 3, 3))

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        """The frames' (heights, widths) after the operation, each float64 (B,); unchanged for most."""
        return height, width

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame | None:
        """What is known of the frame after the operation, given what is known before; None: nothing."""
        return frame

    def shows(self) -> Border | None:
        """The border that may come into view, None where the operation never shows one."""
        return None


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a photometric operation builds its nodes from.

    Attributes:
        nodes: The parameters' nodes, one for each entry of `parameters`; per-sample arguments, always on the CPU.
        height: The frame's height in pixels.
        width: Its width.
        device: "cpu" or "gpu", where the image is.
        chosen: The selections, outermost first, by which the samples here are some of the batch's.
    """

    nodes: Mapping[str, Node]
    height: int
    width: int
    device: str
    chosen: tuple[Node, ...] = ()

    def __getitem__(self, name: str) -> Node:
        """The node of the parameter `name`."""
        return self.nodes[name]

    def beside(self, name: str) -> Node:
        """The parameter `name` where the image is, for arithmetic with it."""
        return self.nodes[name] if self.device == "cpu" else self.nodes[name].gpu()

    def constant(self, numbers: Sequence[int], shape: Sequence[int], dtype: Any, layout: str = "") -> Node:
        """The same integers for every sample that is here, and where the image is.

        Args:
            numbers: As many as `shape` says, or one for all.
            shape: The node's shape.
            dtype: A type of DALI's.
            layout: The axes' letters.
        """
        layouts = {"layout": layout} if layout else {}
        node = self.fn.constant(idata=list(numbers), shape=list(shape), dtype=dtype, device=self.device, **layouts)
        for selected in self.chosen:
            node, _ = dali_fn()._conditional.split(node, predicate=selected, _if_stmt=True)
        return node

    @property
    def fn(self) -> Any:
        """DALI's operators, `nvidia.dali.fn`."""
        return dali_fn()

    @property
    def types(self) -> Any:
        """DALI's types, `nvidia.dali.types`."""
        return dali_types()

    def where(self, selected: Node, image: Node, build: Callable[[Node, "Arguments"], Node]) -> Node:
        """`build(image, arguments)` for the samples with `selected`, the very same image for the others.

        Args:
            selected: A bool per sample, on the CPU.
            image: The image node.
            build: Adds nodes; is given the image and the arguments of the selected samples only.
        """
        names = list(self.nodes)

        def then(image: Node, *nodes: Node) -> Node:
            chosen = dict(zip(names, nodes, strict=True))
            return build(image, Arguments(chosen, self.height, self.width, self.device, (*self.chosen, selected)))

        return where(selected, [image, *self.nodes.values()], then)


def where(
    selected: Node,
    inputs: Sequence[Node],
    then: Callable[..., Node],
    otherwise: Callable[..., Node] = lambda *nodes: nodes[0],
) -> Node:
    """`then(*inputs)` for the samples with `selected`, `otherwise(*inputs)` for the others, put together again.

    Args:
        selected: A bool per sample, on the CPU.
        inputs: Nodes; each branch sees only its own samples of them.
        then: Adds nodes; runs on the selected samples alone, so that the others cost nothing.
        otherwise: The same for the others; by default they pass, the first input untouched.
    """
    # DALI's own `if` on samples, without its rewriting of the caller's source code.
    conditional = dali_fn()._conditional
    parts = [conditional.split(node, predicate=selected, _if_stmt=True) for node in inputs]
    on, off = zip(*parts, strict=True)
    return conditional.merge(then(*on), otherwise(*off), predicate=selected)


class Photometric(Operation):
    """An operation that changes values: parameters per sample, and nodes that use them.

    Attributes:
        spatial: Whether the result depends on where a pixel is or on its neighbours. Geometry written after such an
            operation is an error; before any other it may as well be done first.
    """

    __slots__ = ()

    spatial: ClassVar[bool] = True

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """What the nodes need to know of each sample.

        Args:
            draws: float64 (B, `draws`) in [0, 1).
            height: The frame's height in pixels.
            width: Its width.

        Returns:
            Name to array (B, ...), or to a list of B arrays where their shapes differ, of a type that DALI knows:
            float32, int32, uint8 or bool. The names must not depend on the batch.
        """
        raise NotImplementedError

    def build(self, image: Node, arguments: Arguments) -> Node:
        """Add DALI nodes: uint8 (H, W, 3) RGB in, the same out. Only samples that were selected come here."""
        raise NotImplementedError

    def hides(self, draws: Draws, points: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.bool_]:
        """Which places are painted over, so that a keypoint there is no longer visible; none unless overridden.

        Args:
            draws: float64 (P, `draws`), the numbers of the sample that each place belongs to.
            points: float64 (P, 2), x and y in pixels.
            height: The frame's height in pixels.
            width: Its width.

        Returns:
            bool (P,).
        """
        return np.zeros(len(points), np.bool_)


def place(operation: object, field: str) -> str:
    """How messages name a field: `Rotate.degrees`."""
    return f"{type(operation).__name__}.{field}"


def refuse(operation: object, field: str, must: str, fix: str) -> RecipeError:
    """The error for a field: what must hold, the value that was given, one fix."""
    return RecipeError(f"{place(operation, field)}: {must}, got {getattr(operation, field)!r}. {fix}")
