"""A recipe taken apart for the graph: which operations resize, which warp, what views share. Static facts only.

In: a `Recipe`. Out: a `Layout`, which both the numpy side (`plan`) and the DALI side (`graph`) read, so that they
agree.
"""

from dataclasses import dataclass
from functools import cached_property

from streamaug.ops.base import Geometric, Operation, Photometric, StaticFrame
from streamaug.recipe import Recipe, border, resampling


@dataclass(frozen=True)
class Geometry:
    """The geometry of one view, or of several that differ only by a final mirroring.

    Attributes:
        operations: (index of the random stream, operation) in order.
        interpolation: Of the resize.
        antialias: Whether the resize is a stage of its own, with a filter; otherwise it joins the one warp.
        size: (height, width) of the output.
    """

    operations: tuple[tuple[int, Geometric], ...]
    interpolation: str
    antialias: bool
    size: tuple[int, int]

    @cached_property
    def lead(self) -> int:
        """How many operations at the front only scale, shift and mirror."""
        aligned = [operation.aligned for _, operation in self.operations]
        return aligned.index(False) if False in aligned else len(aligned)

    @property
    def warps(self) -> bool:
        """Whether any operation does more than scale, shift and mirror."""
        return self.lead < len(self.operations)

    @property
    def warps_enlarged(self) -> bool:
        """Whether samples that are not shrunk are resized by a warp: the same arithmetic at half the cost."""
        return self.antialias and self.interpolation == "bilinear" and self.lead_size is not None

    @property
    def one_warp(self) -> bool:
        """Whether the window is decoded and warped once, without a resize."""
        return not self.antialias

    @cached_property
    def border(self) -> tuple[str, float] | None:
        """The (mode, fill) of the border that operations show, None where none does."""
        return border([operation for _, operation in self.operations])

    @property
    def two_borders(self) -> bool:
        """Whether some warped samples show a border and others must not."""
        warping = [operation for _, operation in self.operations[self.lead :]]
        if self.border is None:
            return False
        return self.one_warp or any(operation.shows() is None for operation in warping if not operation.aligned)

    @property
    def flips(self) -> str:
        """Which mirrorings are possible: "h", "v", both or none."""
        return "".join(sorted({letter for _, operation in self.operations for letter in operation.flips}))

    @property
    def isolates(self) -> bool:
        """Whether the first operation cuts out a window and ignores all else."""
        return bool(self.operations) and self.operations[0][1].isolates

    @property
    def whole_window(self) -> bool:
        """Whether what is decoded is exactly what is resized, known before any image is."""
        front = [operation for _, operation in self.operations[: self.lead]]
        return self.isolates and all(operation.flips for operation in front[1:])

    @cached_property
    def lead_size(self) -> tuple[int, int] | None:
        """(height, width) of the frame after the resize, None where it differs from sample to sample."""
        frame: StaticFrame | None = None
        for _, operation in self.operations[: self.lead]:
            frame = operation.static_frame(frame)
        return (frame.height, frame.width) if frame is not None and frame.exact else None


@dataclass(frozen=True)
class View:
    """One view: its geometry, a final mirroring, and its photometry.

    Attributes:
        geometry: Index into `Layout.geometries`.
        mirrored: Whether every sample is mirrored after that.
        photometric: (index of the random stream, operation) in order.
    """

    geometry: int
    mirrored: bool
    photometric: tuple[tuple[int, Photometric], ...]

    @property
    def mirrors_early(self) -> bool:
        """Whether mirroring must come before the photometry, because that depends on places."""
        return any(operation.spatial for _, operation in self.photometric)


class Layout:
    """The static facts of a recipe.

    Attributes:
        recipe: The recipe.
        geometries: The distinct resamplings.
        views: The views, each referring to a geometry.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.geometries: list[Geometry] = []
        self.views: list[View] = []
        front = list(enumerate(recipe.operations))
        number = len(front)
        for view in recipe.views or [()]:
            self._add([*front, *enumerate(view, number)])
            number += len(view)

    def _add(self, numbered: list[tuple[int, Operation]]) -> None:
        geometric = [(index, each) for index, each in numbered if isinstance(each, Geometric)]
        mirrored = False
        while geometric and geometric[-1][1].flips == "h" and geometric[-1][1].probability == 1.0:
            geometric.pop()
            mirrored = not mirrored
        branch = [each for _, each in geometric]
        interpolation, antialias = resampling(branch)
        candidate = Geometry(tuple(geometric), interpolation, antialias, self.recipe.size)
        same = [i for i, known in enumerate(self.geometries) if self._equivalent(known, candidate)]
        if not same:
            same = [len(self.geometries)]
            self.geometries.append(candidate)
        photometric = tuple((index, each) for index, each in numbered if isinstance(each, Photometric))
        self.views.append(View(same[0], mirrored, photometric))

    def _equivalent(self, one: Geometry, other: Geometry) -> bool:
        """Whether two resamplings are the same for every sample: equal operations that draw the same, or nothing."""
        if len(one.operations) != len(other.operations):
            return False
        pairs = zip(one.operations, other.operations, strict=True)
        return all(a == b and (i == j or (a.draws == 0 and a.probability == 1.0)) for (i, a), (j, b) in pairs)
