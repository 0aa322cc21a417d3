"""Every form of image file that is tried on the decoder: (name, bytes), all of one small picture."""

import struct
import zlib

import numpy as np
from image_files import (
    ORIENTATIONS,
    animated_png,
    bmp,
    chunk,
    exif,
    segment,
    tiff,
    webp,
    with_chunk,
    with_segments,
    xmp,
)
from pictures import encoded, pictures
from PIL import Image

PICTURE, OTHER = pictures(2, 40, 57)
GRAY = np.asarray(Image.fromarray(PICTURE).convert("L"))
_RAMP = np.tile(np.linspace(0, 255, 57).astype(np.uint8), (40, 1))
RGBA = np.dstack([PICTURE, _RAMP])
GRAY_ALPHA = np.dstack([GRAY, _RAMP])
CMYK = np.dstack([255 - PICTURE, GRAY // 4])
PALETTE = Image.fromarray(PICTURE).quantize(16)
BILEVEL = Image.fromarray(GRAY).convert("1")
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def deep(picture):
    """uint16 of the same look."""
    return picture.astype(np.uint16) * 256 + 77


def png_of_16_bits(picture):
    """A PNG of uint16 (height, width, n)."""
    height, width, samples = picture.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[samples]
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture)
    return _png(header, rows)


def interlaced_png(picture):
    """A PNG of uint8 (height, width, 3) in the seven passes of Adam7."""
    height, width, _ = picture.shape
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in picture[y::dy, x::dx])
    return _png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1), rows)


def _png(header, rows):
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpegs():
    """JPEGs, of which each can be given an orientation."""
    yield from ((f"jpeg {s}", encoded(PICTURE, "JPEG", subsampling=s)) for s in ("4:4:4", "4:2:2", "4:2:0"))
    yield "jpeg progressive", encoded(PICTURE, "JPEG", progressive=True)
    yield "jpeg gray", encoded(GRAY, "JPEG")
    yield "jpeg cmyk", encoded(Image.fromarray(PICTURE).convert("CMYK"), "JPEG")
    cmyk = encoded(Image.fromarray(PICTURE).convert("CMYK"), "JPEG")
    yield "jpeg cmyk without Adobe", cmyk.replace(b"\xff\xee\0\x0eAdobe", b"\xff\xec\0\x0eOther")
    yield "jpeg of RGB", encoded(PICTURE, "JPEG", keep_rgb=True)
    yield "jpeg with restarts", encoded(PICTURE, "JPEG", restart_marker_blocks=3)
    yield "mpo", encoded(PICTURE, "MPO", save_all=True, append_images=[Image.fromarray(OTHER)])


def pngs():
    """PNGs, of which each can be given an orientation."""
    yield "png", encoded(PICTURE, "PNG")
    yield "png rgba", encoded(RGBA, "PNG")
    yield "png gray", encoded(GRAY, "PNG")
    yield "png gray alpha", encoded(Image.fromarray(GRAY_ALPHA), "PNG")
    yield "png palette", encoded(PALETTE, "PNG", bits=4, transparency=3)
    yield "png bilevel", encoded(BILEVEL, "PNG")
    yield "png key color", encoded(PICTURE, "PNG", transparency=tuple(PICTURE[0, 0].tolist()))
    for samples, picture in ((1, GRAY[..., None]), (2, GRAY_ALPHA), (3, PICTURE), (4, RGBA)):
        yield f"png {samples}×16", png_of_16_bits(deep(picture))
    yield "png interlaced", interlaced_png(PICTURE)
    yield "png animated", encoded(PICTURE, "PNG", save_all=True, append_images=[Image.fromarray(OTHER)])
    yield "png animated with a still", animated_png(PICTURE, OTHER)


def webps():
    """WebPs, with and without chunks of odd length."""
    yield "webp", encoded(PICTURE, "WEBP", lossless=True)
    yield "webp lossy", encoded(PICTURE, "WEBP", quality=80)
    yield "webp lossy alpha", encoded(RGBA, "WEBP", quality=80)
    yield "webp lossless alpha", encoded(RGBA, "WEBP", lossless=True, exact=True)
    frames = {"save_all": True, "append_images": [Image.fromarray(OTHER)], "lossless": True}
    yield "webp animated", encoded(PICTURE, "WEBP", **frames)
    for odd in (b"", b"x"):
        for picture, name in ((PICTURE, "rgb"), (RGBA, "rgba")):
            yield f"webp {name} profile {odd}", webp(picture, (b"ICCP", b"abc" + odd), (b"EXIF", exif(1) + odd))


def tiffs():
    """(name, samples, options of `tiff`) of TIFFs, of which each can be given an orientation."""
    gray = GRAY[..., None]
    yield "rgb", PICTURE, {}
    yield "rgb strips", PICTURE, {"rows": 7}
    yield "rgb tiles", PICTURE, {"tile": 16}
    yield "rgb planar", PICTURE, {"planar": True}
    yield "rgb planar tiles", PICTURE, {"planar": True, "tile": 16}
    yield "rgb deflate", PICTURE, {"compression": 8, "predictor": 2, "rows": 7}
    yield from ((f"rgba, extra {extra}", RGBA, {"extra": extra}) for extra in (None, 0, 1, 2))
    yield "rgba tiles", RGBA, {"extra": 2, "tile": 16}
    yield "gray", gray, {"photometric": 1}
    yield "gray tiles", gray, {"photometric": 1, "tile": 16}
    yield "gray white is 0", 255 - gray, {"photometric": 0}
    yield from ((f"gray alpha, extra {extra}", GRAY_ALPHA, {"photometric": 1, "extra": extra}) for extra in (0, 2))
    yield from ((f"gray {bits} bits", gray >> 8 - bits, {"photometric": 1, "bits": bits}) for bits in (1, 2, 4))
    yield "cmyk", CMYK, {"photometric": 5}
    yield "lab", PICTURE, {"photometric": 8}
    yield "gray 16", deep(gray), {"photometric": 1, "bits": 16}
    yield "rgb 16", deep(PICTURE), {"bits": 16}
    yield "rgb 16 planar", deep(PICTURE), {"bits": 16, "planar": True}
    yield "rgba 16", deep(RGBA), {"bits": 16, "extra": 2}


def compressed_tiffs(orientation=1):
    """TIFFs as Pillow's libtiff compresses them."""
    pictures = {"rgb": Image.fromarray(PICTURE), "gray": Image.fromarray(GRAY), "rgba": Image.fromarray(RGBA)}
    pictures |= {"palette": PALETTE, "ycbcr": Image.fromarray(PICTURE).convert("YCbCr")}
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"):
        for name, image in pictures.items():
            if compression != "jpeg" or name in ("rgb", "gray"):
                options = {"compression": compression, "tiffinfo": {274: orientation}}
                yield f"tiff {compression} {name}", encoded(image, "TIFF", **options)
    for compression in ("raw", "group3", "group4"):
        options = {"compression": compression, "tiffinfo": {274: orientation}}
        yield f"tiff {compression} bilevel", encoded(BILEVEL, "TIFF", **options)


def others():
    """BMPs and JPEG 2000s, which have no orientation."""
    for bits in (16, 24, 32):
        yield f"bmp {bits}", bmp(PICTURE, bits=bits)
    yield "bmp top down", bmp(PICTURE, top_down=True)
    yield "bmp 32 alpha", bmp(RGBA, bits=32)
    yield "bmp 32 masks", bmp(RGBA, bits=32, header=124, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    yield "bmp palette", encoded(PALETTE, "BMP")
    yield "bmp gray", encoded(GRAY, "BMP")
    yield "bmp bilevel", encoded(BILEVEL, "BMP")
    for name, picture in (("rgb", PICTURE), ("gray", GRAY), ("rgba", RGBA), ("gray alpha", GRAY_ALPHA)):
        yield f"jp2 {name}", encoded(picture, "JPEG2000")
        yield f"j2k {name}", encoded(picture, "JPEG2000", no_jp2=True, irreversible=True)
    yield "jp2 16", encoded(deep(GRAY), "JPEG2000")
    yield "jp2 tiles", encoded(PICTURE, "JPEG2000", tile_size=(32, 32))


def forms():
    """All forms, upright."""
    yield from (*jpegs(), *pngs(), *webps(), *compressed_tiffs(), *others())
    yield from ((f"tiff {name}", tiff(samples, **options)) for name, samples, options in tiffs())


def oriented():
    """(name, bytes) of every way to say an orientation, in every format that can."""
    for name, jpeg in jpegs():
        yield from ((f"{name}, {o}", with_segments(jpeg, segment(0xE1, exif(o)))) for o in ORIENTATIONS)
    for name, png in pngs():
        yield from ((f"{name}, {o}", with_chunk(png, chunk(b"eXIf", exif(o, prefix=b"")))) for o in ORIENTATIONS)
    for name, picture in (("rgb", PICTURE), ("rgba", RGBA)):
        for o in ORIENTATIONS:
            for prefix in (b"Exif\0\0", b""):
                for odd in (b"", b"x"):
                    parts = ((b"ICCP", b"abc" + odd), (b"EXIF", exif(o, prefix=prefix) + odd))
                    yield f"webp {name}, {prefix}, {odd}, {o}", webp(picture, *parts)
    for name, samples, options in tiffs():
        yield from ((f"tiff {name}, {o}", tiff(samples, orientation=o, **options)) for o in ORIENTATIONS)
    for o in (3, 6):
        yield from ((f"{name}, {o}", data) for name, data in compressed_tiffs(o))
    yield from ((f"jpeg, {name}", with_segments(encoded(PICTURE, "JPEG"), *parts)) for name, *parts in _segments())
    yield from _rare_pngs()
    yield "webp, XMP", webp(PICTURE, (b"XMP ", xmp(6)))
    for order in "<>":
        for kind in ("BYTE", "SHORT", "LONG"):
            yield f"tiff, {kind} {order}", tiff(PICTURE, orientation=6, order=order, kind=kind)
    for compression in (1, 8):
        yield f"tiff {compression}, two values", _twice(tiff(PICTURE, orientation=6, compression=compression))
        tags = [(274, "SHORT", [8])]
        yield f"tiff {compression}, two tags", tiff(PICTURE, orientation=6, compression=compression, tags=tags)
    yield "tiff, XMP", tiff(PICTURE, tags=[(700, "BYTE", list(xmp(6)))])


def _twice(file):
    """The TIFF with a second value of its orientation, 0."""
    return file.replace(struct.pack("<HHIH", 274, 3, 1, 6), struct.pack("<HHIH", 274, 3, 2, 6))


def _segments():
    """(name, segments): the tag's forms in a JPEG."""
    for order in "<>":
        for kind in ("BYTE", "SHORT", "LONG"):
            yield f"{kind} {order}", segment(0xE1, exif(6, order=order, kind=kind, before=3))
    packet = segment(0xE1, _XMP_HEAD + xmp(8))
    yield "XMP", packet
    yield "XMP, then EXIF", packet, segment(0xE1, exif(6))
    yield "two EXIF blocks", segment(0xE1, exif(6)), segment(0xE1, exif(8))
    yield "out of range", segment(0xE1, exif(9))
    yield "no tags", segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<IHI", 8, 0, 0))
    yield "damaged", segment(0xE1, exif(6)[:-14])
    yield "no TIFF structure", segment(0xE1, b"Exif\0\0XX*\0")


def _rare_pngs():
    """PNGs with the tag behind the pixels, in the text of older programs, or in XMP."""
    png, block = encoded(PICTURE, "PNG"), exif(6)
    yield "png, behind", with_chunk(png, chunk(b"eXIf", exif(6, order=">", kind="LONG", prefix=b"")), before=b"IEND")
    text = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    yield "png, zTXt", with_chunk(png, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)))
    yield "png, tEXt", with_chunk(png, chunk(b"tEXt", b"Raw profile type exif\0" + text))
    yield "png, damaged text", with_chunk(png, chunk(b"zTXt", b"Raw profile type exif\0\0nonsense"))
    yield "png, XMP", with_chunk(png, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(8)))
