"""TIFF: size, orientation, and whether all strips or tiles are there.

DALI decodes the common forms: chunky gray, RGB, RGBA and palette images of 8 or 16 bits, not compressed. Pillow decodes
the others: DALI passes planar, CMYK and white-is-zero images to OpenCV, which turns them by their orientation; it
misreads gray with alpha and Lab; and it does not notice errors in compressed pixels.
"""

import struct
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from streamaug.encoded import Encoded
from streamaug.samples.formats import exif
from streamaug.samples.formats.header import Header, MalformedError

LITTLE, BIG = b"II*\0", b"MM\0*"

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_OFFSETS, _TILE_BYTES, _EXTRA, _FORMAT, _XMP = 324, 325, 338, 339, 700
_SHORT, _LONG = 3, 4
_TYPES = {1: "B", _SHORT: "H", _LONG: "I", 7: "B"}
#: Tags of which DALI refuses any other type than SHORT and LONG.
_DALI_READS = (_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, exif.TAG, _SAMPLES, _ROWS, _PLANAR, _EXTRA, _FORMAT)
#: Those of them of which DALI refuses more than one value.
_SINGLE = frozenset(_DALI_READS) - {_BITS, _EXTRA, _FORMAT}
#: Values of tags: pixels as floating-point numbers, each sample in a plane of its own, YCbCr, palette.
_FLOAT, _PLANAR_YES, _YCBCR, _PALETTE = 3, 2, 6, 3
#: A tag that no reader uses.
_UNKNOWN = 65535
#: (photometric interpretation, samples a pixel) that DALI decodes: gray, RGB, RGBA, palette.
_PLAIN_COLORS = ((1, 1), (2, 3), (2, 4), (3, 1))
#: Photometric interpretations by name, for messages.
_NAMES = {0: "white-is-zero", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab"}


class _Directory:
    """The first directory of a TIFF: the values of its tags."""

    def __init__(self, data: Encoded) -> None:
        self.data = data
        self.order = "<" if data[0] == 0x49 else ">"
        (self.start,) = struct.unpack_from(self.order + "I", data, 4)
        (count,) = struct.unpack_from(self.order + "H", data, self.start)
        self._entries: dict[int, tuple[int, int, int]] = {}
        self._places: dict[int, list[int]] = {}
        for entry in range(count):
            at = self.start + 2 + 12 * entry
            tag, kind, length = struct.unpack_from(self.order + "HHI", data, at)
            self._entries.setdefault(tag, (kind, length, at + 8))
            self._places.setdefault(tag, []).append(at)

    def array(self, tag: int) -> npt.NDArray[np.int64]:
        """All values of a tag of whole numbers; empty where it is missing or of another type."""
        kind, length, at = self._entries.get(tag, (0, 0, 0))
        if kind not in _TYPES:
            return np.zeros(0, np.int64)
        dtype = np.dtype(self.order + {"B": "u1", "H": "u2", "I": "u4"}[_TYPES[kind]])
        if length * dtype.itemsize > 4:
            (at,) = struct.unpack_from(self.order + "I", self.data, at)
        if at + length * dtype.itemsize > len(self.data):
            raise MalformedError(f"the values of TIFF tag {tag} end behind its {len(self.data)} bytes: it was cut off")
        return np.frombuffer(self.data, dtype, length, at).astype(np.int64)

    def other_than(self, kinds: Collection[int], tags: Collection[int], single: Collection[int]) -> int | None:
        """The first of some tags of another type than these, or of `single` with several values; None: no tag is."""
        for tag in tags:
            kind, length, _ = self._entries.get(tag, (0, 0, 0))
            if length and (kind not in kinds or (length > 1 and tag in single)):
                return tag
        return None

    def places(self, tag: int) -> list[int]:
        """Where the entries of a tag start; a damaged directory has several."""
        return self._places.get(tag, [])

    def first(self, tag: int, default: int) -> int:
        """The first value of a tag, or the default."""
        values = self.array(tag)
        return int(values[0]) if len(values) else default


def read(data: Encoded, orientation: bool) -> Header:
    """The header of a TIFF; see `image_header.inspect`."""
    directory = _Directory(data)
    height, width = directory.first(_HEIGHT, 0), directory.first(_WIDTH, 0)
    if not len(directory.array(_HEIGHT)) or not len(directory.array(_WIDTH)):
        raise MalformedError("the TIFF's directory does not say its size")
    turned = 1
    if orientation:
        packet = directory.array(_XMP).astype(np.uint8).tobytes()
        turned = exif.either(exif.of_directory(data, directory.order, directory.start), packet)
    unlike = _unlike(directory)
    _check_whole(directory, height, width)
    return Header(height, width, turned, None, unlike)


def _unlike(directory: _Directory) -> str:
    """The form of a TIFF that DALI does not decode like Pillow; "" for the plain forms."""
    bits, samples = directory.array(_BITS), directory.first(_SAMPLES, 1)
    photometric, compression = directory.first(_PHOTOMETRIC, 0), directory.first(_COMPRESSION, 1)
    depths = sorted(set(bits.tolist())) or [1]
    if directory.first(_FORMAT, 1) == _FLOAT or max(depths) > 16:
        raise MalformedError(
            f"a TIFF of {'floating-point' if directory.first(_FORMAT, 1) == _FLOAT else '32-bit'} numbers, whose black "
            "and white no tag says: write its pixels as 8 or 16 bits"
        )
    if directory.first(_PLANAR, 1) == _PLANAR_YES and samples > 1:
        return "a planar TIFF"
    if (photometric, samples) not in _PLAIN_COLORS:
        return f"a TIFF of {samples} samples a pixel, {_NAMES.get(photometric, f'photometric {photometric}')}"
    if samples == 4 and directory.first(_EXTRA, 2) == 1:
        return "a TIFF with colours multiplied by their alpha"
    if depths not in ([8], [16]) or (photometric, depths) == (_PALETTE, [16]) or directory.first(_FORMAT, 1) != 1:
        return f"a TIFF of {depths[0]} bits, sample format {directory.first(_FORMAT, 1)}"
    odd = directory.other_than((_SHORT, _LONG), _DALI_READS, _SINGLE)
    if odd is not None:
        return f"a TIFF whose tag {odd} has an unusual type or number of values"
    if compression != 1:
        return f"a TIFF with compression {compression}"
    return ""


def _check_whole(directory: _Directory, height: int, width: int) -> None:
    """Refuse a TIFF whose strips or tiles lie beyond its end."""
    tiled = len(directory.array(_TILE_OFFSETS)) > 0
    offsets = directory.array(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    if not len(offsets):
        raise MalformedError("the TIFF's directory does not say where its pixels are")
    sizes = directory.array(_TILE_BYTES if tiled else _STRIP_BYTES)
    if not tiled and directory.first(_COMPRESSION, 1) == 1 and directory.first(_PHOTOMETRIC, 0) != _YCBCR:
        sizes = _strip_sizes(directory, height, width)  # the bytes of the rows, by their size alone
    if len(sizes) != len(offsets):
        raise MalformedError(f"the TIFF has {len(offsets)} strips or tiles and the sizes of {len(sizes)}")
    end = int((offsets + sizes).max())
    if end > len(directory.data):
        kind = "tile" if tiled else "strip"
        raise MalformedError(f"the TIFF has a {kind} up to byte {end} of {len(directory.data)}: it was cut off")


def _strip_sizes(directory: _Directory, height: int, width: int) -> npt.NDArray[np.int64]:
    """Bytes of each strip of uncompressed pixels."""
    samples, planar = directory.first(_SAMPLES, 1), directory.first(_PLANAR, 1) == _PLANAR_YES
    rows = max(1, min(directory.first(_ROWS, height), height))
    starts = np.arange(0, height, rows, dtype=np.int64)
    row = (width * (1 if planar else samples) * directory.first(_BITS, 1) + 7) // 8
    return np.tile(np.minimum(rows, height - starts) * row, samples if planar else 1)


def unoriented(data: Encoded) -> bytes:
    """The same TIFF without an orientation, since Pillow turns TIFFs as it loads them."""
    changed, directory = bytearray(data), _Directory(data)
    for tag in (exif.TAG, _XMP):
        for at in directory.places(tag):
            struct.pack_into(directory.order + "H", changed, at, _UNKNOWN)
    return bytes(changed)
