"""Every form of image file decodes to Pillow's pixels, turned or not as the recipe asks, or is refused by name."""

import base64
import io
import warnings

import numpy as np
import pytest
from augmenting import augmented
from image_files import COLORS_OF_16_BITS, JPEG_2000_OF_16_BITS, bmp, tiff
from image_forms import GRAY, PICTURE, forms, oriented
from pictures import encoded
from PIL import Image, ImageOps

from streamaug import BadSampleError, Output, Recipe, ops
from streamaug.dali.decodable import UndecodableError, by_pillow

_FORMS = dict(forms())
_ORIENTED = dict(oriented())
#: Gray levels, on average: what two decoders of one format may differ by.
_CLOSE = 2.0
#: The colour table of a palette of 16-bit indices.
_GRAYS = ((320, "SHORT", list(range(65536)) * 3),)
#: A lossless JPEG 2000 of 16×16 gray pixels of 10 bits: 0, 4, 8 and so on, row by row.
_TEN_BITS = base64.b64decode(
    "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAAEAAAABAAAQkHAAAAAAAPY29scgEAAAAAABEAAAFEanAyY/9P"
    "/1EAKQAAAAAAEAAAABAAAAAAAAAAAAAAABAAAAAQAAAAAAAAAAAAAQkBAf9SAAwAAAABAAAEBAAB/1wABEBQ/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBF"
    "RyB2ZXJzaW9uIDIuNS40/5AACgAAAAAA0gAB/5PftYISN2Xa1BnCWEdOaBANTHYknOc5znOc50kRGZmZmZmZmuMg+mwQAAAAAAAgAGAACoAgAAqAIAAA"
    "AAAABOX3+xYMpbCQEVuV1jLeHxOvNMo6SogZS2Efg2fFboKGBaPsRz+q9n6SmHlSWH0e812vEIvtKPNh+bD+jvdwcbXVwnW+tpdW0uraXUhDtGk63X6Y"
    "VwnW+tpdW0uraXVtPAbNhsNhsNhsNhsNhsNhsNh0SRIsBl5eXl5eXl5eXl5eXjHcJ98P/9k="
)
#: The depths of three components in a JPEG 2000, of 8 bits and of 12.
_TO_12_BITS = (b"\7\1\1" * 3, b"\x0b\1\1" * 3)


def decoded(files, size, *, turned):
    """uint8 (N, H, W, 3) of files of one upright size, resized to that size, which changes nothing."""
    recipe = Recipe([ops.Resize(size, apply_orientation=turned)], output=Output(dtype="uint8"))
    return augmented(recipe, files, batch_size=len(files)).permute(0, 2, 3, 1).numpy().astype(int)


def as_stored(file):
    """Pillow's pixels; None where Pillow refuses the file."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return by_pillow(file)
        except UndecodableError:
            return None


def as_pillow_turns(file):
    with warnings.catch_warnings(action="ignore"):
        image = Image.open(io.BytesIO(file))
        image.load()
        turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I;16"):
        return np.repeat(np.rint(np.asarray(turned) / 257)[..., None], 3, axis=2)
    return np.asarray(turned.convert({"La": "LA"}.get(turned.mode, turned.mode)).convert("RGB"))


def differences(files, want, size, *, turned):
    got = decoded(list(files.values()), size, turned=turned)
    means = np.abs(got - np.stack(want)).mean(axis=(1, 2, 3))
    return {name: mean for name, mean in zip(files, means.tolist(), strict=True) if mean > _CLOSE}


def test_every_form_decodes_to_pillows_pixels():
    want = [as_stored(file) for file in _FORMS.values()]
    assert differences(_FORMS, want, PICTURE.shape[:2], turned=False) == {}


def test_an_orientation_turns_nothing_unless_asked():
    want = [as_stored(file) for file in _ORIENTED.values()]
    assert differences(_ORIENTED, want, PICTURE.shape[:2], turned=False) == {}


@pytest.mark.parametrize("sideways", [False, True])
def test_an_orientation_turns_the_image_as_pillow_does_when_asked(sideways):
    height, width = PICTURE.shape[:2]
    size = (width, height) if sideways else (height, width)
    want = {name: as_pillow_turns(file) for name, file in _ORIENTED.items()}
    chosen = {name: file for name, file in _ORIENTED.items() if want[name].shape[:2] == size}
    assert len(chosen) > 100
    assert differences(chosen, [want[name] for name in chosen], size, turned=True) == {}


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (tiff(GRAY[..., None].astype(np.float32), photometric=1, bits=32, sample_format=3), "floating-point numbers"),
        (tiff(GRAY[..., None].astype(np.uint32), photometric=1, bits=32), "32-bit numbers"),
        (tiff(GRAY[..., None].astype(np.int16), photometric=1, bits=16, sample_format=2), "mode I"),
        (tiff(np.dstack([PICTURE, GRAY, GRAY]), extra=0), "5 samples a pixel"),
        (tiff(GRAY[..., None].astype(np.uint16), photometric=3, bits=16, tags=_GRAYS), "photometric 3|16 bits"),
        (bmp(PICTURE, bits=32, header=124, masks=(0xFF, 0xFF00, 0xFF0000, 0)), "a BMP of 32 bits with compression 3"),
    ],
)
def test_a_form_without_pixels_that_anybody_can_name_is_refused_by_name(file, reason):
    with pytest.raises(BadSampleError, match=reason):
        decoded([file], PICTURE.shape[:2], turned=False)


def test_a_jpeg_2000_of_10_bits_is_scaled_to_8():
    got = decoded([_TEN_BITS], (16, 16), turned=False)[0, :, :, 0]
    assert np.abs(got - np.arange(256).reshape(16, 16)).max() <= 1


def test_a_jpeg_2000_with_colours_of_16_bits_is_scaled_to_8_and_white_stays_white():
    """DALI rounds it rightly; Pillow 13 rounds white, 65535, up to 256 and stores 0."""
    got = decoded([JPEG_2000_OF_16_BITS], (16, 16), turned=False)[0]
    assert (got == COLORS_OF_16_BITS // 257).all()


@pytest.mark.parametrize("file", [JPEG_2000_OF_16_BITS, encoded(PICTURE, "JPEG2000").replace(*_TO_12_BITS)])
def test_pillow_is_never_asked_for_deep_colours_in_jpeg_2000(file):
    with pytest.raises(UndecodableError, match="white turns black"):
        by_pillow(file)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_damage_in_a_compressed_tiff_is_noticed_where_pillow_notices_it(compression):
    file = encoded(PICTURE, "TIFF", compression=compression)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(20):
        damaged = bytearray(file)
        at = int(rng.integers(len(file) // 4, len(file) // 2))
        damaged[at : at + 24] = rng.integers(0, 256, 24, np.uint8).tobytes()
        want = as_stored(bytes(damaged))
        if want is None:
            refused += 1
            with pytest.raises(BadSampleError, match="which Pillow decodes, and Pillow cannot decode it"):
                decoded([bytes(damaged)], PICTURE.shape[:2], turned=False)
        else:
            got = decoded([bytes(damaged)], PICTURE.shape[:2], turned=False)
            assert np.abs(got - want).mean() < _CLOSE
    assert refused > 5 or compression == "packbits"  # any bytes are some picture there
