"""Image files as cameras, scanners and editors write them, built from bytes where Pillow writes no such file."""

import base64
import struct
import zlib

import numpy as np
from pictures import encoded

#: The eight EXIF orientations that turn nothing, mirror or turn.
ORIENTATIONS = range(1, 9)

#: A lossless JPEG 2000 of 16×16 colours of 16 bits, by OpenJPEG 2.5.0 in ffmpeg. Pixels are `COLORS_OF_16_BITS`, as two
#: decoders say, ffmpeg's own and OpenJPEG.
JPEG_2000_OF_16_BITS = base64.b64decode(
    "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAAEAAAABAAAw8HAAAAAAAPY29scgEAAAAAABAAAAFcanAyY/"
    "9P/1EALwAAAAAAEAAAABAAAAAAAAAAAAAAABAAAAAQAAAAAAAAAAAAAw8BAQ8BAQ8BAf9SAAwAAAABAAIEBAAB/1wACkCAiIiQiIiQ/2QAJQABQ3Jl"
    "YXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS4w/5AACgAAAAAA3gAB/5Pf+JDwEoyDSX9wfYoMTmRz2q27Kkk/fV7VbdlSSVSFW70/3/iRABFqSm"
    "Do+tIABhuLqGBa3YAepkPvvi1uwA9TGvV/U9Mfz/wwfBQz0weWkyhQ0FwHtNvH9FOv0JaPj+USScfoS0fH9lqh/0GCgAN/3V0zua6c/3/D/wMFACIa"
    "CGMAziFqD++h/0GCgADP1V0zua6c/3+g/2ABwD2mNF83BgX19M8+yxGhwf9AA8A2oZnJ7oA3/d7of/H4/3+g/2ABwD5ioq+bgwL6+mefZYjQ/9k="
)
#: uint16 (16, 16, 3), from 0 to 65535 in steps of 4369: red rises row by row, green column by column, blue falls row by
#: row.
COLORS_OF_16_BITS = np.stack([*(np.mgrid[:16, :16] * 4369), 65535 - np.mgrid[:16, :16][0] * 4369], axis=-1).astype(
    np.uint16
)


def exif(orientation, *, order="<", kind="SHORT", prefix=b"Exif\0\0", before=0):
    """An EXIF block with an orientation tag: byte order, type, prefix, and how many other tags precede it."""
    code, letter = {"BYTE": (1, "B"), "SHORT": (3, "H"), "LONG": (4, "I")}[kind]
    value = struct.pack(order + letter, orientation).ljust(4, b"\0")
    tags = [struct.pack(order + "HHII", 0x0100 + number, 4, 1, number) for number in range(before)]
    tags.append(struct.pack(order + "HHI", 0x0112, code, 1) + value)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return prefix + magic + struct.pack(order + "IH", 8, len(tags)) + b"".join(tags) + bytes(4)


def segment(marker, payload):
    """A JPEG segment."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload


def with_segments(jpeg, *segments):
    """A JPEG with segments right behind its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def xmp(orientation):
    """An XMP packet that says an orientation, as editors write it."""
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>'
        % orientation
    )


def chunk(name, payload):
    """A PNG chunk."""
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def with_chunk(png, new, *, before=b"IDAT"):
    """A PNG with a chunk put before the first of another name."""
    at = png.index(before) - 4
    return png[:at] + new + png[at:]


def webp(picture, *chunks, lossless=True, **options):
    """A WebP in the extended form, with chunks (name, payload) behind the image; `pad` bytes as the format asks."""
    height, width = picture.shape[:2]
    plain = encoded(picture, "WEBP", lossless=lossless, **options)[12:]
    if plain[:4] == b"VP8X":
        plain = plain[18:]
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    flags = (8 if any(name == b"EXIF" for name, _ in chunks) else 0) | (
        4 if any(n == b"XMP " for n, _ in chunks) else 0
    )
    flags |= 16 if picture.shape[2:] == (4,) else 0
    body = b"WEBP" + riff(b"VP8X", bytes([flags, 0, 0, 0]) + size) + plain
    body += b"".join(riff(name, payload) for name, payload in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff(name, payload):
    """A RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)


def tiff(
    picture,
    *,
    photometric=2,
    orientation=None,
    order="<",
    planar=False,
    tile=0,
    rows=0,
    bits=8,
    sample_format=1,
    kind="SHORT",
    extra=None,
    compression=1,
    predictor=1,
    tags=(),
):
    """A TIFF of samples (height, width, n): in one strip, strips of `rows` rows or square tiles; chunky or planar.

    Compression is 1, none, or 8, deflate; `bits` below 8 are packed; `tags` are further (tag, type, values).
    """
    height, width, samples = picture.shape
    planes = [picture[..., number : number + 1] for number in range(samples)] if planar else [picture]
    parts = []
    for plane in planes:
        if tile:
            full = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
            parts += [
                full[y : y + tile, x : x + tile]
                for y in range(0, full.shape[0], tile)
                for x in range(0, full.shape[1], tile)
            ]
        else:
            parts += [plane[y : y + (rows or height)] for y in range(0, height, rows or height)]
    packed = [_packed(part, bits, order, predictor) for part in parts]
    packed = [zlib.compress(part) for part in packed] if compression == 8 else packed
    offsets = [8 + sum(len(part) for part in packed[:number]) for number in range(len(packed))]
    lengths = [len(part) for part in packed]
    entries = [
        (256, "LONG", [width]),
        (257, "LONG", [height]),
        (258, "SHORT", [bits] * samples),
        (259, "SHORT", [compression]),
        (262, "SHORT", [photometric]),
        (277, "SHORT", [samples]),
        (284, "SHORT", [2 if planar else 1]),
        *tags,
    ]
    if orientation is not None:
        entries.append((274, kind, [orientation]))
    if sample_format != 1:
        entries.append((339, "SHORT", [sample_format] * samples))
    if predictor != 1:
        entries.append((317, "SHORT", [predictor]))
    if extra is not None:
        entries.append((338, "SHORT", [extra]))
    if tile:
        entries += [(322, "SHORT", [tile]), (323, "SHORT", [tile]), (324, "LONG", offsets), (325, "LONG", lengths)]
    else:
        entries += [(273, "LONG", offsets), (278, "SHORT", [rows or height]), (279, "LONG", lengths)]
    return _assembled(b"".join(packed), sorted(entries), order)


def _packed(part, bits, order, predictor):
    if predictor == 2:
        part = np.concatenate([part[:, :1], np.diff(part.astype(np.int64), axis=1).astype(part.dtype)], axis=1)
    if bits < 8:
        levels = part.reshape(part.shape[0], -1)
        unpacked = (levels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        return np.packbits(unpacked.reshape(len(levels), -1).astype(np.uint8), axis=1).tobytes()
    return part.astype(part.dtype.newbyteorder(order)).tobytes()


def _assembled(body, entries, order):
    body += b"\0" * (len(body) % 2)
    start = 8 + len(body)
    after, directory, tail = start + 2 + 12 * len(entries) + 4, b"", b""
    for tag, kind, values in entries:
        code, letter = {"BYTE": (1, "B"), "SHORT": (3, "H"), "LONG": (4, "I")}[kind]
        raw = struct.pack(order + letter * len(values), *values)
        directory += struct.pack(order + "HHI", tag, code, len(values))
        if len(raw) > 4:
            directory += struct.pack(order + "I", after + len(tail))
            tail += raw + b"\0" * (len(raw) % 2)
        else:
            directory += raw.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return (
        magic
        + struct.pack(order + "IH", start, len(entries))[:4]
        + body
        + struct.pack(order + "H", len(entries))
        + directory
        + bytes(4)
        + tail
    )


def bmp(picture, *, bits=24, header=40, masks=None, top_down=False, compression=None):
    """A BMP of uint8 (height, width, 3 or 4): 24 or 32 bits a pixel, or 16 bits as 5, 5 and 5."""
    height, width = picture.shape[:2]
    rows = picture if top_down else picture[::-1]
    if bits == 16:
        red, green, blue = (rows[..., channel].astype(np.uint16) >> 3 for channel in range(3))
        values = (red << 10 | green << 5 | blue).astype("<u2")
        raw = values.view(np.uint8).reshape(height, -1)
    else:
        order = [2, 1, 0, 3][: bits // 8]
        full = np.concatenate([rows, np.zeros((height, width, 1), np.uint8)], axis=2)[..., :4]
        raw = full[..., order].reshape(height, -1)
    raw = np.pad(raw, ((0, 0), (0, -raw.shape[1] % 4)))
    compression = (3 if masks else 0) if compression is None else compression
    extra = struct.pack("<4I", *masks) if masks else b""
    info = struct.pack(
        "<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression, raw.size, 0, 0, 0, 0
    )
    info += extra.ljust(header - 40, b"\0") if header > 40 else (extra[:12] if masks else b"")
    offset = 14 + len(info)
    return struct.pack("<2sIHHI", b"BM", offset + raw.size, 0, 0, offset) + info + raw.tobytes()


def animated_png(still, frame):
    """An APNG whose still image is no frame of the animation, and another picture."""
    first = encoded(still, "PNG")
    height, width = frame.shape[:2]
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in frame))
    control = struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 10, 0, 0)
    animation = chunk(b"fcTL", control) + chunk(b"fdAT", struct.pack(">I", 1) + data)
    return with_chunk(with_chunk(first, chunk(b"acTL", struct.pack(">II", 1, 0))), animation, before=b"IEND")
