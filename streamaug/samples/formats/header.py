"""`Header`: the facts that readers of all formats return; and `MalformedError`: why they refuse an image."""

from typing import NamedTuple


class Header(NamedTuple):
    """Size and orientation of an encoded image, and how to decode its pixels.

    Attributes:
        height: Pixels, as stored (before any orientation).
        width: Pixels, as stored.
        orientation: EXIF orientation 1..8; 1 unless it is asked for.
        span: (start, stop) of the bytes that hold the picture, where the file holds others too; None: all of them.
        unlike: The form of the image, where DALI refuses it or decodes it to other pixels than Pillow, as "a planar
            TIFF"; Pillow decodes such an image. Empty: DALI decodes it.
    """

    height: int
    width: int
    orientation: int = 1
    span: tuple[int, int] | None = None
    unlike: str = ""


class MalformedError(Exception):
    """The reason why a header is refused."""
