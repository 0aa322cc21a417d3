"""Sizes as Pillow reads them, and verdicts from bytes alone."""

import base64
import io
import struct

import numpy as np
import pytest
from pictures import encoded, oriented
from PIL import Image

from streamaug.samples.image_header import MAX_PIXELS, Header, inspect, starts_at_front

_KINDS = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"exif": b"Exif\0\0II*\0"}),
    ("TIFF", {}),
    ("JPEG2000", {}),
    ("JPEG2000", {"no_jp2": True}),
    ("BMP", {}),
]


def deep(kind, mode, **options):
    """A JPEG 2000 whose header says 16 bits for each component."""
    bands = len(mode)
    return encoded(Image.new(mode, (37, 21)), kind, **options).replace(b"\7\1\1" * bands, b"\x0f\1\1" * bands)


def blank(kind="JPEG", size=(37, 21), **options):
    return encoded(Image.new("RGB", size, 100), kind, **options)


@pytest.mark.parametrize(("kind", "options"), _KINDS)
@pytest.mark.parametrize("size", [(37, 21), (1, 1), (1, 500), (300, 2)])
def test_size_of_every_format(kind, options, size):
    assert inspect(blank(kind, size, **options))[:2] == (size[1], size[0])


@pytest.mark.parametrize(("kind", "options"), _KINDS)
def test_any_cut_is_a_verdict_never_an_exception(kind, options):
    data = blank(kind, **options)
    for length in range(0, len(data), max(1, len(data) // 97)):
        verdict = inspect(memoryview(data)[:length])
        assert isinstance(verdict, str | Header)
        if kind in ("JPEG", "PNG", "WEBP"):
            assert isinstance(verdict, str)


@pytest.mark.slow
def test_random_bytes_are_a_verdict_never_an_exception():
    rng = np.random.default_rng(0)
    starts = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"II*\0", b"MM\0*", b"\xff\x4f\xff\x51", b"BM"]
    for start in starts:
        for _ in range(200):
            tail = b"\xff\xd9" if start[:1] == b"\xff" else b"IEND"
            verdict = inspect(start + rng.integers(0, 256, rng.integers(0, 80), np.uint8).tobytes() + tail)
            assert isinstance(verdict, str | Header)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a..", "no image format that can be read (a GIF: write it as JPEG, PNG or WebP)"),
        (b"\0\0\0\x20ftypavif", "(an AVIF: "),
        (b"\0\0\0\x18ftypheic", "(a HEIC: "),
        (b"\0\0\0\x18ftypmp42", "(a video)"),
        (b"II+\0\x08\0\0\0", "(a BigTIFF: "),
        (b"P6\n4 4\n255\n", "(a PNM "),
        (bytes(128) + b"DICM", "(a DICOM: "),
        (b"<?xml version='1.0'?><svg/>", "(an SVG: "),
        (b"<!DOCTYPE html>", "HTML"),
        (b'{"error": 403}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (base64.b64encode(blank()), "a JPEG in base64"),
        (b"\xef\xbb\xbf" + blank(), "byte order mark"),
        (blank("PNG").replace(b"\r\n", b"\n"), "line ends"),
        (blank().replace(b"\xff\xc0\0\x11\x08", b"\xff\xf7\0\x11\x08"), "a JPEG-LS"),
        (blank("JPEG2000", no_jp2=True).replace(b"\7\1\1" * 3, b"\x0b\1\1" * 3), "colours of 12 bits"),
        (deep("JPEG2000", "LA"), "colours of 16 bits"),
        (deep("JPEG2000", "LA", no_jp2=True), "colours of 16 bits"),
        (b"\xff\xd8\xff\xe0\0\0\xff\xd9", "segment of length 0"),
        (b"\xff\xd8\xff\xd9", "no frame header"),
        (blank()[:-2], "end-of-image"),
        (blank()[:-70], "cut off"),
        (blank("PNG")[:-12], "IEND"),
    ],
)
def test_verdicts_say_what_is_wrong(data, reason):
    verdict = inspect(data)
    assert isinstance(verdict, str)
    assert reason in verdict


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (blank().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"), "a JPEG of 12 bits"),
        (blank().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc3\0\x11\x08"), "a lossless JPEG"),
        (blank().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc9\0\x11\x08"), ""),
        (blank("JPEG2000", no_jp2=True).replace(b"\7\1\1" * 3, b"\4\1\1" * 3), "a JPEG 2000 codestream of 5 bits"),
    ],
)
def test_forms_that_dali_refuses_are_named(data, form):
    assert inspect(data).unlike == form


def test_the_number_of_pixels_is_limited():
    data = blank("PNG", (100, 100))
    assert isinstance(inspect(data, max_pixels=10_000), Header)
    assert "more than the limit" in inspect(data, max_pixels=9_999)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_where_asked(orientation):
    data = blank(exif=oriented(orientation))
    assert inspect(data, orientation=True) == Header(21, 37, orientation)
    assert inspect(data) == Header(21, 37, 1)


def test_photographs_agree_with_pillow(photos):
    for jpeg in photos:
        width, height = Image.open(io.BytesIO(jpeg)).size
        assert inspect(jpeg) == Header(height, width)
        assert isinstance(inspect(jpeg[: len(jpeg) // 2]), str)


def test_the_limit_is_where_pillow_refuses_too():
    assert MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS
    data = bytearray(blank("BMP"))
    for width, refused in ((MAX_PIXELS // 2, False), (MAX_PIXELS // 2 + 1, True)):
        data[18:30] = struct.pack("<iiHH", width, 2, 1, 32)  # 32 bits a pixel, of which the rows are not counted
        assert isinstance(inspect(data), str) == refused
        if refused:
            with pytest.raises(Image.DecompressionBombError):
                Image.open(io.BytesIO(data))
        else:
            with pytest.warns(Image.DecompressionBombWarning):
                Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("kind", "options"), _KINDS)
def test_tiles_stand_alone_in_tiff_and_jpeg_2000_only(kind, options):
    assert starts_at_front(memoryview(blank(kind, **options))) == (kind not in ("TIFF", "JPEG2000"))
