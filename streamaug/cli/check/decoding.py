"""Checks that images decode by DALI, as in training, and by Pillow, to the same pixels.

In: encoded images whose headers and ends are sound. Out: for each the reason why it is suspect, or None. Each of the
two decoders accepts images that the other refuses.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamaug.dali.decodable import UndecodableError, decodable
from streamaug.dali.decodable import by_pillow as decoded_by_pillow
from streamaug.dali.sample_decoder import RefusedError, SampleDecoder
from streamaug.encoded import Encoded
from streamaug.samples.formats.jpeg2000 import has_deep_colors
from streamaug.samples.image_header import Header, inspect

#: Gray levels, on average, above which two pictures count as different.
MAX_DIFFERENCE = 8.0


def reasons(images: Sequence[bytes]) -> list[str | None]:
    """The reasons why images are suspect; decodes each whole, on the CPU, one by one.

    Args:
        images: Images that `image_header.inspect` accepts.
    """
    decoder = SampleDecoder()
    return [_reason(decoder, data) for data in images]


def _reason(decoder: SampleDecoder, data: bytes) -> str | None:
    header = inspect(data)
    if isinstance(header, str):
        return header
    (picture,) = decodable([(data, header)], num_threads=1)
    if isinstance(picture, UndecodableError):
        return str(picture)
    by_dali = _by_dali(decoder, picture, header)
    if has_deep_colors(data):  # Pillow's picture is the wrong one
        return by_dali if isinstance(by_dali, str) else None
    by_pillow = _by_pillow(data)
    if isinstance(by_dali, str) or isinstance(by_pillow, str):
        return "; ".join(problem for problem in (by_dali, by_pillow) if isinstance(problem, str))
    difference = float(np.abs(by_dali.astype(np.int16) - by_pillow).mean())
    if difference > MAX_DIFFERENCE:
        return f"DALI's pixels differ from Pillow's by {difference:.1f} gray levels on average"
    return None


def _by_dali(decoder: SampleDecoder, picture: Encoded, header: Header) -> npt.NDArray[np.uint8] | str:
    """The pixels, or the reason why DALI refuses the image; likewise for Pillow."""
    try:
        return decoder.decode(picture, (0, 0), header[:2]).numpy()
    except RefusedError as reason:
        return f"DALI cannot decode it: {reason}"


def _by_pillow(data: bytes) -> npt.NDArray[np.uint8] | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, and of sizes that `inspect` has judged
            return decoded_by_pillow(data)
    except UndecodableError as reason:
        return str(reason)
