"""Whether images decode, by the decoder that training has, DALI's, and by Pillow.

In: encoded images whose headers and ends are sound. Out: for each the reason why it does not decode, or None. Each of
the two takes images that the other refuses.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from streamaug.batch import EncodedBatch, Origin
from streamaug.dali.feed import Preparer
from streamaug.dali.layout import Layout
from streamaug.dali.recover import undecodable
from streamaug.ops import Resize
from streamaug.recipe import Recipe


def reasons(images: Sequence[bytes]) -> list[str | None]:
    """Why images do not decode; each is decoded whole, on the CPU, one by one.

    Args:
        images: Images that `image_header.inspect` takes.
    """
    by_dali = _by_dali(images)
    found = [(by_dali.get(number), _by_pillow(data)) for number, data in enumerate(images)]
    return ["; ".join(filter(None, pair)) or None for pair in found]


def _by_dali(images: Sequence[bytes]) -> dict[int, str]:
    numbers = np.arange(len(images))
    origin = Origin(0, 0, 0, 1, numbers, numbers, ("",) * len(images), numbers < 0, numbers < 0)
    preparer = Preparer(Layout(Recipe([Resize(8)])))  # resizes all of the image, so that all of it is decoded
    job = preparer.prepare(EncodedBatch(list(images), {}, origin), _never)
    return {row: problem.reason for row, problem in undecodable(job, None).items()}


def _never(*_: object) -> EncodedBatch:
    raise AssertionError("only images with a sound header are decoded")


def _by_pillow(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Image.DecompressionBombError:
        return None  # its limit is lower than training's, which `inspect` has held the image to
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise whatever their parsing meets
        return f"Pillow cannot decode it: {error}"
    return None
