"""Blending in place on a GPU, a group of rows at a time.

In: images, partners, λ and boxes. Out: the same memory, mixed. A group makes few, large kernels whose operands lie in
the device's cache, so that the batch passes through its memory once. Written for GPUs, tested on the CPU.
"""

import numpy as np
import torch

from streamaug.batch import Float64Array, Int64Array
from streamaug.mix.chains import chains, untouched_rows

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
    source = images if in_pairs else images.clone()  # a pair lies in one group, and is read before it is written
    for group in groups:
        if group:
            index = np.array(group, np.int64)
            mixed = _blended(source, index, partner[index], lam[index], boxes[index])
            images.index_copy_(0, torch.from_numpy(index).to(images.device), mixed)


def _blended(
    source: torch.Tensor, rows: Int64Array, partner: Int64Array, lam: Float64Array, boxes: Int64Array
) -> torch.Tensor:
    """The new pixels of some rows, (R, C, H, W)."""
    device = source.device
    own, mate = (source.index_select(0, torch.from_numpy(index).to(device)) for index in (rows, partner))
    mixed = own
    if (lam < 1).any():
        compute = torch.float64 if own.dtype == torch.float64 else torch.float32
        weight = torch.from_numpy(lam).to(device, compute).view(-1, 1, 1, 1)
        mixed = torch.lerp(mate.to(compute), own.to(compute), weight)
        mixed = (mixed.add_(0.5) if own.dtype == torch.uint8 else mixed).to(own.dtype)
        mixed = torch.where(weight == 1, own, mixed)  # 0 times an infinity is not 0
    if (boxes[:, 1] > boxes[:, 0]).any():
        y1, y2, x1, x2 = torch.from_numpy(boxes).to(device).T.reshape(4, -1, 1, 1, 1)
        y = torch.arange(source.shape[2], device=device).view(1, 1, -1, 1)
        x = torch.arange(source.shape[3], device=device).view(1, 1, 1, -1)
        mixed = torch.where((y >= y1) & (y < y2) & (x >= x1) & (x < x2), mate, mixed)
    return mixed
