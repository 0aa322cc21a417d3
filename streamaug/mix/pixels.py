"""Blending rows of a batch with their partners, reading and writing each row once.

In: images, each row's partner, λ and box. Out: the mixed images, in new memory, in `out`, or in place. In place, rows
that need each other are worked through together while both are in the processor's cache: an unhurried pass over a batch
costs as much as copying it. Nothing is drawn here.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch

from streamaug.batch import Float64Array, Int64Array
from streamaug.mix.arrays import ArrayLike, ArrayT, as_numpy, pixels_and_result, shares_memory

DTYPES = ("float16", "bfloat16", "float32", "float64", "uint8")

#: Rows that a step of the grouped path works on: their pixels and temporaries stay in a GPU's cache (tens of MB).
ROWS_PER_GROUP = 32


def mixup(images: ArrayT, partner: ArrayLike, lam: ArrayLike, *, out: ArrayT | None = None) -> ArrayT:
    """Blend every image with its partner: λ·x + (1−λ)·x[partner] (Zhang et al., "mixup", ICLR 2018).

    Args:
        images: (B, C, H, W), array or tensor of float16, bfloat16, float32, float64 or uint8 (rounded to nearest), any
            strides. Not written to, unless it is `out`.
        partner: int64 (B,), 0..B−1. Any map will do; a row that is its own partner stays as it is.
        lam: float (B,), 0..1. A row with λ = 1 stays bitwise as it is.
        out: Where to write, like `images`; `out=images` works in place. None: new memory.

    Returns:
        The mixed images (B, C, H, W): `out`, or new memory of the same type, dtype and memory format.

    Raises:
        ValueError: If shapes, dtypes or ranges are wrong.
    """
    weights = as_numpy(lam, np.float64)
    return blend(images, partner, weights, np.zeros((len(weights) if weights.ndim else 0, 4), np.int64), out=out)


def cutmix(images: ArrayT, partner: ArrayLike, boxes: ArrayLike, *, out: ArrayT | None = None) -> ArrayT:
    """Paste a box of its partner into every image (Yun et al., "CutMix", ICCV 2019).

    Args:
        images: (B, C, H, W), as in `mixup`.
        partner: int64 (B,), 0..B−1.
        boxes: int64 (B, 4), y1, y2, x1, x2 in pixels, half open; an empty box leaves the row as it is.
        out: As in `mixup`.

    Returns:
        The mixed images (B, C, H, W), each pixel bitwise that of one of the two images.

    Raises:
        ValueError: If shapes, dtypes or ranges are wrong.
    """
    corners = as_numpy(boxes, np.int64)
    return blend(images, partner, np.ones(len(corners) if corners.ndim else 0), corners, out=out)


def blend(
    images: ArrayT, partner: ArrayLike, lam: Float64Array, boxes: Int64Array, *, out: ArrayT | None = None
) -> ArrayT:
    """Mixup by λ outside each row's box, its partner's pixels inside; see `mixup` and `cutmix` for the arguments."""
    partners = as_numpy(partner, np.int64)
    _check(images, partners, lam, boxes)
    source, destination, result = pixels_and_result(images, out)
    with torch.no_grad():
        in_place = shares_memory(source, destination)
        if source.device.type == "cpu":
            _row_by_row(source, destination, partners, lam, boxes, in_place=in_place)
        else:
            _grouped(source, destination, partners, lam, boxes, in_place=in_place)
    return cast("ArrayT", result)


def _check(images: ArrayLike, partner: Int64Array, lam: Float64Array, boxes: Int64Array) -> None:
    if images.ndim != 4:
        raise ValueError(f"images: must be (B, C, H, W), got shape {tuple(images.shape)}. Add the missing dimension.")
    if str(images.dtype).removeprefix("torch.") not in DTYPES:
        raise ValueError(f"images: must be of {', '.join(DTYPES)}, got {images.dtype}. Cast them.")
    if isinstance(images, torch.Tensor) and images.requires_grad:
        raise ValueError("images: must not require gradients, got a tensor that does. Pass images.detach().")
    size, _, height, width = images.shape
    for name, values, shape in (("partner", partner, (size,)), ("lam", lam, (size,)), ("boxes", boxes, (size, 4))):
        if values.shape != shape:
            raise ValueError(f"{name}: must have shape {shape}, one row an image, got {values.shape}. Match the batch.")
    if size and (partner.min() < 0 or partner.max() >= size):
        raise ValueError(
            f"partner: must lie in 0..{size - 1}, got {partner.min()}..{partner.max()}. Use row numbers of this batch."
        )
    if not ((lam >= 0) & (lam <= 1)).all():
        raise ValueError(f"lam: must lie in 0..1, got {lam.min()}..{lam.max()}. Draw it from a Beta distribution.")
    y1, y2, x1, x2 = boxes.T
    if not ((y1 >= 0) & (y1 <= y2) & (y2 <= height) & (x1 >= 0) & (x1 <= x2) & (x2 <= width)).all():
        raise ValueError(
            f"boxes: must be y1 ≤ y2, x1 ≤ x2 inside {height}×{width}, got {boxes.tolist()}. Clip them, see cutmix_box."
        )


def _untouched(partner: Int64Array, lam: Float64Array, boxes: Int64Array) -> np.ndarray:
    """Which rows come out as they went in: bool (B,)."""
    empty = (boxes[:, 1] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 2])
    return np.asarray((partner == np.arange(len(partner))) | ((lam == 1) & empty))


def chains(partner: Int64Array, untouched: np.ndarray) -> Iterator[tuple[list[int], bool]]:
    """Orders in which rows can be overwritten: a row only once nothing later needs what it held.

    Args:
        partner: int64 (B,), the row that each row reads besides itself.
        untouched: bool (B,), rows that need no work.

    Yields:
        (rows, closed): rows to work through in this order. If closed, the last row's partner is the first row, as it
        was before; pairs come out as closed chains of two.
    """
    following = [-1 if idle else int(mate) for mate, idle in zip(partner, untouched, strict=True)]
    readers = np.bincount([mate for mate in following if mate >= 0], minlength=len(following)).tolist()
    done = [mate < 0 for mate in following]
    for start in range(len(following)):  # rows that nobody reads any more, and what they set free
        row, rows = start, []
        while row >= 0 and not done[row] and not readers[row]:
            rows.append(row)
            done[row] = True
            row = following[row]
            readers[row] -= 1
        if rows:
            yield rows, False
    for start in range(len(following)):  # what is left are rings
        row, rows = start, []
        while not done[row]:
            rows.append(row)
            done[row] = True
            row = following[row]
        if rows:
            yield rows, True


def _row_by_row(
    source: torch.Tensor,
    destination: torch.Tensor,
    partner: Int64Array,
    lam: Float64Array,
    boxes: Int64Array,
    *,
    in_place: bool,
) -> None:
    """Each row with its partner, one after the other: on a processor both then lie in its cache."""
    untouched = _untouched(partner, lam, boxes)
    weights, corners, mates = lam.tolist(), boxes.tolist(), partner.tolist()
    if not in_place:
        for row in np.flatnonzero(untouched).tolist():
            destination[row].copy_(source[row])
    for rows, closed in chains(partner, untouched):
        first, last = source[rows[0]], rows[-1]
        y1, y2, x1, x2 = corners[last]
        first_patch = first[:, y1:y2, x1:x2]
        if closed and in_place:  # the last row needs what the first row held: all of it, or only the box
            first_patch = first_patch.clone()
            first = first.clone() if weights[last] < 1 else first
        for row in rows:
            mate = source[mates[row]]
            y1, y2, x1, x2 = corners[row]
            patch = mate[:, y1:y2, x1:x2]
            if closed and row == last:
                mate, patch = first, first_patch
            own, out = source[row], destination[row]
            if weights[row] < 1:
                _lerp(mate, own, weights[row], out)
            elif not in_place:
                out.copy_(own)
            if patch.numel():
                out[:, y1:y2, x1:x2].copy_(patch)


def _lerp(start: torch.Tensor, end: torch.Tensor, weight: float, out: torch.Tensor) -> None:
    """Write start + weight·(end − start), rounded once; torch computes 16-bit floats in float32."""
    if start.dtype == torch.uint8:
        out.copy_(torch.lerp(start.float(), end.float(), weight).round_())
    else:
        torch.lerp(start, end, weight, out=out)


def _grouped(
    source: torch.Tensor,
    destination: torch.Tensor,
    partner: Int64Array,
    lam: Float64Array,
    boxes: Int64Array,
    *,
    in_place: bool,
    rows_per_group: int = ROWS_PER_GROUP,
) -> None:
    """Some tens of rows at a time, so that a GPU gets few, large kernels and finds their operands in its cache."""
    untouched = _untouched(partner, lam, boxes)
    if not in_place:
        destination.copy_(source)
    groups, group = [], []
    paired = True
    for rows, closed in chains(partner, untouched):
        paired = paired and closed and len(rows) <= 2
        group += rows
        if len(group) >= rows_per_group:
            groups.append(group)
            group = []
    groups += [group] if group else []
    if in_place and not paired:
        source = source.clone()
    for rows in groups:
        _combine_rows(source, destination, np.array(rows), partner, lam, boxes)


def _combine_rows(
    source: torch.Tensor,
    destination: torch.Tensor,
    rows: np.ndarray,
    partner: Int64Array,
    lam: Float64Array,
    boxes: Int64Array,
) -> None:
    device = source.device
    height, width = source.shape[2:]
    index = torch.from_numpy(rows).to(device, non_blocking=True)
    mate_index = torch.from_numpy(partner[rows]).to(device, non_blocking=True)
    own, mate = source.index_select(0, index), source.index_select(0, mate_index)
    inside = boxes[rows]
    mixed = own
    blended = lam[rows] < 1
    if blended.any():
        compute = torch.float64 if own.dtype == torch.float64 else torch.float32
        weight = torch.from_numpy(lam[rows]).to(device, compute).view(-1, 1, 1, 1)
        mixed = torch.lerp(mate.to(compute), own.to(compute), weight)
        mixed = (mixed.round_() if own.dtype == torch.uint8 else mixed).to(own.dtype)
        mixed = torch.where(weight == 1, own, mixed)  # 0 times an infinity is not 0
    if (inside[:, 1] > inside[:, 0]).any():
        y1, y2, x1, x2 = torch.from_numpy(inside).to(device, non_blocking=True).T.reshape(4, -1, 1, 1, 1)
        y = torch.arange(height, device=device).view(1, 1, -1, 1)
        x = torch.arange(width, device=device).view(1, 1, 1, -1)
        mixed = torch.where((y >= y1) & (y < y2) & (x >= x1) & (x < x2), mate, mixed)
    destination.index_copy_(0, index, mixed)
