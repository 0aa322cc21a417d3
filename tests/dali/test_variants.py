"""Of any file that a camera or an editor writes, boxes land where the pixels land, or the sample is refused by name.

A variant is a picture with a bright rectangle in one of many formats, with an orientation said in one of many ways and
bytes behind its end, in a recipe that crops, resizes, mirrors and may turn it as it asks.
"""

import json

import numpy as np
import pytest
from augmenting import encoded_batches, refuse
from image_files import ORIENTATIONS, chunk, exif, segment, tiff, webp, with_chunk, with_segments, xmp
from pictures import encoded

from streamaug import Annotations, BadSampleError, Output, Recipe, ops
from streamaug.batch import EncodedBatch
from streamaug.dali.engine import AugmentEngine

_FRAME = (96, 128)
_DARK, _BRIGHT = 30, 235


def turned(picture, orientation):
    """The picture as a file stores it that says this orientation."""
    if orientation in (2, 3):
        picture = picture[:, ::-1]
    if orientation in (3, 4):
        picture = picture[::-1]
    if orientation >= 5:
        picture = picture.transpose(1, 0, 2)
    if orientation in (7, 8):  # the inverse turns: 6 and 8 are each other's
        picture = picture[:, ::-1]
    if orientation in (6, 7):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def jpeg(rng, picture, orientation):
    options = {"quality": 95, "progressive": bool(rng.integers(2)), "subsampling": int(rng.integers(3))}
    block = exif(orientation, order="<>"[rng.integers(2)], kind=("SHORT", "LONG")[rng.integers(2)], before=2)
    if rng.random() < 0.2:
        block = b"http://ns.adobe.com/xap/1.0/\0" + xmp(orientation)
    return with_segments(encoded(picture, "JPEG", **options), segment(0xE1, block))


def png(rng, picture, orientation):
    block = chunk(b"eXIf", exif(orientation, order="<>"[rng.integers(2)], prefix=b""))
    return with_chunk(encoded(picture, "PNG"), block, before=(b"IDAT", b"IEND")[rng.integers(2)])


def webp_file(rng, picture, orientation):
    padding = b"x" * int(rng.integers(4))
    parts = ((b"ICCP", b"profile" + padding), (b"EXIF", exif(orientation) + padding))
    return webp(picture, *parts, lossless=bool(rng.integers(2)), quality=95)


def tiff_file(rng, picture, orientation):
    gray = picture[..., :1]
    samples, options = [
        (picture, {}),
        (picture, {"planar": True}),
        (picture, {"tile": 32}),
        (picture, {"rows": 16, "compression": 8}),
        (gray, {"photometric": 1}),
        (255 - gray, {"photometric": 0}),
        (np.dstack([gray, np.full_like(gray, 128)]), {"photometric": 1, "extra": 2}),
        (np.dstack([picture, np.full_like(gray, 128)]), {"extra": 2}),
        (np.dstack([255 - picture, np.zeros_like(gray)]), {"photometric": 5}),
        (picture.astype(np.uint16) * 257, {"bits": 16}),
    ][rng.integers(10)]
    return tiff(samples, orientation=orientation, order="<>"[rng.integers(2)], **options)


def variant(rng):
    """A file, the picture's size and the rectangle in it, x1, y1, x2, y2; both as stored and as turned upright."""
    height, width = rng.integers(120, 320, 2).tolist()
    picture = np.full((height, width, 3), _DARK, np.uint8)
    y1, x1 = (rng.uniform(0.1, 0.5, 2) * (height, width)).astype(int).tolist()
    y2, x2 = y1 + height // 3, x1 + width // 3
    picture[y1:y2, x1:x2] = _BRIGHT
    orientation = int(rng.choice(ORIENTATIONS))
    stored = turned(picture, orientation)
    file = (jpeg, png, webp_file, tiff_file)[rng.integers(4)](rng, stored, orientation)
    if rng.random() < 0.5:
        file += rng.integers(0, 256, int(rng.integers(1, 3000)), np.uint8).tobytes()
    rows, columns = np.nonzero(stored[..., 0] == _BRIGHT)
    in_file = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
    return file, in_file, [x1, y1, x2, y2]


def recipe(rng):
    """A recipe, and whether it turns images upright."""
    upright, antialias = bool(rng.integers(2)), bool(rng.integers(2))
    options = {"apply_orientation": upright, "antialias": antialias}
    if antialias:
        options["interpolation"] = ("bilinear", "bicubic", "lanczos")[rng.integers(3)]
    first = [
        [ops.RandomResizedCrop(_FRAME, scale=(0.3, 1.0), **options)],
        [ops.Resize(_FRAME, **options)],
        [ops.ResizeShortest(140, **options), ops.CenterCrop(_FRAME)],
    ][rng.integers(3)]
    flips = [flip for flip in (ops.HorizontalFlip(), ops.VerticalFlip()) if rng.random() < 0.5]
    return Recipe([*first, *flips], output=Output(dtype="uint8")), upright


def check(seed, rows):
    """Of a batch of variants in one recipe: how many boxes lie within a pixel of what is bright, all of them."""
    rng = np.random.default_rng(seed)
    made, upright = recipe(rng)
    files, in_file, in_picture = zip(*(variant(rng) for _ in range(rows)), strict=True)
    notes = [json.dumps({"boxes": [box]}).encode() for box in (in_picture if upright else in_file)]
    (batch,) = encoded_batches(list(files), rows, seed=seed)
    batch = EncodedBatch(batch.data, {"json": notes}, batch.origin)
    engine = AugmentEngine(made, device="cpu", num_threads=2, annotations=Annotations(min_area=0.0))
    (done,) = engine.run(iter([batch]), refuse)
    compared = 0
    for image, boxes in zip(done.images[:, 0].numpy(), done.boxes, strict=True):
        bright = np.argwhere(image > (_DARK + _BRIGHT) / 2)
        if not len(bright) or not len(boxes):
            assert len(bright) <= 2 * max(_FRAME)
            assert not len(boxes) or (boxes[0, 2:] - boxes[0, :2]).min() < 1.0
            continue
        y1, x1, y2, x2 = (*bright.min(axis=0), *(bright.max(axis=0) + 1))
        assert np.abs(boxes[0].numpy() - (x1, y1, x2, y2)).max() <= 1.0, (seed, boxes[0], (x1, y1, x2, y2))
        compared += 1
    return compared


def test_boxes_land_within_a_pixel_in_a_hundred_variants():
    assert sum(check(seed, 10) for seed in range(10)) > 80


@pytest.mark.slow
def test_boxes_land_within_a_pixel_in_a_thousand_variants():
    assert sum(check(1000 + seed, 20) for seed in range(50)) > 800


def test_a_variant_without_pixels_of_known_meaning_is_refused_by_name():
    samples = np.zeros((40, 60, 1), np.float32)
    file = tiff(samples, photometric=1, bits=32, sample_format=3, orientation=6)
    made = Recipe([ops.Resize(_FRAME, apply_orientation=True)])
    (batch,) = encoded_batches([file], 1)
    with pytest.raises(BadSampleError, match="a TIFF of floating-point numbers"):
        list(AugmentEngine(made, device="cpu").run(iter([batch]), refuse))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_turns_of_this_file_are_pillows(orientation):
    from PIL import Image, ImageOps

    picture = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    image = Image.fromarray(turned(picture, orientation))
    image.getexif()[0x0112] = orientation
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), picture)
