"""The contents of a source: a `Listed` for each sample, and the `Source` that reads its bytes in any process.

The starting process makes a listing once; a `Source` travels to the workers, so it is small and can be pickled.
"""

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Suffixes of image files; those that training cannot read are then reported, not skipped.
IMAGE_SUFFIXES = frozenset(("jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "bmp", "jp2", "j2k", "jpc")) | {
    *("gif", "ppm", "pgm", "pbm", "heic", "heif", "avif", "jxl", "tga"),
}
#: Components that hold an image; a sample's first of these is its image.
IMAGE_COMPONENTS = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "jp2")
_BLOCK = 512


class Listed(NamedTuple):
    """A sample before it is read.

    Attributes:
        name: The key from the source; it may be invalid, or equal another sample's.
        ref: The source's reference to it.
        num_bytes: Bytes of its members in a tar, without its label.
        label: A class number, the name of a class, or None where the source has no labels.
    """

    name: str
    ref: Any
    num_bytes: int
    label: int | str | None = None


class Content(NamedTuple):
    """The bytes of a sample.

    Attributes:
        image: The encoded image.
        suffix: The image's suffix; None: that of its format.
        others: The other components by suffix.
    """

    image: bytes
    suffix: str | None = None
    others: Mapping[str, bytes] = {}


class Unusable(NamedTuple):
    """The reason why a sample cannot be used, to go on after its name and a colon."""

    reason: str


class Source(abc.ABC):
    """Reads the listed samples of a source."""

    #: Whether reading opens connections, which do not survive a fork.
    is_remote: bool = False

    @abc.abstractmethod
    def read(self, refs: Sequence[Any]) -> Iterator[Content | Unusable]:
        """The samples of these refs, in order.

        Raises:
            StorageError: If reading fails for a reason that may pass: then the run ends, and goes on when it is started
                again.
        """

    @abc.abstractmethod
    def describe(self, ref: Any) -> str:
        """The name of the sample in messages."""


@dataclass
class Listing:
    """All samples of one source.

    Attributes:
        source: Reads the samples.
        samples: The samples in the source's own order, which depends on names alone.
        class_names: Where labels are numbers, the name of each; where they are names, all names, also those without a
            sample; None: the source has no names.
        notes: Lines about the listing for the user.
    """

    source: Source
    samples: list[Listed]
    class_names: list[str] | None = None
    notes: list[str] = field(default_factory=list)


def bytes_in_tar(*sizes: int) -> int:
    """Bytes of members of these sizes in a tar, headers and padding included."""
    return sum(_BLOCK + -(-size // _BLOCK) * _BLOCK for size in sizes)
