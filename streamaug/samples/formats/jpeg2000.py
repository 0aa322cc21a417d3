"""JPEG 2000, as a file of boxes or as a bare codestream: size, and whether all tile parts are there.

DALI decodes the common forms; it refuses gray with alpha and bare gray codestreams, which Pillow decodes. Where several
components have more than 8 bits Pillow rounds the highest levels up to 256, and stores 0 for them: white becomes black
(Pillow 13.0.0; DALI, ffmpeg and OpenJPEG agree on another picture, which is that of the array that was encoded).
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
    bits: int
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
    _refuse_black_whites(stream, unlike)
    return Header(height, width, unlike=unlike)


def read_stream(data: Encoded, _: bool) -> Header:
    """The header of a bare JPEG 2000 codestream; see `image_header.inspect`."""
    stream = _stream(data, 0, len(data))
    unlike = ""
    if stream.components not in (3, 4) or stream.subsampled:
        unlike = f"a JPEG 2000 codestream of {stream.components} components"
    elif stream.depth:
        unlike = f"a JPEG 2000 codestream of {stream.depth}"
    _refuse_black_whites(stream, unlike)
    span = None if stream.stop == len(data) else (0, stream.stop)
    return Header(stream.height, stream.width, 1, span, unlike)


def has_deep_colors(data: Encoded) -> bool:
    """Whether it is a JPEG 2000 of several components with more than 8 bits, whose white Pillow turns black."""
    if data[:4] == STREAM:
        start = 0
    elif data[: len(FILE)] == FILE:
        start = _boxes(data, 0, len(data)).get(b"jp2c", (len(data), 0))[0]
    else:
        return False
    if start + 42 > len(data):
        return False
    depths = _depths(data, start)
    return len(depths) > 1 and _bits(depths) > 8


def _refuse_black_whites(stream: _Stream, unlike: str) -> None:
    """Refuse a form that DALI does not take where Pillow, which would decode it, turns its white black."""
    if unlike and stream.components > 1 and stream.bits > 8:
        raise MalformedError(
            f"a JPEG 2000 with colours of {stream.bits} bits, whose white turns black where it is decoded: write its "
            "pixels as 8 bits, or as RGB of 16 bits"
        )


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
    depths = _depths(data, start)
    bits, depth = _bits(depths), _rare_depth(set(depths))
    position = start + 2
    while position + 2 <= stop:
        (marker,) = struct.unpack_from(">H", data, position)
        if marker == _END:
            is_subsampled = set(sampling) != {(1, 1)}
            return _Stream(bottom - top, right - left, components, is_subsampled, bits, depth, position + 2)
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


def _depths(data: Encoded, start: int) -> bytes:
    """The depths less 1 of a codestream's components, with bit 7 set for signed ones."""
    (components,) = struct.unpack_from(">H", data, start + 40)
    return bytes(data[start + 42 : start + 42 + 3 * components : 3])


def _bits(depths: bytes) -> int:
    """The bits of the deepest component; 0 without components."""
    return max(((depth & 0x7F) + 1 for depth in depths), default=0)


def _rare_depth(depths: set[int]) -> str:
    """The components' depth, as "12 bits", where DALI refuses it or takes it for 16 bits; "" for 8 and 16 bits."""
    return "" if depths in (set(), {7}, {15}) else f"{_bits(bytes(depths))} bits"
