"""Mixup and CutMix of pixels, from partners, λ and boxes that a plan drew.

In: images, each row's partner, λ and box. Out: the mixed images, in new memory, in `out`, or in place, where each row
is read and written once. It draws no numbers.
"""

from typing import cast

import numpy as np
import torch

from streamaug.batch import ArrayLike, Float64Array, Int64Array
from streamaug.mix.arrays import ArrayT, as_numpy, result_to_work_on
from streamaug.mix.blend_cpu import in_bands
from streamaug.mix.blend_gpu import in_groups

DTYPES = ("float16", "bfloat16", "float32", "float64", "uint8")


def mixup(images: ArrayT, partner: ArrayLike, lam: ArrayLike, *, out: ArrayT | None = None) -> ArrayT:
    """Blend every image with its partner: λ·x + (1−λ)·x[partner] (Zhang et al., "mixup", ICLR 2018).

    Args:
        images: (B, C, H, W), array or tensor of float16, bfloat16, float32, float64 or uint8 (rounded to nearest), any
            strides. Not written to, unless it is `out`.
        partner: int64 (B,), 0..B−1. Any map is allowed; a row that is its own partner stays the same.
        lam: float (B,), 0..1. A row with λ = 1 keeps its bits.
        out: The memory to write to, like `images`; `out=images` works in place. None: new memory.

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
        boxes: int64 (B, 4), y1, y2, x1, x2 in pixels, half open; an empty box leaves the row unchanged.
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
    with torch.no_grad():
        result, tensor = result_to_work_on(images, out)
        blend_in_place = in_bands if tensor.device.type == "cpu" else in_groups
        blend_in_place(tensor, partners, lam, boxes)
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
            raise ValueError(
                f"{name}: must have shape {shape}, one row for each image, got {values.shape}. Match the batch."
            )
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
