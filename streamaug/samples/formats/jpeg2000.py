"""JPEG 2000, as a file of boxes or as a bare codestream: size, and whether all tile parts are there.

DALI decodes the common forms; it refuses gray with alpha and bare gray codestreams, which Pillow decodes.
"""

import struct
from typing import NamedTuple

from streamaug.encoded import Encoded
from streamaug.samples.formats.header import Header, MalformedError

FILE = b"\0\0\0\x0cjP  \r\n\x87\n"
STREAM = b"\xff\x4f\xff\x51"

_START_OF_TILE, _END = 0xFF90, 0xFFD9
#: Enumerated colour spaces that need no conversion: sRGB and gray.
_PLAIN_SPACES = (16, 17)


class _Stream(NamedTuple):
    height: int
    width: int
    components: int
    subsampled: bool
    depth: str
    stop: int


def read_file(data: Encoded, _: bool) -> Header:
    """The header of a JPEG 2000 file; see `image_header.inspect`."""
    boxes = _boxes(data, 0, len(data))
    if b"jp2h" not in boxes or b"jp2c" not in boxes:
        raise MalformedError("the JPEG 2000 file has no header box or no codestream")
    header = _boxes(data, *boxes[b"jp2h"])
    if b"ihdr" not in header:
        raise MalformedError("the JPEG 2000 file has no ihdr box")
    height, width, components = struct.unpack_from(">IIH", data, header[b"ihdr"][0])
    stream = _stream(data, *boxes[b"jp2c"])
    unlike = ""
    if components not in (1, 3, 4) or stream.subsampled or b"pclr" in header or not _plain_space(data, header):
        unlike = f"a JPEG 2000 file of {components} components with a colour space of its own"
    elif stream.depth:
        unlike = f"a JPEG 2000 file of {stream.depth}"
    return Header(height, width, unlike=unlike)


def read_stream(data: Encoded, _: bool) -> Header:
    """The header of a bare JPEG 2000 codestream; see `image_header.inspect`."""
    stream = _stream(data, 0, len(data))
    unlike = ""
    if stream.components not in (3, 4) or stream.subsampled:
        unlike = f"a JPEG 2000 codestream of {stream.components} components"
    elif stream.depth:
        unlike = f"a JPEG 2000 codestream of {stream.depth}"
    span = None if stream.stop == len(data) else (0, stream.stop)
    return Header(stream.height, stream.width, 1, span, unlike)


def _plain_space(data: Encoded, header: dict[bytes, tuple[int, int]]) -> bool:
    """Whether the colour space is sRGB, gray, or a profile's, which neither DALI nor Pillow applies."""
    if b"colr" not in header:
        return True
    start = header[b"colr"][0]
    return data[start] != 1 or struct.unpack_from(">I", data, start + 3)[0] in _PLAIN_SPACES


def _boxes(data: Encoded, position: int, stop: int) -> dict[bytes, tuple[int, int]]:
    """(start, stop) of the contents of the first box of each name."""
    boxes: dict[bytes, tuple[int, int]] = {}
    while position + 8 <= stop:
        length, name = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = stop if length == 0 else position + length
        if end < start:
            raise MalformedError(f"a JPEG 2000 box of length {length} at byte {position}")
        boxes.setdefault(name, (start, end))
        position = end
    return boxes


def _stream(data: Encoded, start: int, stop: int) -> _Stream:
    """The size of a codestream, and the end of its end marker."""
    if stop > len(data):
        raise MalformedError(f"the JPEG 2000 codestream ends at byte {stop} of {len(data)}: it was cut off")
    if data[start : start + 4] != STREAM:
        raise MalformedError("a JPEG 2000 codestream must begin with its size")
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    sampling = [tuple(data[start + 43 + 3 * number : start + 45 + 3 * number]) for number in range(components)]
    depth = _rare_depth(set(data[start + 42 : start + 42 + 3 * components : 3]), components)
    position = start + 2
    while position + 2 <= stop:
        (marker,) = struct.unpack_from(">H", data, position)
        if marker == _END:
            return _Stream(bottom - top, right - left, components, set(sampling) != {(1, 1)}, depth, position + 2)
        if marker == _START_OF_TILE:
            (length,) = struct.unpack_from(">I", data, position + 6)
            if length == 0:  # the last tile part, up to the end marker
                end = bytes(data[position:stop]).rfind(b"\xff\xd9")
                length = end if end > 0 else stop
            position += length
        else:
            (length,) = struct.unpack_from(">H", data, position + 2)
            position += 2 + length
        if length < 2:
            break
    raise MalformedError("the JPEG 2000 codestream has no end marker: it was cut off")


def _rare_depth(depths: set[int], components: int) -> str:
    """The components' depth, as "12 bits", where DALI refuses it or takes it for 16 bits; "" for 8 and 16 bits.

    Args:
        depths: The depths less 1 of the components, with bit 7 set for signed ones.
        components: The number of components.

    Raises:
        MalformedError: If Pillow does not decode it either: in colours of more than 8 bits white becomes black.
    """
    if depths in (set(), {7}, {15}):
        return ""
    bits = max((depth & 0x7F) + 1 for depth in depths)
    if components > 1 and bits > 8:
        raise MalformedError(
            f"a JPEG 2000 with colours of {bits} bits, whose white turns black where it is decoded: write its pixels "
            "as 8 or 16 bits"
        )
    return f"{bits} bits"
