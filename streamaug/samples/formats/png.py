"""PNG: size, orientation, and the end of the picture. Bytes behind the last chunk, IEND, do not matter."""

import struct
import zlib

from streamaug.encoded import Encoded
from streamaug.samples.formats import exif
from streamaug.samples.formats.header import Header, MalformedError

MAGIC = b"\x89PNG\r\n\x1a\n"

_CHUNK = struct.Struct(">I4s")
_PROFILE = b"Raw profile type exif"
_XMP = b"XML:com.adobe.xmp"


def read(data: Encoded, orientation: bool) -> Header:
    """The header of a PNG; see `image_header.inspect`."""
    if data[12:16] != b"IHDR":
        raise MalformedError("the PNG does not begin with an IHDR chunk")
    width, height = struct.unpack_from(">II", data, 16)
    chunks, end = _chunks(data)
    if b"IDAT" not in chunks:
        raise MalformedError("the PNG has no IDAT chunk, which would hold its pixels")
    turned = exif.orientation(_exif(data, chunks), _xmp(data, chunks)) if orientation else 1
    unlike = "an animated PNG" if b"acTL" in chunks else ""
    return Header(height, width, turned, None if end == len(data) else (0, end), unlike)


def _chunks(data: Encoded) -> tuple[dict[bytes, list[tuple[int, int]]], int]:
    """(start, stop) of the contents of the picture's chunks, by name, and where the last chunk ends."""
    chunks: dict[bytes, list[tuple[int, int]]] = {}
    position, further_frame = len(MAGIC), False
    while position + 12 <= len(data):
        length, name = _CHUNK.unpack_from(data, position)
        start = position + 8
        position = start + length + 4
        if position > len(data):
            break
        if name == b"IEND":
            return chunks, position
        # Chunks behind the first frame of an animation belong to other frames.
        further_frame = further_frame or (name == b"fcTL" and b"IDAT" in chunks)
        if not further_frame:
            chunks.setdefault(name, []).append((start, start + length))
    raise MalformedError("the PNG has no IEND chunk: it was cut off")


def _exif(data: Encoded, chunks: dict[bytes, list[tuple[int, int]]]) -> bytes | None:
    """The EXIF block of the last eXIf chunk, else of the text in which older programs wrote it."""
    for start, stop in chunks.get(b"eXIf", [])[-1:]:
        return bytes(data[start:stop])
    for name in (b"tEXt", b"zTXt"):
        for start, stop in chunks.get(name, []):
            keyword, _, text = bytes(data[start:stop]).partition(b"\0")
            if keyword == _PROFILE:
                try:
                    lines = (zlib.decompress(text[1:]) if name == b"zTXt" else text).split(b"\n")
                    return bytes.fromhex(b"".join(lines[3:]).decode("ascii"))
                except (ValueError, zlib.error):
                    return None
    return None


def _xmp(data: Encoded, chunks: dict[bytes, list[tuple[int, int]]]) -> bytes | None:
    """The XMP packet of an iTXt chunk, if it is not compressed."""
    for start, stop in chunks.get(b"iTXt", []):
        keyword, _, rest = bytes(data[start:stop]).partition(b"\0")
        if keyword == _XMP and rest[:1] == b"\0":
            return rest
    return None
