"""What an encoded image says of itself: its size, its orientation, and whether its bytes are whole.

In: the bytes of one file. Out: a `Header`, or the reason why the sample cannot be used. The verdict depends on the
bytes alone, so it is the same whatever is decoded of the image, and by whom. Pixels are never touched.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

Encoded = bytes | bytearray | memoryview

#: Larger images are refused, as Pillow refuses them: 2 · Image.MAX_IMAGE_PIXELS, 0.5 GB decoded.
MAX_PIXELS = 178_956_970
#: How far from the end the end marker of a JPEG or PNG may lie; some writers pad.
TAIL = 64

#: PNG's last chunk has no data, so its check sum is always the same.
_PNG_END = b"IEND\xaeB`\x82"
_UINT16 = struct.Struct(">H")
_FRAME = struct.Struct(">HH")
#: SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


class Header(NamedTuple):
    """Size and orientation of an encoded image.

    Attributes:
        height: Pixels, as stored (before any orientation).
        width: Pixels, as stored.
        orientation: EXIF orientation 1..8; 1 unless asked for.
    """

    height: int
    width: int
    orientation: int = 1


def starts_at_front(data: Encoded) -> bool:
    """Whether decoding any pixel begins with the first: not so in TIFF and JPEG 2000, whose tiles stand alone."""
    return any(data[: len(magic)] == magic for magic in _IN_ORDER)


class _MalformedError(Exception):
    """The reason why a header is refused."""


def inspect(data: Encoded, *, orientation: bool = False, max_pixels: int = MAX_PIXELS) -> Header | str:
    """The header of an image, or the reason why it cannot be used.

    Args:
        data: The encoded image: JPEG, PNG, WebP, TIFF, JPEG 2000 or BMP.
        orientation: Whether to read a JPEG's EXIF orientation; otherwise it is 1.
        max_pixels: Images with more pixels are refused; by default from where Pillow calls them decompression bombs, so
            that `streamaug check --decode` and training agree.

    Returns:
        A `Header`, or one line that says what is wrong: unknown magic, a header that does not parse, a missing end
        marker (JPEG's EOI or PNG's IEND within the last 64 bytes), no pixels, or too many.
    """
    read = next((reader for magic, reader in _FORMATS if data[: len(magic)] == magic), None)
    if read is None:
        start = bytes(data[:8]).hex()
        return f"the bytes start with 0x{start}, which is no image format that is known" if start else "it is empty"
    try:
        header = read(data, orientation)
    except _MalformedError as problem:
        return str(problem)
    except (IndexError, struct.error):
        return "its header is cut off"
    if header.height < 1 or header.width < 1:
        return f"its header says {header.width}×{header.height} pixels"
    if header.height * header.width > max_pixels:
        return f"its {header.width}×{header.height} pixels are more than the limit of {max_pixels}"
    return header


def _jpeg(data: Encoded, orientation: bool) -> Header:
    if b"\xff\xd9" not in bytes(data[-TAIL:]):
        raise _MalformedError("the JPEG has no end-of-image marker: it was cut off")
    position, turned, end = 2, 1, len(data)
    while position + 4 <= end:
        if data[position] != 0xFF:
            raise _MalformedError(f"no JPEG marker where one must be, at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if marker in _FRAME_MARKERS:
            height, width = _FRAME.unpack_from(data, position + 5)
            return Header(height, width, turned)
        if marker in (0xD9, 0xDA):
            break
        (length,) = _UINT16.unpack_from(data, position + 2)
        if length < 2:
            raise _MalformedError(f"a JPEG segment of length {length} at byte {position}")
        if orientation and marker == 0xE1 and turned == 1 and data[position + 4 : position + 10] == b"Exif\0\0":
            turned = _exif_orientation(bytes(data[position + 10 : position + 2 + length]))
        position += 2 + length
    raise _MalformedError("the JPEG has no frame header")


def _exif_orientation(exif: bytes) -> int:
    """The orientation tag of a TIFF structure, 1 where there is none or the structure is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(count):
            tag, kind = struct.unpack_from(order + "HH", exif, directory + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3:
                (value,) = struct.unpack_from(order + "H", exif, directory + 2 + 12 * entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _png(data: Encoded, _: bool) -> Header:
    if data[12:16] != b"IHDR":
        raise _MalformedError("the PNG does not begin with an IHDR chunk")
    if _PNG_END not in bytes(data[-TAIL:]):
        raise _MalformedError("the PNG has no IEND chunk: it was cut off")
    width, height = struct.unpack_from(">II", data, 16)
    return Header(height, width)


def _webp(data: Encoded, _: bool) -> Header:
    if data[8:12] != b"WEBP":
        raise _MalformedError("a RIFF file that is no WebP")
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise _MalformedError(f"the WebP says {size + 8} bytes and has {len(data)}: it was cut off")
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header(height & 0x3FFF, width & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Header(height, width)
    raise _MalformedError("a WebP without an image chunk")


def _tiff(data: Encoded, _: bool) -> Header:
    order = "<" if data[0] == 0x49 else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    found: dict[int, int] = {}
    for entry in range(count):
        at = directory + 2 + 12 * entry
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (0x100, 0x101) and kind in (3, 4):
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
    if len(found) < 2:
        raise _MalformedError("the TIFF's directory does not say its size")
    return Header(found[0x101], found[0x100])


def _jpeg2000_file(data: Encoded, _: bool) -> Header:
    at = bytes(data[:512]).find(b"ihdr")
    if at < 0:
        raise _MalformedError("the JPEG 2000 file has no ihdr box")
    height, width = struct.unpack_from(">II", data, at + 4)
    return Header(height, width)


def _jpeg2000_stream(data: Encoded, _: bool) -> Header:
    right, bottom, left, top = struct.unpack_from(">IIII", data, 8)
    return Header(bottom - top, right - left)


def _bmp(data: Encoded, _: bool) -> Header:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return Header(abs(height), width)


_IN_ORDER = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM")
_FORMATS: tuple[tuple[bytes, Callable[[Encoded, bool], Header]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"RIFF", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _jpeg2000_file),
    (b"\xff\x4f\xff\x51", _jpeg2000_stream),
    (b"BM", _bmp),
)
