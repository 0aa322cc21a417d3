"""WebP: size, orientation, and the chunk that holds the picture.

nvImageCodec misreads the extended form where a chunk has an odd length, so DALI gets the picture's chunk alone, as a
WebP of the simple form. Pillow decodes animations, and puts the first frame on the canvas.
"""

import struct

from streamaug.encoded import Encoded
from streamaug.samples.formats import exif
from streamaug.samples.formats.header import Header, MalformedError

MAGIC = b"RIFF"

_CHUNK = struct.Struct("<4sI")
_HAS_EXIF, _HAS_XMP, _ANIMATED = 8, 4, 2


def read(data: Encoded, orientation: bool) -> Header:
    """The header of a WebP; see `image_header.inspect`."""
    if data[8:12] != b"WEBP":
        raise MalformedError("a RIFF file that is no WebP")
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise MalformedError(f"the WebP says {size + 8} bytes and has {len(data)}: it was cut off")
    if data[12:16] != b"VP8X":
        height, width, span = _picture(data, 12)
        return Header(height, width, 1, None if len(data) <= size + 9 else span)
    flags = data[20]
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    chunks = _chunks(data, size + 8)
    turned = 1
    if orientation:
        blocks = [
            chunks.get(name) if flags & flag else None for name, flag in ((b"EXIF", _HAS_EXIF), (b"XMP ", _HAS_XMP))
        ]
        turned = exif.orientation(*(None if block is None else bytes(data[slice(*block)]) for block in blocks))
    if flags & _ANIMATED:
        return Header(height, width, turned, None, "an animated WebP")
    start = next((chunks[name][0] for name in (b"VP8 ", b"VP8L") if name in chunks), None)
    if start is None:
        raise MalformedError("a WebP without an image chunk")
    *frame, span = _picture(data, start - 8)
    if frame != [height, width]:
        raise MalformedError(f"the WebP says {width}×{height} pixels and its picture {frame[1]}×{frame[0]}")
    return Header(height, width, turned, span)


def simple(data: Encoded, span: tuple[int, int]) -> bytes:
    """A WebP of the simple form with the chunk at `span` alone."""
    picture = bytes(data[slice(*span)])
    picture += b"\0" * (len(picture) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(picture)) + b"WEBP" + picture


def _picture(data: Encoded, position: int) -> tuple[int, int, tuple[int, int]]:
    """Height and width of the picture in the chunk at `position`, and the chunk's (start, stop)."""
    name, length = _CHUNK.unpack_from(data, position)
    span = (position, position + 8 + length)
    if span[1] > len(data):
        raise MalformedError(f"the WebP's picture ends at byte {span[1]} of {len(data)}: it was cut off")
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, position + 14)
        return height & 0x3FFF, width & 0x3FFF, span
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, position + 9)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, span
    raise MalformedError("a WebP without an image chunk")


def _chunks(data: Encoded, end: int) -> dict[bytes, tuple[int, int]]:
    """(start, stop) of the contents of the first chunk of each name."""
    chunks: dict[bytes, tuple[int, int]] = {}
    position = 12
    while position + 8 <= end:
        name, length = _CHUNK.unpack_from(data, position)
        stop = position + 8 + length
        if stop > end:
            raise MalformedError(f"a chunk of the WebP ends at byte {stop} of {end}: it was cut off or damaged")
        chunks.setdefault(name, (position + 8, stop))
        position = stop + length % 2
    return chunks
