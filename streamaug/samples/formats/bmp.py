"""BMP: size, and whether all rows are there. DALI decodes the plain forms, 8 and 24 bits a pixel, Pillow the others."""

import struct

from streamaug.encoded import Encoded
from streamaug.samples.formats.header import Header, MalformedError

MAGIC = b"BM"

_OLD_HEADER = 12


def read(data: Encoded, _: bool) -> Header:
    """The header of a BMP; see `image_header.inspect`."""
    (start,) = struct.unpack_from("<I", data, 10)
    (size,) = struct.unpack_from("<I", data, 14)
    if size == _OLD_HEADER:
        width, height, _planes, bits = struct.unpack_from("<HHHH", data, 18)
        return Header(height, width, unlike="a BMP with a header of OS/2")
    width, height, _planes, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)
    if compression or bits not in (8, 24):
        return Header(height, width, unlike=f"a BMP of {bits} bits with compression {compression}")
    needed = start + (width * bits + 31) // 32 * 4 * height
    if needed > len(data):
        raise MalformedError(f"the BMP's rows end at byte {needed} of {len(data)}: it was cut off")
    return Header(height, width)
