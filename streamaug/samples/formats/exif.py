"""The EXIF orientation, 1..8, from each block that may hold it; all formats use this reader.

In: an EXIF block (a TIFF structure), or an XMP packet. Out: the orientation, as `PIL.ImageOps.exif_transpose` takes it.
"""

import math
import re
import struct

from streamaug.encoded import Encoded

TAG = 0x0112
#: Numbers that Pillow takes, by their type: SHORT, LONG, SBYTE, SSHORT, SLONG, FLOAT, DOUBLE, IFD and LONG8; and
#: fractions: RATIONAL and SRATIONAL.
_NUMBERS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q"}
_FRACTIONS = {5: "II", 10: "ii"}
#: Bytes of one value of each type; BYTE, ASCII and UNDEFINED are text to Pillow.
_SIZES = {1: 1, 2: 1, 7: 1} | {kind: struct.calcsize(f"<{code}") for kind, code in (_NUMBERS | _FRACTIONS).items()}
#: Byte orders by the first four bytes; Pillow also takes a swapped 42, and a big-endian 43.
_ORDERS = {b"II*\0": "<", b"II\0*": "<", b"MM\0*": ">", b"MM*\0": ">", b"MM\0+": ">"}
_PREFIX = re.compile(rb"^(?:Exif\0\0){1,2}")
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
    block = _PREFIX.sub(b"", block)
    order = _ORDERS.get(block[:4])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        return of_directory(block, order, directory)
    except struct.error:
        return None


def of_directory(data: Encoded, order: str, directory: int) -> int | None:
    """The tag's value in a directory of a TIFF structure, as Pillow reads it: of several, the first that has a value.

    Args:
        data: The TIFF structure.
        order: "<" or ">".
        directory: Where the directory starts.

    Returns:
        The value; 0 for one that is no whole number; None without the tag, or where the values of a tag before it are
        cut off, since Pillow reads no further.

    Raises:
        struct.error: If the directory is cut off before the tag.
    """
    (count,) = struct.unpack_from(order + "H", data, directory)
    seen: set[int] = set()
    outside = 0  # bytes of values behind the directory
    for entry in range(count):
        at = directory + 2 + 12 * entry
        tag, kind, length = struct.unpack_from(order + "HHI4x", data, at)
        size = length * _SIZES.get(kind, 0)
        if tag in seen or not size:
            continue
        start = at + 8
        if size > 4:
            outside += size
            if outside > len(data):
                continue
            (start,) = struct.unpack_from(order + "I", data, start)
            if start + size > len(data):
                return None
        if tag == TAG:
            return _whole_number(data, order, kind, start)
        seen.add(tag)
    return None


def _whole_number(data: Encoded, order: str, kind: int, start: int) -> int:
    """The first value of a tag; 0 where it is no whole number."""
    if kind in _FRACTIONS:
        above, below = struct.unpack_from(order + _FRACTIONS[kind], data, start)
        return int(above // below) if below and above % below == 0 else 0
    if kind not in _NUMBERS:
        return 0
    (value,) = struct.unpack_from(order + _NUMBERS[kind], data, start)
    return int(value) if math.isfinite(value) and value == int(value) else 0
