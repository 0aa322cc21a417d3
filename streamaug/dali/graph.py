"""The DALI graph of a recipe, one function for CPU and GPU: decode once, resample once a view, photometry, output.

In: a `Layout` and the nodes of a `Plan`'s feeds. Out: a node per view, or one for all. It holds no numbers of
samples: those come with the feeds. On a GPU each node is a launch, so the graph has as few nodes as possible there:
only those that the plan feeds.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from streamaug.dali.decode import decode
from streamaug.dali.feeds import (
    RowFeed,
    is_of_all_rows,
    mirror_feed,
    parameter_feed,
    rows_feed,
    selected_feed,
)
from streamaug.dali.layout import Geometry, Layout, View
from streamaug.dali.resample import resample, upright
from streamaug.ops.base import Photometric
from streamaug.ops.nodes import Arguments, Node, chosen, dali_fn, dali_types, joined, where, with_prefix
from streamaug.recipes.output import Output


def define(layout: Layout, encoded: Node, nodes: Mapping[str, Node], hw_decoder_load: float = 0.0) -> list[Node]:
    """Add the graph to the current pipeline.

    Args:
        layout: The recipe's layout.
        encoded: The encoded images, uint8 (n,), on the CPU.
        nodes: One node per feed, by name, on the CPU.
        hw_decoder_load: See `decode`.

    Returns:
        One node per view: images in the recipe's output format (bfloat16 as float32). Where the graph joins the views,
        a single node that holds all of them, view-major.
    """
    if layout.cut_from is not None:
        return [_cuts(layout, layout.cut_from, encoded, nodes, hw_decoder_load)]
    if layout.joins_views:
        return [_joined(layout, encoded, nodes, hw_decoder_load)]
    image = _decoded(layout, encoded, nodes, hw_decoder_load)
    frames = [resample(geometry, number, image, nodes) for number, geometry in enumerate(layout.geometries)]
    return [_view(layout, view, number, frames[view.geometry], nodes) for number, view in enumerate(layout.views)]


def _decoded(layout: Layout, encoded: Node, nodes: Mapping[str, Node], hw_decoder_load: float) -> Node:
    image = decode(encoded, nodes, layout.device, hw_decoder_load)
    return upright(image, nodes) if layout.recipe.apply_orientation else image


def _cuts(layout: Layout, geometry: Geometry, encoded: Node, nodes: Mapping[str, Node], hw_decoder_load: float) -> Node:
    """All views in one batch of V·B samples: the first B are decoded and resized, then each view is cut from its image.

    DALI's batches keep their size from end to end, so the other rows bring three bytes that pass for a pixel.
    """
    fn = dali_fn()
    names = [name for name in nodes if not is_of_all_rows(name)]

    def resized(encoded: Node, *inputs: Node) -> Node:
        own = dict(zip(names, inputs, strict=True))
        return resample(geometry, 0, _decoded(layout, encoded, own, hw_decoder_load), own)

    def filler(encoded: Node, *_: Node) -> Node:
        return fn.reshape(encoded, shape=[1, 1, 3], layout="HWC")

    image = where(nodes[rows_feed(0)], [encoded, *(nodes[name] for name in names)], resized, filler)
    image = fn.permute_batch(image, indices=nodes[RowFeed.SOURCE])
    cut = {"crop": layout.recipe.size, "crop_pos_x": nodes[RowFeed.X], "crop_pos_y": nodes[RowFeed.Y]}
    if RowFeed.VERTICAL in nodes:
        image, cut = fn.flip(fn.crop(image, **cut), horizontal=0, vertical=nodes[RowFeed.VERTICAL]), {}
    output = layout.recipe.output
    return _output(output, image, nodes[RowFeed.MIRROR], _dtype(output), **cut)


def _joined(layout: Layout, encoded: Node, nodes: Mapping[str, Node], hw_decoder_load: float) -> Node:
    """All views in one batch of V·B samples: each is made of the B samples that hold an image, then they are joined."""
    holds_image = nodes[rows_feed(0)]
    names = [name for name in nodes if not is_of_all_rows(name)]
    encoded, *inputs = chosen(holds_image, [encoded, *(nodes[name] for name in names)])
    own = dict(zip(names, inputs, strict=True))
    image = _decoded(layout, encoded, own, hw_decoder_load)
    frames = [resample(geometry, number, image, own) for number, geometry in enumerate(layout.geometries)]
    views = [
        _photometry(layout, view, number, frames[view.geometry], own, (holds_image,))[0]
        for number, view in enumerate(layout.views)
    ]
    output = layout.recipe.output
    image = joined(views, [nodes[rows_feed(number)] for number in range(len(views) - 1)])
    return _output(output, image, nodes[RowFeed.MIRROR], _dtype(output))


def _photometry(
    layout: Layout,
    view: View,
    number: int,
    image: Node,
    nodes: Mapping[str, Node],
    selections: tuple[Node, ...] = (),
) -> tuple[Node, Node]:
    """Mirroring where the photometry needs it first, and the photometric operations in order.

    Args:
        layout: The recipe's layout.
        view: The view.
        number: Its index.
        image: What its geometry leaves.
        nodes: One node per feed, by name.
        selections: Those that image and nodes passed, outermost first.

    Returns:
        The image, and which samples are still to be mirrored.
    """
    mirror: Node = nodes.get(mirror_feed(number), int(view.mirrored))
    if view.mirrors_early and (mirror_feed(number) in nodes or view.mirrored):
        image = dali_fn().flip(image, horizontal=mirror, vertical=0)
        mirror = 0

    for index, operation in view.photometric:
        image = _applied(layout, (number, index), operation, image, nodes, operation.build, selections)
    return image, mirror


def _applied(
    layout: Layout,
    place: tuple[int, int],
    operation: Photometric,
    image: Node,
    nodes: Mapping[str, Node],
    build: Callable[[Node, Arguments], Node],
    selections: tuple[Node, ...] = (),
) -> Node:
    """`build` on the samples that an operation changes; `place` is the view's index, and that of the random stream."""
    parameters = with_prefix(nodes, parameter_feed(*place))
    arguments = Arguments(parameters, *layout.recipe.size, layout.device, selections).uploaded(operation.inputs)
    if operation.probability < 1.0:
        return arguments.where(nodes[selected_feed(*place)], image, build)
    return build(image, arguments)


def _view(layout: Layout, view: View, number: int, image: Node, nodes: Mapping[str, Node]) -> Node:
    """A view's photometry, and the output."""
    image, mirror = _photometry(layout, view, number, image, nodes)
    output, types = layout.recipe.output, dali_types()
    finishing = [(index, operation) for index, operation in view.photometric if operation.finishes]
    if not finishing:
        return _output(output, image, mirror, _dtype(output))
    # Values that must not be normalised come last, in single precision.
    image = _output(output, image, mirror, types.FLOAT)
    for index, operation in finishing:
        finish = partial(operation.finish, channels_first=not output.channels_last)
        image = _applied(layout, (number, index), operation, image, nodes, finish)
    return image if _dtype(output) == types.FLOAT else dali_fn().cast(image, dtype=_dtype(output))


def _dtype(output: Output) -> Any:
    """DALI's type of the output; bfloat16 leaves DALI as float32."""
    types = dali_types()
    kinds = {"float32": types.FLOAT, "float16": types.FLOAT16, "bfloat16": types.FLOAT, "uint8": types.UINT8}
    return kinds[output.dtype]


def _output(output: Output, image: Node, mirror: Node, dtype: Any, **cut: Any) -> Node:
    """The normalised image, mirrored where `mirror` says; `cut` are arguments of the crop before."""
    return dali_fn().crop_mirror_normalize(
        image,
        dtype=dtype,
        output_layout="HWC" if output.channels_last else "CHW",
        mean=list(output.channel_means),
        std=list(output.channel_stds),
        mirror=mirror,
        **cut,
    )
