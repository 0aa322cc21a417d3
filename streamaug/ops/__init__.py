"""Every operation, one a file; each is a frozen record of its parameters, given to a `Recipe`."""

from streamaug.ops.affine import Affine
from streamaug.ops.auto_augment import AutoAugment
from streamaug.ops.auto_contrast import AutoContrast
from streamaug.ops.base import Border, Geometric, Operation, Photometric, StaticFrame
from streamaug.ops.center_crop import CenterCrop
from streamaug.ops.color_jitter import ColorJitter
from streamaug.ops.corner_crop import CORNERS, CornerCrop
from streamaug.ops.equalize import Equalize
from streamaug.ops.erase import Erase
from streamaug.ops.gamma import Gamma
from streamaug.ops.gaussian_blur import GaussianBlur
from streamaug.ops.gaussian_noise import GaussianNoise
from streamaug.ops.grayscale import Grayscale
from streamaug.ops.grid_mask import GridMask
from streamaug.ops.horizontal_flip import HorizontalFlip
from streamaug.ops.invert import Invert
from streamaug.ops.jpeg_artifacts import JpegArtifacts
from streamaug.ops.letterbox import Letterbox
from streamaug.ops.motion_blur import MotionBlur
from streamaug.ops.nodes import Arguments
from streamaug.ops.pad import Pad
from streamaug.ops.perspective import Perspective
from streamaug.ops.policy import Policy
from streamaug.ops.posterize import Posterize
from streamaug.ops.rand_augment import RandAugment
from streamaug.ops.random_box_safe_crop import RandomBoxSafeCrop
from streamaug.ops.random_choice import RandomChoice
from streamaug.ops.random_crop import RandomCrop
from streamaug.ops.random_resized_crop import RandomResizedCrop
from streamaug.ops.resize import Resize
from streamaug.ops.resize_shortest import ResizeShortest
from streamaug.ops.rotate import Rotate
from streamaug.ops.rotate_crop import RotateCrop
from streamaug.ops.salt_and_pepper import SaltAndPepper
from streamaug.ops.sharpen import Sharpen
from streamaug.ops.shot_noise import ShotNoise
from streamaug.ops.solarize import Solarize
from streamaug.ops.trivial_augment_wide import TrivialAugmentWide
from streamaug.ops.vertical_flip import VerticalFlip

__all__ = [
    "CORNERS",
    "Affine",
    "Arguments",
    "AutoAugment",
    "AutoContrast",
    "Border",
    "CenterCrop",
    "ColorJitter",
    "CornerCrop",
    "Equalize",
    "Erase",
    "Gamma",
    "GaussianBlur",
    "GaussianNoise",
    "Geometric",
    "Grayscale",
    "GridMask",
    "HorizontalFlip",
    "Invert",
    "JpegArtifacts",
    "Letterbox",
    "MotionBlur",
    "Operation",
    "Pad",
    "Perspective",
    "Photometric",
    "Policy",
    "Posterize",
    "RandAugment",
    "RandomBoxSafeCrop",
    "RandomChoice",
    "RandomCrop",
    "RandomResizedCrop",
    "Resize",
    "ResizeShortest",
    "Rotate",
    "RotateCrop",
    "SaltAndPepper",
    "Sharpen",
    "ShotNoise",
    "Solarize",
    "StaticFrame",
    "TrivialAugmentWide",
    "VerticalFlip",
]
