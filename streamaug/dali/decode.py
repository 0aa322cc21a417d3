"""The decoder on each device, which decodes the planned window of each image.

In: encoded images and their windows, on the CPU. Out: a node with the pixels of the windows as stored. On a GPU a
sample's path through the decoder depends on the sample alone, unless the user gives the hardware decoder a share.
"""

from collections.abc import Mapping

from streamaug.dali.feeds import SHAPE, START
from streamaug.ops.nodes import Node, dali_fn, dali_types


def decode(encoded: Node, nodes: Mapping[str, Node], device: str, hw_decoder_load: float = 0.0) -> Node:
    """The planned window of each image, as stored: uint8 (h, w, 3) RGB.

    A CPU decodes the window alone. A GPU decodes whole images and cuts the window out: nvImageCodec 0.9.0 is reported
    to crash when it decodes windows (NVIDIA/nvImageCodec issue 55), and refuses them with fancy upsampling of chroma,
    which a CPU always does.

    Args:
        encoded: The encoded images, uint8 (n,), on the CPU.
        nodes: The feeds `START` and `SHAPE`, on the CPU.
        device: "cpu" or "gpu".
        hw_decoder_load: On a GPU, the share of a batch's JPEGs that its own decoder takes, 0..1. DALI chooses them by
            their rank in the batch, so above 0 a sample's pixels may depend on its neighbours.
    """
    fn = dali_fn()
    window = {"start": nodes[START], "shape": nodes[SHAPE], "axis_names": "HW"}
    colors = {"output_type": dali_types().RGB, "adjust_orientation": False}
    if device == "cpu":
        return fn.decoders.image_slice(encoded, device="cpu", **window, **colors)
    whole = fn.decoders.image(
        encoded, device="mixed", hw_decoder_load=hw_decoder_load, jpeg_fancy_upsampling=True, **colors
    )
    return fn.slice(whole, **window)
