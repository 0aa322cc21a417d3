"""Blending in place on a GPU, a group of rows at a time.

In: images, partners, λ and boxes. Out: the same memory, mixed. A group makes few, large kernels whose operands lie in
the device's cache, so that the batch passes through its memory once. Written for GPUs, tested on the CPU.
"""

from typing import NamedTuple

import numpy as np
import torch

from streamaug.batch import Float64Array, Int64Array
from streamaug.mix.arrays import uploaded
from streamaug.mix.overwrite_order import chains, untouched_rows

#: Rows of a group: 32 float32 images of 224² are 19 MB, and caches of tens of MB hold their temporaries too.
ROWS_PER_GROUP = 32


def in_groups(
    images: torch.Tensor,
    partner: Int64Array,
    lam: Float64Array,
    boxes: Int64Array,
    rows_per_group: int = ROWS_PER_GROUP,
) -> None:
    """Blend every row with its partner; see `blend` for the arguments, which are checked there."""
    groups: list[list[int]] = [[]]
    in_pairs = True
    for rows, closed in chains(partner, untouched_rows(partner, lam, boxes)):
        in_pairs = in_pairs and closed and len(rows) == 2
        if len(groups[-1]) >= rows_per_group:
            groups.append([])
        groups[-1] += rows
    order = np.array([row for group in groups for row in group], np.int64)
    if not len(order):
        return
    source = images if in_pairs else images.clone()  # a pair lies in one group, and is read before it is written
    numbers = uploaded(images.device, order, partner[order], lam[order], *np.ascontiguousarray(boxes[order].T))
    start = 0
    for group in groups:
        part = slice(start, start + len(group))
        here = _Rows(*(column[part] for column in numbers))
        chosen = order[part]
        blends, pastes = bool((lam[chosen] < 1).any()), bool((boxes[chosen, 1] > boxes[chosen, 0]).any())
        images.index_copy_(0, here.row, _blended(source, here, blends=blends, pastes=pastes))
        start += len(group)


class _Rows(NamedTuple):
    """Rows of a group, on the images' device.

    Attributes:
        row: int64 (R,).
        partner: int64 (R,).
        lam: float64 (R,).
        y1: int64 (R,), the box's top; then its bottom, left and right.
    """

    row: torch.Tensor
    partner: torch.Tensor
    lam: torch.Tensor
    y1: torch.Tensor
    y2: torch.Tensor
    x1: torch.Tensor
    x2: torch.Tensor


def _blended(source: torch.Tensor, rows: _Rows, *, blends: bool, pastes: bool) -> torch.Tensor:
    """The new pixels of some rows, (R, C, H, W); `blends` if any λ is below 1, `pastes` if any box is not empty."""
    device = source.device
    own, mate = source.index_select(0, rows.row), source.index_select(0, rows.partner)
    mixed = own
    if blends:
        compute = torch.float64 if own.dtype == torch.float64 else torch.float32
        weight = rows.lam.to(compute).view(-1, 1, 1, 1)
        mixed = torch.lerp(mate.to(compute), own.to(compute), weight)
        mixed = (mixed.add_(0.5) if own.dtype == torch.uint8 else mixed).to(own.dtype)
        mixed = torch.where(weight == 1, own, mixed)  # 0 times an infinity is not 0
    if pastes:
        y1, y2, x1, x2 = (corner.view(-1, 1, 1, 1) for corner in (rows.y1, rows.y2, rows.x1, rows.x2))
        y = torch.arange(source.shape[2], device=device).view(1, 1, -1, 1)
        x = torch.arange(source.shape[3], device=device).view(1, 1, 1, -1)
        mixed = torch.where((y >= y1) & (y < y2) & (x >= x1) & (x < x2), mate, mixed)
    return mixed
