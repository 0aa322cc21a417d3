"""A recipe taken apart for the graph: operations that resize or warp, and parts that views share. Static facts.

In: a `Recipe` and the kind of device. Out: a `Layout`, which both the numpy side (`plan`) and the DALI side (`graph`)
read, so that they agree.

Savings on a CPU cost time on a GPU, where each operator is a launch: there no sample is resized on its side or by a
warp, and the resampling itself mirrors, where a CPU flips afterwards.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from streamaug.ops import CenterCrop, CornerCrop
from streamaug.ops.base import Color, Geometric, Operation, Photometric, StaticFrame
from streamaug.recipes.recipe import Recipe, border, resampling


@dataclass(frozen=True)
class Geometry:
    """The geometry of one view, or of several that differ only by a final mirroring.

    Attributes:
        operations: (index of the random stream, operation) in order.
        interpolation: Of the resize.
        antialias: Whether the resize is a stage of its own, with a filter; otherwise it joins the one warp.
        size: (height, width) of the output.
        device: "cpu" or "gpu".
    """

    operations: tuple[tuple[int, Geometric], ...]
    interpolation: str
    antialias: bool
    size: tuple[int, int]
    device: str

    @cached_property
    def lead(self) -> int:
        """The number of operations at the front that only scale, shift and mirror, and show no border."""
        aligned = [operation.aligned and operation.shows() is None for _, operation in self.operations]
        return aligned.index(False) if False in aligned else len(aligned)

    @property
    def warps(self) -> bool:
        """Whether any operation does more than scale, shift and mirror, or shows a border."""
        return self.lead < len(self.operations)

    @property
    def may_transpose(self) -> bool:
        """Whether samples may be resized lying on their side, see `sideways`: on a CPU, where all get one size."""
        return self.device == "cpu" and self.lead_size is not None

    @property
    def warps_enlarged(self) -> bool:
        """Whether samples that are not shrunk are resized by a warp: on a CPU the same arithmetic at half the cost."""
        return self.may_transpose and self.antialias and self.interpolation == "bilinear"

    @property
    def one_warp(self) -> bool:
        """Whether the window is decoded and warped once, without a resize."""
        return not self.antialias

    @cached_property
    def border(self) -> tuple[str, Color] | None:
        """The (mode, fill) of the border that operations show, None where none does."""
        return border([operation for _, operation in self.operations])

    @property
    def two_borders(self) -> bool:
        """Whether some warped samples show a border and others must not."""
        warping = [each for _, operation in self.operations[self.lead :] for each in operation.alternatives()]
        if self.border is None:
            return False
        return self.one_warp or any(operation.shows() is None for operation in warping if not operation.aligned)

    @property
    def flips(self) -> str:
        """The possible mirrorings: "h", "v", both or none."""
        return "".join(sorted({letter for _, operation in self.operations for letter in operation.flips}))

    @property
    def ignores_outside_window(self) -> bool:
        """Whether the first operation cuts out a window, and pixels outside it have no effect on the result."""
        return bool(self.operations) and self.operations[0][1].ignores_outside_window

    @property
    def whole_window(self) -> bool:
        """Whether the window that is decoded is exactly the window that is resized, for every image."""
        behind = [each for _, operation in self.operations[1 : self.lead] for each in operation.alternatives()]
        return self.ignores_outside_window and all(each.flips for each in behind)

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
        """Whether mirroring must come before the photometry, because that depends on where a pixel is."""
        return any(operation.spatial for _, operation in self.photometric)


class Layout:
    """The static facts of a recipe.

    Attributes:
        recipe: The recipe.
        device: "cpu" or "gpu".
        geometries: The distinct resamplings.
        views: The views, each referring to a geometry.
    """

    def __init__(self, recipe: Recipe, device: str = "cpu") -> None:
        self.recipe, self.device = recipe, device
        self.geometries: list[Geometry] = []
        self.views: list[View] = []
        front = list(enumerate(recipe.operations))
        number = len(front)
        for view in recipe.views or [()]:
            self._add([*front, *enumerate(view, number)])
            number += len(view)

    @property
    def joins_views(self) -> bool:
        """Whether the views leave the graph as one batch of V·B rows, so that nobody has to copy V outputs together.

        So it is on a CPU, unless an operation works on the normalised images of a view.
        """
        finishing = any(operation.finishes for view in self.views for _, operation in view.photometric)
        return self.device == "cpu" and len(self.views) > 1 and not finishing

    @cached_property
    def cut_from(self) -> Geometry | None:
        """The resize that all views share, where each is a part of its result by whole pixels; else None.

        So it is with the crops and flips of one resized image, and no photometry. On a CPU alone, and where the resize
        of the whole frame computes no more pixels than resizes of the views would, as far as the recipe tells.
        """
        first, *others = self.geometries
        if not self.joins_views or any(view.photometric for view in self.views):
            return None
        if any(geometry.one_warp or geometry.warps for geometry in self.geometries):
            return None
        shared = min((_shared(first, other) for other in others), default=len(first.operations))
        front, tails = first.operations[:shared], [each.operations[shared:] for each in self.geometries]
        if not all(_is_cut(operation) for tail in tails for _, operation in tail):
            return None
        frame: StaticFrame | None = None
        for _, operation in front:
            frame = operation.static_frame(frame)
        height, width = self.recipe.size
        if frame is None or frame.height * frame.width > len(self.geometries) * height * width:
            return None
        return replace(first, operations=front)

    @property
    def resampled(self) -> list[Geometry]:
        """The geometries that the graph resamples for: all, or the one that all views are cut from."""
        return self.geometries if self.cut_from is None else [self.cut_from]

    @property
    def rows_per_image(self) -> int:
        """DALI's samples of an image: V where the graph joins the views, else 1."""
        return len(self.views) if self.joins_views else 1

    def mirrors_last(self, geometry: int) -> bool:
        """Whether the geometry leaves horizontal mirroring to the output, where it costs nothing.

        On a GPU it does not where a view needs the mirroring before its photometry, because a flip there is a launch
        for each sample.
        """
        early = any(view.mirrors_early for view in self.views if view.geometry == geometry)
        return self.device == "cpu" or not early

    def mirrors_in_region(self, geometry: int) -> str:
        """The mirrorings that the resize does by the order of its region's ends: "h", "v", both or none."""
        resampling = self.geometries[geometry]
        if self.device == "cpu" or resampling.one_warp or resampling.warps:
            return ""
        return resampling.flips.replace("h", "") if self.mirrors_last(geometry) else resampling.flips

    def _add(self, numbered: list[tuple[int, Operation]]) -> None:
        # A mirroring of every sample at the end is left to the output, so that views which differ by it share pixels.
        geometric = [
            (index, part)
            for index, operation in numbered
            if isinstance(operation, Geometric) and operation.moves_pixels
            for part in operation.parts()
        ]
        mirrored = False
        while geometric and _is_sure_mirror(geometric[-1][1]):
            geometric.pop()
            mirrored = not mirrored
        # Views with the same resampling share it.
        interpolation, antialias = resampling([operation for _, operation in geometric])
        candidate = Geometry(tuple(geometric), interpolation, antialias, self.recipe.size, self.device)
        same = [index for index, other in enumerate(self.geometries) if _equivalent(other, candidate)]
        if not same:
            same = [len(self.geometries)]
            self.geometries.append(candidate)
        photometric = tuple(
            (index, operation)
            for index, operation in numbered
            if isinstance(operation, Photometric) and operation.changes_values
        )
        self.views.append(View(same[0], mirrored, photometric))


def _equivalent(first: Geometry, second: Geometry) -> bool:
    """Whether two resamplings are the same for every sample."""
    return len(first.operations) == len(second.operations) == _shared(first, second)


def _shared(first: Geometry, second: Geometry) -> int:
    """How many operations at the front are the same for every sample: equal, and drawing the same, or nothing."""
    pairs = list(zip(first.operations, second.operations, strict=False))
    same = [a == b and (i == j or (a.draws == 0 and a.probability == 1.0)) for (i, a), (j, b) in pairs]
    return same.index(False) if False in same else len(same)


def _is_cut(operation: Geometric) -> bool:
    """Whether it keeps a part by whole pixels, or mirrors, in the same way for every image of a size."""
    sure_flip = bool(operation.flips) and operation.probability == 1.0 and operation.draws == 0
    return sure_flip or isinstance(operation, CenterCrop | CornerCrop)


def _is_sure_mirror(operation: Geometric) -> bool:
    """Whether it mirrors every sample, and not only some by random numbers of its own."""
    return operation.flips == "h" and operation.probability == 1.0 and operation.draws == 0
