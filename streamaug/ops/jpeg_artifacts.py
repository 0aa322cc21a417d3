"""The traces of JPEG compression."""

from dataclasses import dataclass

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node, where

_UNTOUCHED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegArtifacts(Photometric):
    """Compress and decompress, with halved chroma resolution.

    Args:
        quality: Range of the quality, whole numbers 1..100, both ends included; one number q means (q, q). 100 leaves
            the image unchanged, which a JPEG of that quality would not.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered, a value is not whole, or it lies outside its bounds.
    """

    quality: RangeLike = (30, 90)
    probability: float = 1.0

    draws = 1

    def __post_init__(self) -> None:
        fields.whole_range(self, "quality", low=1, high=_UNTOUCHED)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """`quality`; and, where 100 can occur, `compressed`: whether a sample has less."""
        quality = fields.whole_between(self.quality, draws[:, 0])
        parameters: Parameters = {"quality": quality.astype(np.int32)}
        if fields.bounds(self.quality)[1] == _UNTOUCHED:
            parameters["compressed"] = quality < _UNTOUCHED
        return parameters

    def build(self, image: Node, arguments: Arguments) -> Node:

        def compress(image: Node, quality: Node) -> Node:
            return arguments.fn.jpeg_compression_distortion(image, quality=quality)

        if "compressed" in arguments.nodes:
            return where(arguments["compressed"], [image, arguments["quality"]], compress)
        return compress(image, arguments["quality"])
