"""The EXIF orientation, 1..8, from each block that may hold it; all formats use this reader.

In: an EXIF block (a TIFF structure), or an XMP packet. Out: the orientation, as `PIL.ImageOps.exif_transpose` takes it.
"""

import re
import struct

from streamaug.encoded import Encoded

TAG = 0x0112
#: Types of whole numbers that Pillow takes: SHORT, LONG, and the signed ones.
_NUMBERS = {3: "H", 4: "I", 8: "h", 9: "i"}
_PREFIX = b"Exif\0\0"
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation(exif: bytes | None, xmp: bytes | None = None) -> int:
    """The orientation of an image.

    Args:
        exif: Its EXIF block, with or without "Exif" in front; None: the image has no EXIF block.
        xmp: Its XMP packet, which counts where the EXIF block has no orientation; None: the image has no packet.

    Returns:
        1..8; 1 where neither has an orientation in this range.
    """
    return either(None if exif is None else _of_exif(exif), xmp)


def either(value: int | None, xmp: bytes | None) -> int:
    """The orientation 1..8 of a tag's value, or, where there is no such tag, of an XMP packet."""
    if value is None and xmp is not None:
        match = _XMP.search(xmp)
        value = None if match is None else int(match[1])
    return value if value is not None and 1 <= value <= 8 else 1


def _of_exif(block: bytes) -> int | None:
    """The tag's value in an EXIF block; None where there is no such tag, or the structure is damaged before it."""
    while block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        return of_directory(block, order, directory)
    except struct.error:
        return None


def of_directory(data: Encoded, order: str, directory: int) -> int | None:
    """The tag's value in a directory of a TIFF structure; 0 for a type that Pillow refuses; None without the tag.

    Args:
        data: The TIFF structure.
        order: "<" or ">".
        directory: Where the directory starts.

    Raises:
        struct.error: If the directory is cut off before the tag.
    """
    (count,) = struct.unpack_from(order + "H", data, directory)
    for entry in range(count):
        at = directory + 2 + 12 * entry
        tag, kind, length = struct.unpack_from(order + "HHI", data, at)
        if tag == TAG:
            if kind not in _NUMBERS or length != 1:
                return 0
            return int(struct.unpack_from(order + _NUMBERS[kind], data, at + 8)[0])
    return None
