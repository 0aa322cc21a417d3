"""The DALI graph of a recipe, one function for CPU and GPU: decode once, resample once a view, photometry, output.

In: a `Layout` and the nodes of a `Plan`'s feeds. Out: one node per view. It holds no numbers of samples: those come
with the feeds. The only difference between the devices is where the decoder leaves its pixels.
"""

from collections.abc import Mapping
from typing import Any

from streamaug.dali.layout import Geometry, Layout, View
from streamaug.ops.base import Arguments, Node, dali_fn, dali_types, where
from streamaug.ops.output import Output


def define(layout: Layout, encoded: Node, nodes: Mapping[str, Node], device: str) -> list[Node]:
    """Add the graph to the current pipeline.

    Args:
        layout: The recipe's layout.
        encoded: The encoded images, uint8 (n,), on the CPU.
        nodes: One node per feed, by name, on the CPU.
        device: "cpu" or "gpu".

    Returns:
        One node per view: images in the recipe's output format (bfloat16 as float32).
    """
    image = decode(layout, encoded, nodes, device)
    frames = [
        _geometry(geometry, f"geometry{number}", image, nodes) for number, geometry in enumerate(layout.geometries)
    ]
    return [
        _view(layout, view, f"view{number}", frames[view.geometry], nodes, device)
        for number, view in enumerate(layout.views)
    ]


def decode(layout: Layout, encoded: Node, nodes: Mapping[str, Node], device: str) -> Node:
    """The part of each image that is needed: uint8 (h, w, 3) RGB."""
    fn, types = dali_fn(), dali_types()

    return fn.decoders.image_slice(
        encoded,
        device="cpu" if device == "cpu" else "mixed",
        start=nodes["start"],
        shape=nodes["shape"],
        axis_names="HW",
        output_type=types.RGB,
        adjust_orientation=layout.recipe.apply_orientation,
    )


def _geometry(geometry: Geometry, name: str, image: Node, nodes: Mapping[str, Node]) -> Node:
    if geometry.one_warp:
        return _warp(geometry, name, image, nodes)
    image = _resize(geometry, name, image, nodes)
    if geometry.warps:
        names = [f"{name}.{part}" for part in ("matrix", "bordered") if f"{name}.{part}" in nodes]

        def warped(image: Node, *chosen: Node) -> Node:
            return _warp(geometry, name, image, dict(zip(names, chosen, strict=True)))

        return where(nodes[f"{name}.warped"], [image, *(nodes[each] for each in names)], warped)
    if "v" in geometry.flips:
        fn = dali_fn()

        image = fn.flip(image, horizontal=0, vertical=nodes[f"{name}.vertical"])
    return image


def _resize(geometry: Geometry, name: str, image: Node, nodes: Mapping[str, Node]) -> Node:
    fn, types = dali_fn(), dali_types()

    kinds = {
        "bilinear": types.INTERP_LINEAR,
        "bicubic": types.INTERP_CUBIC,
        "lanczos": types.INTERP_LANCZOS3,
    }
    kind = kinds[geometry.interpolation]
    parts = [part for part in ("roi_start", "roi_end", "size") if f"{name}.{part}" in nodes]
    chosen = [nodes[f"{name}.{part}"] for part in parts]

    def resize(image: Node, size: Any, *chosen: Node) -> Node:
        arguments = {"size": size, **dict(zip(parts, chosen, strict=True))}
        return fn.resize(image, interp_type=kind, antialias=True, **arguments)

    size = geometry.lead_size
    if size is None:
        return resize(image, None, *chosen)

    def on_its_side(image: Node, turned_size: Node, *chosen: Node) -> Node:
        return _turn(resize(_turn(image, turned_size), size[::-1], *chosen), size)

    def shrunk(image: Node, turned: Node, turned_size: Node, *chosen: Node) -> Node:
        return where(
            turned,
            [image, turned_size, *chosen],
            on_its_side,
            lambda image, _, *chosen: resize(image, size, *chosen),
        )

    inputs = [nodes[f"{name}.turned"], nodes[f"{name}.turned_size"], *chosen]
    if not geometry.warps_enlarged:
        return shrunk(image, *inputs)

    def enlarged(image: Node, zoom: Node, *_: Node) -> Node:
        return fn.experimental.warp_perspective(
            image, matrix=zoom, size=size, border_mode="replicate", interp_type=types.INTERP_LINEAR
        )

    return where(
        nodes[f"{name}.enlarged"],
        [image, nodes[f"{name}.zoom"], *inputs],
        enlarged,
        lambda image, _, *inputs: shrunk(image, *inputs),
    )


def _turn(image: Node, size: Any) -> Node:
    """Rows become columns; `size` is that of the result."""
    fn, types = dali_fn(), dali_types()

    return fn.experimental.warp_perspective(
        image,
        matrix=[0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        size=size,
        border_mode="replicate",
        interp_type=types.INTERP_NN,
        pixel_origin="center",
    )


def _warp(geometry: Geometry, name: str, image: Node, nodes: Mapping[str, Node]) -> Node:
    fn, types = dali_fn(), dali_types()

    def warp(image: Node, matrix: Node, mode: str, fill: float) -> Node:
        return fn.experimental.warp_perspective(
            image,
            matrix=matrix,
            size=geometry.size,
            border_mode=mode,
            fill_value=fill,
            interp_type=types.INTERP_LINEAR,
            pixel_origin="corner",
        )

    border = geometry.border
    if border is None:
        return warp(image, nodes[f"{name}.matrix"], "replicate", 0.0)
    if not geometry.two_borders:
        return warp(image, nodes[f"{name}.matrix"], *border)
    bordered, matrix = nodes[f"{name}.bordered"], nodes[f"{name}.matrix"]
    return where(
        bordered,
        [image, matrix],
        lambda image, matrix: warp(image, matrix, *border),
        lambda image, matrix: warp(image, matrix, "replicate", 0.0),
    )


def _view(layout: Layout, view: View, name: str, image: Node, nodes: Mapping[str, Node], device: str) -> Node:
    fn = dali_fn()

    mirror: Node = nodes.get(f"{name}.mirror", int(view.mirrored))
    if view.mirrors_early and (f"{name}.mirror" in nodes or view.mirrored):
        image = fn.flip(image, horizontal=mirror, vertical=0)
        mirror = 0
    for index, operation in view.photometric:
        prefix = f"{name}.{index}:"
        own = {key.removeprefix(prefix): node for key, node in nodes.items() if key.startswith(prefix)}
        arguments = Arguments(own, *layout.recipe.size, device)
        if operation.probability < 1.0:
            image = arguments.where(nodes[f"{name}.{index}.selected"], image, operation.build)
        else:
            image = operation.build(image, arguments)
    return _output(layout.recipe.output, image, mirror)


def _output(output: Output, image: Node, mirror: Node) -> Node:
    fn, types = dali_fn(), dali_types()

    kinds = {"float32": types.FLOAT, "float16": types.FLOAT16, "bfloat16": types.FLOAT, "uint8": types.UINT8}
    return fn.crop_mirror_normalize(
        image,
        dtype=kinds[output.dtype],
        output_layout="HWC" if output.channels_last else "CHW",
        mean=list(output.channel_means),
        std=list(output.channel_stds),
        mirror=mirror,
    )
