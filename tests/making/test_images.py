"""Judging and reducing images: what is kept, what is not, and that orientation means the same before and after."""

import io

import numpy as np
import pytest
from image_files import JPEG_2000_OF_16_BITS
from image_folders import image
from PIL import ExifTags, Image, ImageOps

from streamaug.making.images import ImageRule, reduce
from streamaug.making.listing import Content, Unusable
from streamaug.samples.image_header import Header, inspect

TAG = ExifTags.Base.Orientation
SMALL = ImageRule(max_side=64)


def decoded(data, mode=None):
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened if mode is None else opened.convert(mode), np.float64)


def oriented(orientation):
    exif = Image.Exif()
    exif[TAG] = orientation
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "JPEG2000"])
def test_an_image_that_is_not_too_large_keeps_its_bytes(kind):
    data = image(1, kind, width=64, height=20)
    suffix = {"JPEG": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}.get(kind, kind.lower())
    for rule in (ImageRule(), SMALL, ImageRule(decode=True)):
        assert rule.apply(Content(data)) == Content(data, suffix)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "png"), ("BMP", "png"), ("JPEG2000", "png")],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_larger_one_is_reduced_to_the_side_and_shows_the_same(kind, suffix, mode):
    data = image(2, kind, width=200, height=150, mode=mode)
    reduced = SMALL.apply(Content(data))
    assert reduced.suffix == suffix
    assert inspect(reduced.image) == Header(48, 64)
    expected = decoded(data, "RGB")
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("RGB").resize((64, 48), Image.Resampling.LANCZOS), np.float64)
    assert np.abs(decoded(reduced.image, "RGB") - expected).mean() < 3


def test_an_image_whose_white_would_turn_black_is_not_reduced():
    assert ImageRule(max_side=16).apply(Content(JPEG_2000_OF_16_BITS)).suffix == "jp2"
    refused = ImageRule(max_side=8).apply(Content(JPEG_2000_OF_16_BITS))
    assert isinstance(refused, Unusable)
    assert "white turns black" in refused.reason
    assert "max-side" in refused.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_pixels_and_their_orientation_stay(kind, orientation):
    turned = image(3, kind, width=200, height=100, exif=oriented(orientation))
    plain = image(3, kind, width=200, height=100)
    after = SMALL.apply(Content(turned)).image
    assert inspect(after)[:2] == (32, 64)
    assert np.abs(decoded(after, "RGB") - decoded(SMALL.apply(Content(plain)).image, "RGB")).max() == 0
    with Image.open(io.BytesIO(after)) as opened, Image.open(io.BytesIO(turned)) as original:
        assert opened.getexif().get(TAG, 1) == orientation
        assert inspect(after, orientation=True).orientation == inspect(turned, orientation=True).orientation
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), np.float64)
        expected = (
            ImageOps.exif_transpose(original).convert("RGB").resize(upright.shape[1::-1], Image.Resampling.LANCZOS)
        )
    assert np.abs(upright - np.asarray(expected, np.float64)).mean() < 3


def test_an_orientation_that_stands_in_xmp_alone_becomes_a_tag():
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    file = io.BytesIO()
    with Image.open(io.BytesIO(image(3, width=200, height=100))) as opened:
        opened.save(file, "JPEG", xmp=packet)
    assert inspect(file.getvalue(), orientation=True).orientation == 6
    assert inspect(SMALL.apply(Content(file.getvalue())).image, orientation=True).orientation == 6


def test_of_other_metadata_the_colour_profile_stays():
    exif = oriented(1)
    exif[ExifTags.Base.Make] = "a camera"
    reduced = SMALL.apply(Content(image(4, width=200, exif=exif, icc_profile=b"profile", comment=b"hello")))
    with Image.open(io.BytesIO(reduced.image)) as opened:
        assert opened.info.get("icc_profile") == b"profile"
        assert dict(opened.getexif()) == {}
        assert "comment" not in opened.info


@pytest.mark.parametrize(
    ("mode", "kind", "after"),
    [
        ("1", "PNG", "L"),
        ("P", "PNG", "RGB"),
        ("LA", "PNG", "LA"),
        ("RGBA", "PNG", "RGBA"),
        ("CMYK", "JPEG", "CMYK"),
        ("CMYK", "TIFF", "RGB"),
        ("P", "BMP", "RGB"),
    ],
)
def test_modes_that_cannot_be_averaged_become_ones_that_can(mode, kind, after):
    reduced = SMALL.apply(Content(image(5, kind, width=200, height=100, mode=mode)))
    with Image.open(io.BytesIO(reduced.image)) as opened:
        assert (opened.mode, opened.size) == (after, (64, 32))


def test_sixteen_bit_gray_stays_so():
    gray = Image.fromarray(np.linspace(0, 65535, 200 * 100).reshape(100, 200).astype(np.uint16))
    file = io.BytesIO()
    gray.save(file, "PNG")
    after = decoded(SMALL.apply(Content(file.getvalue())).image)
    assert after.max() > 60_000
    assert np.abs(after - np.asarray(gray.convert("I").resize((64, 32), Image.Resampling.LANCZOS))).max() < 600


def test_quality_decides_the_size():
    data = image(6, width=640, height=480)
    sizes = [len(ImageRule(max_side=256, quality=q).apply(Content(data)).image) for q in (30, 90, 98)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.8 * sizes[1]


def test_a_tar_s_suffix_stays_unless_the_format_changes():
    assert SMALL.apply(Content(image(7, width=200), "jpeg", {"cls": b"1"}))[1:] == ("jpeg", {"cls": b"1"})
    assert SMALL.apply(Content(image(7, "TIFF", width=200), "tiff")).suffix == "png"
    assert ImageRule().apply(Content(image(7, "PNG"), "jpg")).suffix == "jpg"


def damaged(data, start):
    return data[:start] + bytes(len(data) - start - 20) + data[-20:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"no image at all", "no image format"),
        (image(8)[:-100], "no end-of-image marker"),
        (image(8, "PNG")[:-100], "no IEND"),
        (image(8, "GIF"), "no image format"),
        (damaged(image(8, "PNG", width=200, height=200), 90), "Pillow cannot decode it"),
        (damaged(image(8, "TIFF", compression="tiff_lzw", width=300, height=200), 60), ""),
    ],
)
@pytest.mark.parametrize("rule", [ImageRule(), SMALL])
def test_what_does_not_decode_says_why(data, reason, rule):
    verdict = rule.apply(Content(data))
    assert isinstance(verdict, Unusable)
    assert reason in verdict.reason or "Pillow cannot reduce it" in verdict.reason


def test_a_jpeg_is_decoded_when_asked_to():
    data = image(9, width=100, height=100)
    start = data.index(b"\xff\xc4") + 4  # the Huffman tables
    broken = data[:start] + bytes([255]) * 30 + data[start + 30 :]
    assert isinstance(ImageRule().apply(Content(broken)), Content)
    assert "Pillow cannot decode it" in ImageRule(decode=True).apply(Content(broken)).reason


def test_pixels_of_no_common_kind_are_refused_rather_than_changed():
    file = io.BytesIO()
    Image.merge("LAB", [Image.new("L", (200, 100), level) for level in (90, 100, 110)]).save(file, "TIFF")
    assert isinstance(SMALL.apply(Content(file.getvalue())), Unusable)
    with pytest.raises(ValueError, match="pixels of mode LAB cannot be kept in a png"):
        reduce(file.getvalue(), 64, 90, 1)
