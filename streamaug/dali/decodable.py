"""The bytes of an image for DALI: the picture alone, in a form that DALI decodes to Pillow's pixels.

In: encoded images and their headers. Out: nearly always the same bytes, or a view of the part that holds the picture;
an uncompressed PPM of Pillow's pixels where the header says that DALI would refuse or misread the image.
"""

import io
import threading
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streamaug.encoded import Encoded
from streamaug.samples.formats import jpeg2000, tiff, webp
from streamaug.samples.image_header import Header

if TYPE_CHECKING:
    from PIL import Image

#: Modes of Pillow whose conversion to RGB keeps the look of the picture, each by way of another mode if it has no
#: direct one.
_MODES = {"1": None, "L": None, "LA": None, "La": "LA", "P": None, "PA": None, "RGB": None, "RGBA": None}
_MODES |= {"RGBa": "RGBA", "RGBX": None, "CMYK": None, "YCbCr": None, "LAB": None}


class UndecodableError(Exception):
    """The reason why Pillow cannot decode an image that DALI cannot take."""


def decodable(images: Iterable[tuple[Encoded, Header]], *, num_threads: int) -> list[Encoded | UndecodableError]:
    """The bytes for DALI's decoder, whose pixels are those of the pictures as stored.

    Args:
        images: Encoded images with their headers, as `inspect` read them.
        num_threads: Images that Pillow decodes at a time.

    Returns:
        For each image its bytes for DALI, or the reason why Pillow, which must decode it, cannot.
    """
    results: list[Encoded | UndecodableError] = []
    odd: list[tuple[int, Encoded, Header]] = []
    for number, (data, header) in enumerate(images):
        results.append(_part(data, header))
        if header.unlike:
            odd.append((number, data, header))
    if odd:
        with warnings.catch_warnings(), ThreadPoolExecutor(min(num_threads, len(odd))) as pool:
            warnings.simplefilter("ignore")  # Pillow warns of metadata and of sizes, which `inspect` has judged
            pooled = threading.main_thread().is_alive()  # pools end before atexit handlers run
            for number, picture in (pool.map if pooled else map)(_uncompressed, odd):
                results[number] = picture
    return results


def _part(data: Encoded, header: Header) -> Encoded:
    """The part of the file that holds the picture."""
    if header.span is None:
        return data
    return webp.simple(data, header.span) if data[:4] == webp.MAGIC else memoryview(data)[slice(*header.span)]


def _uncompressed(odd: tuple[int, Encoded, Header]) -> tuple[int, Encoded | UndecodableError]:
    """The number of an image, and Pillow's picture as a PPM."""
    number, data, header = odd
    try:
        picture = by_pillow(data)
    except UndecodableError as reason:
        return number, UndecodableError(f"it is {header.unlike}, which Pillow decodes, and {reason}")
    height, width = picture.shape[:2]
    if (height, width) != header[:2]:
        sizes = f"its header says {header.width}×{header.height} pixels, and Pillow decodes {width}×{height}"
        return number, UndecodableError(sizes)
    return number, b"P6\n%d %d\n255\n" % (width, height) + picture.tobytes()


def by_pillow(data: Encoded) -> npt.NDArray[np.uint8]:
    """uint8 (height, width, 3) RGB: the picture as stored, decoded by Pillow, without its alpha.

    Raises:
        UndecodableError: If Pillow cannot decode it, or not to the right picture of 8 or 16 bits.
    """
    if jpeg2000.has_deep_colors(data):
        raise UndecodableError("Pillow decodes it to a picture whose white turns black")
    from PIL import Image, UnidentifiedImageError  # rarely needed, and slow to import

    try:
        unturned = tiff.unoriented(data) if data[:4] in (tiff.LITTLE, tiff.BIG) else data
        with Image.open(io.BytesIO(unturned)) as image:
            image.load()
    except UnidentifiedImageError as error:
        raise UndecodableError("Pillow does not know this form") from error
    except Exception as error:
        raise UndecodableError(f"Pillow cannot decode it: {error}") from error
    return levels(image)


def levels(image: "Image.Image") -> npt.NDArray[np.uint8]:
    """uint8 (height, width, 3) RGB of Pillow's image, without its alpha; 16 bits are reduced to 8, as by DALI.

    Raises:
        UndecodableError: If its numbers have no black and white.
    """
    if image.mode.startswith("I;16"):
        deep = np.asarray(image, np.uint32)
        return np.repeat(((deep * 255 + 32767) // 65535).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in _MODES:
        raise UndecodableError(
            f"Pillow decodes it to numbers of mode {image.mode}, of which it knows no black and white"
        )
    between = _MODES[image.mode]
    return np.asarray((image.convert(between) if between else image).convert("RGB"))
