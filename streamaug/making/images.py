"""Judges images, and reduces large ones.

In: the bytes of an image file. Out: the bytes to store, or the reason why the image cannot be used. An image within the
limit keeps its bytes. A reduced image keeps its format (TIFF, BMP and JPEG 2000 become PNG), is not turned, and keeps
of its metadata the EXIF orientation and the colour profile; so a program that turns images by that tag turns it as
before.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, features
from PIL import __version__ as pillow_version

from streamaug.making.listing import Content, Unusable
from streamaug.making.options import QUALITY
from streamaug.samples.formats.jpeg2000 import has_deep_colors
from streamaug.samples.image_header import inspect

#: First bytes of the formats that `image_header` takes, and the suffix of a component that holds them.
_SUFFIXES = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG", "png"),
    (b"RIFF", "webp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
    (b"BM", "bmp"),
    (b"\0\0\0\x0cjP", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
)
#: The inverse of each EXIF orientation's turn in `ImageOps.exif_transpose`.
_TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
#: The options of Pillow's writers of JPEG, PNG and WebP; other formats become PNG.
_FORMATS = {"JPEG": "jpg", "MPO": "jpg", "WEBP": "webp"}


def versions() -> dict[str, str | None]:
    """The versions that decide the bytes of reduced images."""
    return {"pillow": pillow_version, "jpeg": features.version("libjpeg_turbo") or features.version("jpg")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRule:
    """The demands on images, and the changes to them.

    Args:
        max_side: Pixels of the longer side above which an image is reduced; None: no image is.
        quality: The quality of reduced JPEGs and WebPs.
        decode: Whether to decode JPEGs that are not reduced too.
    """

    max_side: int | None = None
    quality: int = QUALITY
    decode: bool = False

    def apply(self, content: Content) -> Content | Unusable:
        """The sample with the image to store, and its suffix.

        A JPEG that is not reduced is judged by its header and end, unless `decode` is set: its decoder fills damaged
        parts in between and reports nothing. Other formats are decoded.
        """
        header = inspect(content.image)
        if isinstance(header, str):
            return Unusable(header)
        suffix = suffix_of(content.image)
        if self.max_side is not None and max(header.height, header.width) > self.max_side:
            return self._reduced(content, suffix, self.max_side)
        if (self.decode or suffix != "jpg") and (reason := _undecodable(content.image)):
            return Unusable(reason)
        return content if content.suffix else Content(content.image, suffix, content.others)

    def _reduced(self, content: Content, suffix: str, max_side: int) -> Content | Unusable:
        header = inspect(content.image, orientation=True)
        if isinstance(header, str):
            return Unusable(header)
        if has_deep_colors(content.image):
            return Unusable(
                "it is a JPEG 2000 with colours of more than 8 bits, whose white turns black where Pillow reduces it: "
                "write its pixels as 8 bits, or leave --max-side out"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large images and odd metadata; real damage raises
                data, written = reduce(content.image, max_side, self.quality, header.orientation)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - Pillow's readers raise whatever their parsing meets
            return Unusable(f"Pillow cannot reduce it: {error}")
        return Content(data, content.suffix if content.suffix and suffix == written else written, content.others)


def suffix_of(data: bytes) -> str:
    """The suffix of an image that `image_header` takes, by its first bytes."""
    for magic, suffix in _SUFFIXES:
        if data.startswith(magic):
            return suffix
    raise ValueError(f"suffix_of: the image must be of a format that can be read, got {data[:8]!r}. Inspect it first.")


def reduce(data: bytes, max_side: int, quality: int, orientation: int) -> tuple[bytes, str]:
    """The image with `max_side` pixels on its longer side, by Lanczos, with an EXIF orientation, and its suffix.

    JPEGs are decoded at an eighth to all of their size, at least twice the wanted size, as Pillow's `thumbnail` does.
    """
    with Image.open(io.BytesIO(data)) as image:
        written = _FORMATS.get(image.format or "", "png")
        is_converted = written == "png" and image.mode not in ("L", "LA", "RGB", "RGBA", "P")
        profile = None if is_converted else image.info.get("icc_profile")
        reduced = image if written == "jpg" else _resizable(image, written)  # a JPEG is best not loaded at full size
        if image.format == "TIFF" and orientation != 1:
            reduced = reduced.transpose(_TURNED_BACK[orientation])  # Pillow turns TIFFs as it loads them
        reduced.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        if reduced.mode == "I":
            reduced = reduced.convert("I;16")
        reduced.info = {}  # or some writers would take metadata from it
        return _encoded(reduced, written, orientation, profile, quality), written


def _resizable(image: Image.Image, written: str) -> Image.Image:
    """The image in a mode whose pixels can be averaged, and that its format can hold.

    Raises:
        ValueError: If no format can hold the same pixels.
    """
    image.load()
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I;16"):
        return image.convert("I")
    if image.mode in ("P", "PA") or (image.has_transparency_data and image.mode not in ("LA", "RGBA")):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("CMYK", "YCbCr"):
        return image.convert("RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ValueError(f"pixels of mode {image.mode} cannot be kept in a {written}")
    return image


def _encoded(image: Image.Image, suffix: str, orientation: int, profile: bytes | None, quality: int) -> bytes:
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    if orientation != 1:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        options["exif"] = exif.tobytes()
    if suffix != "png":
        options["quality"] = quality
    file = io.BytesIO()
    image.save(file, {"jpg": "JPEG", "webp": "WEBP"}.get(suffix, "PNG"), **options)
    return file.getvalue()


def _undecodable(data: bytes) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                image.load()
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        return None  # `inspect` has held it to the limit of training
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise whatever their parsing meets
        return f"Pillow cannot decode it: {error}"
    return None
