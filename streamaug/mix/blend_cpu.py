"""Blending in place on a processor, band by band.

In: images, partners, λ and boxes. Out: the same memory, mixed, each row read and written once. The bands of a chain
fit into the cache of one core, and each call of torch is too small for it to start threads: a loader's cores are busy,
and a call on several threads waits for the last of them to be scheduled (see benchmarks/mixing.py --busy).
"""

import torch

from streamaug.batch import Float64Array, Int64Array
from streamaug.mix.overwrite_order import chains, untouched_rows

#: torch runs elementwise calls on at most this many elements in the calling thread (at::internal::GRAIN_SIZE).
BAND_ELEMENTS = 32768


def in_bands(images: torch.Tensor, partner: Int64Array, lam: Float64Array, boxes: Int64Array) -> None:
    """Blend every row with its partner; see `blend` for the arguments, which are checked there."""
    untouched = untouched_rows(partner, lam, boxes)
    weights, corners, mates = lam.tolist(), boxes.tolist(), partner.tolist()
    for rows, closed in chains(partner, untouched):
        for top, bottom in _bands(images, [weights[row] for row in rows], [corners[row] for row in rows]):
            bands = {row: images[row, :, top:bottom] for row in {*rows, mates[rows[-1]]}}
            if closed:  # the last row needs what the first row held
                bands[-1] = bands[rows[0]].clone()
            for row in rows:
                mate = bands[-1 if closed and row == rows[-1] else mates[row]]
                _blend(bands[row], mate, weights[row], corners[row], top)


def _bands(images: torch.Tensor, weights: list[float], boxes: list[list[int]]) -> list[tuple[int, int]]:
    """(top, bottom) of bands that hold all pixels that change."""
    channels, height, width = images.shape[1:]
    first, last = 0, height
    if min(weights) == 1:  # CutMix alone: the rows of its boxes
        first, last = min(box[0] for box in boxes), max(box[1] for box in boxes)
    step = max(1, BAND_ELEMENTS // (channels * width))
    return [(top, min(top + step, last)) for top in range(first, last, step)]


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
