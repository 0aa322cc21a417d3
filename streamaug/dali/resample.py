"""The nodes that move pixels: the turn upright, a resize with a filter, and the one warp.

In: a `Geometry`, the window as `decode` leaves it, and the nodes of its feeds. Out: a node with the frame. It mirrors
left and right only where that comes with the resampling; else it leaves that to the output, where it costs nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from streamaug.dali.feeds import GeometryFeed, TurnFeed
from streamaug.dali.layout import Geometry
from streamaug.ops.base import Color
from streamaug.ops.nodes import Node, dali, dali_fn, dali_types, where

#: Samples of a GPU's resize at a launch. The memory between its two passes grows with them: of an ImageNet
#: photograph 1 MB each.
_SAMPLES_PER_RESIZE = 128


def upright(image: Node, nodes: Mapping[str, Node]) -> Node:
    """The windows, turned by their orientations; upright windows pass unchanged."""

    def turned(image: Node, transposed: Node, size: Node, horizontal: Node, vertical: Node) -> Node:
        image = where(transposed, [image, size], _transpose)
        return dali_fn().flip(image, horizontal=horizontal, vertical=vertical)

    if TurnFeed.MATRIX in nodes:
        return where(nodes[TurnFeed.TURNED], [image, nodes[TurnFeed.MATRIX], nodes[TurnFeed.SIZE]], _moved)
    feeds = (TurnFeed.TRANSPOSED, TurnFeed.TRANSPOSED_SIZE, TurnFeed.HORIZONTAL, TurnFeed.VERTICAL)
    return where(nodes[TurnFeed.TURNED], [image, *(nodes[feed] for feed in feeds)], turned)


def resample(geometry: Geometry, number: int, image: Node, nodes: Mapping[str, Node]) -> Node:
    """The decoded window after the geometry, but for a horizontal mirroring, which is part of the output."""
    if geometry.one_warp:
        return _warp(geometry, number, image, nodes)
    image = _resize(geometry, number, image, nodes)
    if geometry.warps:
        feeds = (GeometryFeed.MATRIX.of(number), GeometryFeed.BORDERED.of(number))
        names = [name for name in feeds if name in nodes]

        def warped(image: Node, *inputs: Node) -> Node:
            return _warp(geometry, number, image, dict(zip(names, inputs, strict=True)))

        return where(nodes[GeometryFeed.WARPED.of(number)], [image, *(nodes[name] for name in names)], warped)
    if GeometryFeed.VERTICAL.of(number) in nodes:
        return dali_fn().flip(image, horizontal=0, vertical=nodes[GeometryFeed.VERTICAL.of(number)])
    return image


def _resize(geometry: Geometry, number: int, image: Node, nodes: Mapping[str, Node]) -> Node:
    """The resize with a filter.

    Where all samples get one size, a CPU splits them into three groups: enlarged samples go through a warp, which does
    the same arithmetic at half the cost; samples that `sideways` chose are resized lying on their side, which is faster
    in DALI; the others are resized directly. Where sizes differ from sample to sample, and on a GPU, there is the plain
    resize alone.
    """
    resize, rois = _plain_resize(geometry, number, nodes)
    size = geometry.lead_size
    if size is None or not geometry.may_transpose:
        return resize(image, nodes[GeometryFeed.SIZE.of(number)] if size is None else size, *rois)

    # Samples that lie on their side, and those that do not.
    def on_its_side(image: Node, transposed_size: Node, *rois: Node) -> Node:
        return _transpose(resize(_transpose(image, transposed_size), size[::-1], *rois), size)

    def shrunk(image: Node, transposed: Node, transposed_size: Node, *rois: Node) -> Node:
        return where(
            transposed,
            [image, transposed_size, *rois],
            on_its_side,
            lambda image, _, *rois: resize(image, size, *rois),
        )

    inputs = [nodes[GeometryFeed.TRANSPOSED.of(number)], nodes[GeometryFeed.TRANSPOSED_SIZE.of(number)], *rois]
    if not geometry.warps_enlarged:
        return shrunk(image, *inputs)

    # Samples that are enlarged.
    def enlarged(image: Node, zoom: Node, *_: Node) -> Node:
        return dali_fn().experimental.warp_perspective(
            image, matrix=zoom, size=size, border_mode="replicate", interp_type=dali_types().INTERP_LINEAR
        )

    return where(
        nodes[GeometryFeed.ENLARGED.of(number)],
        [image, nodes[GeometryFeed.ZOOM.of(number)], *inputs],
        enlarged,
        lambda image, _, *inputs: shrunk(image, *inputs),
    )


def _plain_resize(geometry: Geometry, number: int, nodes: Mapping[str, Node]) -> tuple[Callable[..., Node], list[Node]]:
    """DALI's resize as a function of image, size and regions; and the regions, where they are not the whole window."""
    types = dali_types()
    kinds = {
        "bilinear": types.INTERP_LINEAR,
        "bicubic": types.INTERP_CUBIC,
        "lanczos": types.INTERP_LANCZOS3,
    }
    feeds = [feed for feed in (GeometryFeed.ROI_START, GeometryFeed.ROI_END) if feed.of(number) in nodes]
    options = {"interp_type": kinds[geometry.interpolation], "antialias": True}
    if geometry.device == "gpu":
        options["minibatch_size"] = min(dali().Pipeline.current().max_batch_size, _SAMPLES_PER_RESIZE)

    def resize(image: Node, size: Any, *rois: Node) -> Node:
        regions = {str(feed): roi for feed, roi in zip(feeds, rois, strict=True)}
        return dali_fn().resize(image, size=size, **regions, **options)

    return resize, [nodes[feed.of(number)] for feed in feeds]


def _transpose(image: Node, size: Any) -> Node:
    """Rows become columns; `size` is that of the result."""
    return _moved(image, [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0], size)


def _moved(image: Node, matrix: Any, size: Any) -> Node:
    """Whole pixels at other positions: `matrix` maps pixel numbers of the result to those of the image."""
    fn, types = dali_fn(), dali_types()
    return fn.experimental.warp_perspective(
        image,
        matrix=matrix,
        size=size,
        border_mode="replicate",
        interp_type=types.INTERP_NN,
        pixel_origin="center",
    )


def _warp(geometry: Geometry, number: int, image: Node, nodes: Mapping[str, Node]) -> Node:
    """The one warp: with the recipe's border for samples that may show it, else with the image's own edge."""
    fn, types = dali_fn(), dali_types()

    def warp(image: Node, matrix: Node, mode: str, fill: Color) -> Node:
        return fn.experimental.warp_perspective(
            image,
            matrix=matrix,
            size=geometry.size,
            border_mode=mode,
            fill_value=list(fill) if isinstance(fill, tuple) else fill,
            interp_type=types.INTERP_LINEAR,
            pixel_origin="corner",
        )

    border, matrix = geometry.border, nodes[GeometryFeed.MATRIX.of(number)]
    if border is None:
        return warp(image, matrix, "replicate", 0.0)
    if not geometry.two_borders:
        return warp(image, matrix, *border)
    return where(
        nodes[GeometryFeed.BORDERED.of(number)],
        [image, matrix],
        lambda image, matrix: warp(image, matrix, *border),
        lambda image, matrix: warp(image, matrix, "replicate", 0.0),
    )
