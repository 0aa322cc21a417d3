"""Stored images as a page or a sheet shows them: with the gray levels that training gets, also of 16 bits.

In: the bytes of an image. Out: Pillow's image, RGB; or None, where no picture can be shown. It reads no file.
"""

import io
import warnings
from typing import TYPE_CHECKING

from streamaug.dali.decodable import UndecodableError, decodable, levels
from streamaug.samples.formats.jpeg2000 import has_deep_colors
from streamaug.samples.image_header import Header, inspect

if TYPE_CHECKING:
    from PIL import Image


def picture(data: bytes, *, upright: bool = False) -> "Image.Image | None":
    """The image as RGB.

    Args:
        data: An encoded image.
        upright: Whether to turn it by its orientation tag.
    """
    from PIL import Image, ImageOps

    header = inspect(data)
    if isinstance(header, Header) and has_deep_colors(data):
        return _by_dali(data, header)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata and of sizes
            opened = Image.open(io.BytesIO(data))
            return Image.fromarray(levels(ImageOps.exif_transpose(opened) if upright else opened))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, UndecodableError):
        return None


def _by_dali(data: bytes, header: Header) -> "Image.Image | None":
    """A JPEG 2000 that Pillow decodes to another picture; such files have no orientation tag."""
    from PIL import Image

    from streamaug.dali.sample_decoder import RefusedError, SampleDecoder  # imports torch

    (encoded,) = decodable([(data, header)], num_threads=1)
    if isinstance(encoded, UndecodableError):
        return None
    try:
        return Image.fromarray(SampleDecoder().decode(encoded, (0, 0), header[:2]).numpy())
    except RefusedError:
        return None
