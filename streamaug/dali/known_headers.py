"""The headers of images that were read before, by sample id, so that a later epoch does not read them again.

In: sample ids and encoded images. Out: the headers that an earlier epoch has read. Reading a header means reading the
whole file, because only its end shows that the file is whole. A header is kept for a sample id and a number of bytes:
within a chain these are the same bytes, since storage refuses a file that changed after it was first read.
"""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamaug.encoded import Encoded
from streamaug.samples.image_header import MAX_PIXELS, Header

#: Sample ids below this are kept, in 16 bytes each: at most 64 MiB, of which the system provides the pages that are
#: written to.
SAMPLES = 1 << 22
#: A side has fewer pixels than this: an image has at most `MAX_PIXELS`, which is below 2²⁸.
_SIDE_BITS = MAX_PIXELS.bit_length()
_ORIENTATION_BITS = 4


class KnownHeaders:
    """Keeps the headers of ordinary images, which DALI takes unchanged.

    May be used by several threads.

    Args:
        orientation: Whether the headers are read with their EXIF orientation.
        samples: The bound of the sample ids whose headers are kept.
    """

    def __init__(self, *, orientation: bool, samples: int = SAMPLES) -> None:
        self.orientation = orientation
        #: Bytes of the image, 0 where no header is kept; height, width and orientation in one number.
        self._table = np.zeros((samples, 2), np.int64)
        self._lock = threading.Lock()

    def find(self, sample_ids: npt.NDArray[np.int64], images: Sequence[Encoded]) -> list[Header | None]:
        """The headers that were kept, None for other samples.

        Args:
            sample_ids: int64 (B,).
            images: B encoded images.
        """
        within = sample_ids < len(self._table)
        with self._lock:
            rows = self._table[np.where(within, sample_ids, 0)]
        known = within & (rows[:, 0] == _sizes(images)) & (rows[:, 0] > 0)
        if not known.any():
            return [None] * len(images)
        sides = 1 << _SIDE_BITS
        packed, orientation = np.divmod(rows[:, 1], 1 << _ORIENTATION_BITS)
        columns = zip(
            known.tolist(), *(c.tolist() for c in np.divmod(packed, sides)), orientation.tolist(), strict=True
        )
        return [Header(height, width, turned) if is_known else None for is_known, height, width, turned in columns]

    def keep(self, sample_ids: npt.NDArray[np.int64], images: Sequence[Encoded], headers: Sequence[Header]) -> None:
        """Keep headers as `inspect` read them.

        Args:
            sample_ids: int64 (B,).
            images: B encoded images.
            headers: Their headers; headers of images whose part or other form is decoded are left out.
        """
        ordinary = np.array([header.span is None and not header.unlike for header in headers], np.bool_)
        numbers = np.array([header[:3] for header in headers], np.int64).reshape(-1, 3)
        packed = ((numbers[:, 0] << _SIDE_BITS | numbers[:, 1]) << _ORIENTATION_BITS) | numbers[:, 2]
        chosen = ordinary & (sample_ids < len(self._table))
        rows = np.stack([_sizes(images), packed], axis=1)[chosen]
        with self._lock:
            self._table[sample_ids[chosen]] = rows


def _sizes(images: Sequence[Encoded]) -> npt.NDArray[np.int64]:
    """Bytes of each image, int64 (B,)."""
    return np.fromiter(map(len, images), np.int64, len(images))
