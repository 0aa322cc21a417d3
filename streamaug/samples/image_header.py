"""The header of an encoded image: its size, its orientation, and whether its bytes are whole.

In: the bytes of one file. Out: a `Header`, or the reason why the sample cannot be used. The verdict depends on the
bytes alone, neither on the window that is decoded nor on the decoder. It never touches pixels.
"""

import struct
from collections.abc import Callable

from streamaug.encoded import Encoded
from streamaug.samples.formats import bmp, jpeg, jpeg2000, png, tiff, unread, webp
from streamaug.samples.formats.header import Header, MalformedError

__all__ = ["MAX_PIXELS", "Header", "inspect", "starts_at_front"]

#: Larger images are refused, as Pillow refuses them: 2 · Image.MAX_IMAGE_PIXELS, 0.5 GB decoded.
MAX_PIXELS = 178_956_970

_FORMATS: tuple[tuple[bytes, Callable[[Encoded, bool], Header]], ...] = (
    (jpeg.MAGIC, jpeg.read),
    (png.MAGIC, png.read),
    (webp.MAGIC, webp.read),
    (tiff.LITTLE, tiff.read),
    (tiff.BIG, tiff.read),
    (jpeg2000.FILE, jpeg2000.read_file),
    (jpeg2000.STREAM, jpeg2000.read_stream),
    (bmp.MAGIC, bmp.read),
)
_IN_ORDER = (jpeg.MAGIC, png.MAGIC, webp.MAGIC, bmp.MAGIC)


def starts_at_front(data: Encoded) -> bool:
    """Whether decoding any pixel begins with the first one: not in TIFF and JPEG 2000, with their tiles."""
    return any(data[: len(magic)] == magic for magic in _IN_ORDER)


def inspect(data: Encoded, *, orientation: bool = False, max_pixels: int = MAX_PIXELS) -> Header | str:
    """The header of an image, or the reason why it cannot be used.

    Args:
        data: The encoded image: JPEG, PNG, WebP, TIFF, JPEG 2000 or BMP.
        orientation: Whether to read the EXIF orientation; otherwise it is 1.
        max_pixels: Images with more pixels are refused; by default those that Pillow calls decompression bombs, so that
            `streamaug check --decode` and training agree.

    Returns:
        A `Header`, or a line that gives the problem: an unknown magic number, a header that does not parse, an image
        that was cut off before its own end, no pixels, or too many. Bytes behind the end do not matter.
    """
    for magic, read in _FORMATS:  # noqa: B007 - used behind the loop
        if data[: len(magic)] == magic:
            break
    else:
        if not len(data):
            return "it is empty"
        start = bytes(data[:8]).hex()
        return f"the bytes start with 0x{start}, which is no image format that can be read{unread.kind(data)}"
    try:
        header = read(data, orientation)
    except MalformedError as problem:
        return str(problem)
    except (IndexError, struct.error):
        return "its header is cut off"
    if header.height < 1 or header.width < 1:
        return f"its header says {header.width}×{header.height} pixels"
    if header.height * header.width > max_pixels:
        return f"its {header.width}×{header.height} pixels are more than the limit of {max_pixels}"
    return header
