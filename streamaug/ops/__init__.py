"""Every operation, one a file; each is a frozen record of its parameters, given to a `Recipe`."""

from streamaug.ops.affine import Affine
from streamaug.ops.annotations import Annotations
from streamaug.ops.base import Arguments, Border, Geometric, Operation, Photometric, StaticFrame
from streamaug.ops.center_crop import CenterCrop
from streamaug.ops.color_jitter import ColorJitter
from streamaug.ops.corner_crop import CORNERS, CornerCrop
from streamaug.ops.gaussian_blur import GaussianBlur
from streamaug.ops.horizontal_flip import HorizontalFlip
from streamaug.ops.output import Output
from streamaug.ops.perspective import Perspective
from streamaug.ops.random_resized_crop import RandomResizedCrop
from streamaug.ops.resize import Resize
from streamaug.ops.resize_shortest import ResizeShortest
from streamaug.ops.rotate import Rotate
from streamaug.ops.rotate_crop import RotateCrop
from streamaug.ops.vertical_flip import VerticalFlip

__all__ = [
    "CORNERS",
    "Affine",
    "Annotations",
    "Arguments",
    "Border",
    "CenterCrop",
    "ColorJitter",
    "CornerCrop",
    "GaussianBlur",
    "Geometric",
    "HorizontalFlip",
    "Operation",
    "Output",
    "Perspective",
    "Photometric",
    "RandomResizedCrop",
    "Resize",
    "ResizeShortest",
    "Rotate",
    "RotateCrop",
    "StaticFrame",
    "VerticalFlip",
]
