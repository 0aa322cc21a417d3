"""The kind of a file that holds no image that can be read, by its first bytes: another image format, or no image.

In: the bytes of a file that has no known magic number. Out: its kind in words, or "" where the bytes do not say it.
"""

from streamaug.encoded import Encoded

_CONVERT = "write it as JPEG, PNG or WebP"
_IMAGES = (
    (b"GIF8", "a GIF"),
    (b"II+\0", "a BigTIFF"),
    (b"MM\0+", "a BigTIFF"),
    (b"II\xbc\x01", "a JPEG XR"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"icns", "an icon (ICNS)"),
    (b"8BPS", "a Photoshop file"),
    (b"qoif", "a QOI"),
    (b"DDS ", "a DDS texture"),
    (b"\x01\xda", "an SGI image"),
    (b"v/1\x01", "an OpenEXR"),
    (b"#?RADIANCE", "a Radiance HDR"),
    (b"FUJIFILMCCD-RAW", "a raw photograph (RAF)"),
    *((b"P%d%b" % (n, blank), "a PNM (PBM, PGM, PPM)") for n in range(1, 7) for blank in (b" ", b"\n", b"\t")),
)
#: Brands of ISO base media files, at byte 8 behind "ftyp"; other brands are videos.
_BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF", b"crx ": "a raw photograph (CR3)"}
_BRANDS |= dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "a HEIC")
_OTHERS = (
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"\x1f\x8b", "a gzip file: unpack it"),
    (b"PK\x03\x04", "a zip file: unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it"),
    (b"\x93NUMPY", "a NumPy array: write it as PNG"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"version https://git-lfs", "a git-lfs pointer: fetch the file that it points to with `git lfs pull`"),
    (b"/annex/objects/", "a git-annex pointer: fetch the file that it points to with `git annex get`"),
    (b"\xef\xbb\xbf", "a byte order mark: a program took the file for text"),
    (b"\x89PNG", "a PNG whose line ends a program changed: copy it again, as binary"),
    (b"/9j/", "a JPEG in base64: decode it"),
    (b"iVBORw0KGgo", "a PNG in base64: decode it"),
    (b"data:image", "a data URL: decode its base64"),
)


def kind(data: Encoded) -> str:
    """What the file is, and what to do, as " (a GIF: write it as JPEG, PNG or WebP)"; "" where nobody can say."""
    head = bytes(data[:256])
    name = next((name for magic, name in _OTHERS if head.startswith(magic)), "")
    image = next((name for magic, name in _IMAGES if head.startswith(magic)), "")
    if head[4:8] == b"ftyp":
        image = _BRANDS.get(head[8:12], "")
        name = "" if image else "a video"
    elif head[128:132] == b"DICM":
        image = "a DICOM"
    elif head.lstrip()[:1] == b"<":
        text = head.lower()
        image = "an SVG" if b"<svg" in text else ""
        name = "" if image else "HTML or XML, a web page or a server's message for instance"
    elif not name and head.lstrip()[:1] in (b"{", b"[") and head.isascii():
        name = "JSON, a server's message for instance"
    if image:
        return f" ({image}: {_CONVERT})"
    return f" ({name})" if name else ""
