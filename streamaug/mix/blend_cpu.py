"""Blending in place on a processor, band by band.

In: images, partners, λ and boxes. Out: the same memory, mixed, each row read and written once. The bands of a chain
fit into the cache of one core, and each call of torch is too small for it to start threads: a loader's cores are busy,
and a call on several threads waits for the last of them to be scheduled (see benchmarks/mixing.py --busy). Where
nothing is blended, as in CutMix, numpy moves the boxes, and nothing but the boxes.
"""

from typing import Any

import numpy.typing as npt
import torch

from streamaug.batch import Float64Array, Int64Array
from streamaug.mix.overwrite_order import chains, untouched_rows

#: torch runs elementwise calls on at most this many elements in the calling thread (at::internal::GRAIN_SIZE).
BAND_ELEMENTS = 32768


def in_bands(images: torch.Tensor, partner: Int64Array, lam: Float64Array, boxes: Int64Array) -> None:
    """Blend every row with its partner; see `blend` for the arguments, which are checked there."""
    untouched = untouched_rows(partner, lam, boxes)
    weights, corners, mates = lam.tolist(), boxes.tolist(), partner.tolist()
    bits, bands = _as_array(images), _bands(images) if (lam < 1).any() else []
    for rows, closed in chains(partner, untouched):
        if min(weights[row] for row in rows) == 1:
            _paste(bits, rows, closed, mates, corners)
            continue
        last = rows[-1]
        for top, band in bands:
            needed = band[mates[last]]
            if closed:  # the last row needs the first row's old pixels
                needed = needed.clone()
            for row in rows:
                _blend(band[row], needed if row == last else band[mates[row]], weights[row], corners[row], top)


def _bands(images: torch.Tensor) -> list[tuple[int, tuple[torch.Tensor, ...]]]:
    """Bands of all images: the row of pixels where they begin, and a band (C, h, W) of each image."""
    channels, height, width = images.shape[1:]
    step = max(1, BAND_ELEMENTS // (channels * width))
    return [(top, images[:, :, top : top + step].unbind()) for top in range(0, height, step)]


def _as_array(images: torch.Tensor) -> npt.NDArray[Any]:
    """The same memory as an array (B, C, H, W); bfloat16, which numpy lacks, as integers of the same bits."""
    array: npt.NDArray[Any] = (images.view(torch.int16) if images.dtype == torch.bfloat16 else images).numpy()
    return array


def _paste(images: npt.NDArray[Any], rows: list[int], closed: bool, mates: list[int], corners: list[list[int]]) -> None:
    """Boxes of partners into the rows of a chain that is CutMix's alone; nothing else is read or written."""
    last = rows[-1]
    needed = _box(images[mates[last]], corners[last])
    if closed:  # the last row needs the first row's old pixels
        needed = needed.copy(order="K")
    for row in rows:
        _box(images[row], corners[row])[...] = needed if row == last else _box(images[mates[row]], corners[row])


def _box(image: npt.NDArray[Any], corners: list[int]) -> npt.NDArray[Any]:
    """The view (C, h, w) of a box of an image (C, H, W)."""
    y1, y2, x1, x2 = corners
    return image[:, y1:y2, x1:x2]


def _blend(own: torch.Tensor, mate: torch.Tensor, lam: float, box: list[int], top: int) -> None:
    """A band (C, h, W) that begins at row `top`: λ·own + (1−λ)·mate into own, and mate inside the box."""
    lerp(own, mate, lam)
    y1, y2, x1, x2 = box
    y1, y2 = max(y1 - top, 0), min(y2 - top, own.shape[1])
    if y1 < y2 and x1 < x2:
        own[:, y1:y2, x1:x2].copy_(mate[:, y1:y2, x1:x2])


def lerp(own: torch.Tensor, mate: torch.Tensor, lam: float) -> None:
    """λ·own + (1−λ)·mate into own, on any device; where λ is 1, `own` keeps its bits."""
    if lam < 1:
        if own.dtype == torch.uint8:  # the cast cuts off; round() would start threads, from 2,048 elements on
            own.copy_(torch.lerp(mate.float(), own.float(), lam).add_(0.5))
        else:  # rounded once: torch computes 16-bit floats in float32
            torch.lerp(mate, own, lam, out=own)
