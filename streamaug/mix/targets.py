"""Targets of mixed images: class numbers, or tables of soft, multi-hot or binary targets, smoothed and then mixed.

In: a batch's targets, partners and λ. Out: float32 targets of the same samples. It never touches pixels.
"""

from numbers import Real
from typing import Any

import numpy as np
import torch

from streamaug.arguments import whole
from streamaug.batch import ArrayLike
from streamaug.mix.arrays import TargetsT, as_numpy, uploaded

#: Distance from 0..1 that rounding may add to a soft target, such as a teacher's probability in bfloat16.
_ROUNDING = 1e-2


def mix_targets(
    targets: TargetsT, partner: ArrayLike, lam: ArrayLike, *, num_classes: int, label_smoothing: float = 0.0
) -> TargetsT:
    """Mixed targets: λ·y + (1−λ)·y[partner], where y is a target's vector, smoothed by ε.

    Args:
        targets: Array or tensor. Integers (B,), 0..num_classes−1: class numbers, whose y is one-hot, (1−ε)·y + ε/K.
            (B, K): soft or multi-hot targets, 0..1, as y, smoothed likewise. Float (B,), with num_classes=1: binary
            targets, the chance of the second of two classes, (1−ε)·y + ε/2.
        partner: int64 (B,), 0..B−1.
        lam: float (B,), 0..1.
        num_classes: K.
        label_smoothing: ε, 0..1 (Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7).

    Returns:
        float32 (B, K), or (B,) for binary targets; of the kind of `targets`, on its device. Rows keep their sum, 1 for
        class numbers. A class number out of range on a GPU makes its row NaN, because checking it would stall the
        device.

    Raises:
        ValueError: If a target is out of range, or an argument is, or the width of the targets is not num_classes.
    """
    tensor = targets if isinstance(targets, torch.Tensor) else torch.from_numpy(np.array(targets))
    mixed = _mixed(tensor.detach(), partner, lam, num_classes, label_smoothing)
    return mixed if isinstance(targets, torch.Tensor) else mixed.numpy()


def soft_targets(targets: torch.Tensor, *, num_classes: int, label_smoothing: float) -> torch.Tensor:
    """The vectors of targets, smoothed and unmixed: float32 (B, K), or (B,) for binary targets; see `mix_targets`."""
    rows = len(targets)
    return mix_targets(
        targets, np.arange(rows), np.ones(rows), num_classes=num_classes, label_smoothing=label_smoothing
    )


def are_classes(targets: torch.Tensor) -> bool:
    """Whether targets are class numbers: integers (B,)."""
    return targets.ndim == 1 and not _is_fraction(targets) and targets.dtype != torch.bool


def check_form(targets: torch.Tensor, num_classes: int) -> None:
    """Raise ValueError, naming the parameter, unless the targets can be of `num_classes` classes."""
    shown = f"{str(targets.dtype).removeprefix('torch.')} {tuple(targets.shape)}"
    if targets.ndim == 2 and not targets.dtype.is_complex:
        if targets.shape[1] != num_classes:
            raise ValueError(
                f"num_classes: must be the width of targets (B, K), got {num_classes} for {shown}. "
                f"Write num_classes={targets.shape[1]}."
            )
    elif targets.ndim == 1 and _is_fraction(targets):
        if num_classes != 1:
            raise ValueError(
                f"num_classes: must be 1 for binary targets, float (B,), got {num_classes} for {shown}. "
                "Write num_classes=1, or give class numbers as integers."
            )
    elif not are_classes(targets) or targets.dtype.is_complex:
        raise ValueError(
            f"targets: must be class numbers, integers (B,), or a table (B, K), or binary, float (B,), got {shown}. "
            "Cast them, or bring them into one of these shapes."
        )


def rows_outside(targets: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Bool (B,): rows with a class number outside 0..num_classes−1, or a table's value outside 0..1."""
    if are_classes(targets):
        return (targets < 0) | (targets >= num_classes)
    within = (targets >= -_ROUNDING) & (targets <= 1 + _ROUNDING)
    return ~within.flatten(1).all(1) if targets.ndim > 1 else ~within


def check_classes(num_classes: Any, label_smoothing: Any) -> None:
    """Raise ValueError, naming the parameter, unless K ≥ 1 and 0 ≤ ε ≤ 1."""
    whole("num_classes", num_classes, "Pass the data set's number of classes", least=1)
    if not (isinstance(label_smoothing, Real) and 0.0 <= float(label_smoothing) <= 1.0):
        raise ValueError(f"label_smoothing: must lie in 0..1, got {label_smoothing!r}. 0.1 is the usual value.")


def _is_fraction(targets: torch.Tensor) -> bool:
    return targets.dtype.is_floating_point


def _mixed(
    targets: torch.Tensor, partner: ArrayLike, lam: ArrayLike, num_classes: int, label_smoothing: float
) -> torch.Tensor:
    check_classes(num_classes, label_smoothing)
    check_form(targets, num_classes)
    outside = rows_outside(targets, num_classes)
    if targets.device.type == "cpu" and bool(outside.any()):
        _refuse(targets[outside], num_classes)
    mates, share = as_numpy(partner, np.int64), as_numpy(lam, np.float64)
    if mates.shape != targets.shape[:1] or share.shape != tuple(targets.shape[:1]):
        raise ValueError(
            f"partner, lam: must have shape {tuple(targets.shape[:1])} as targets, got {tuple(mates.shape)} and "
            f"{share.shape}. Pass one for each row."
        )
    rows, lam, rest = uploaded(targets.device, mates, share, 1.0 - share)
    if not are_classes(targets):
        return _mixed_tables(targets, rows, lam, label_smoothing)
    soft = _mixed_classes(targets.long().clamp(0, num_classes - 1), rows, (lam, rest), num_classes, label_smoothing)
    hidden = targets.device.type != "cpu"
    return soft.masked_fill_((outside | outside[rows])[:, None], float("nan")) if hidden else soft


def _refuse(wrong: torch.Tensor, num_classes: int) -> None:
    if are_classes(wrong):
        raise ValueError(
            f"targets: must lie in 0..{num_classes - 1}, got {int(wrong[0])}. Set num_classes to the "
            "data set's number of classes."
        )
    raise ValueError(
        f"targets: must lie in 0..1 where they are no class numbers, got {wrong[0].tolist()}. "
        "Give probabilities, or 0 and 1."
    )


def _mixed_classes(
    own: torch.Tensor,
    rows: torch.Tensor,
    shares: tuple[torch.Tensor, torch.Tensor],
    num_classes: int,
    label_smoothing: float,
) -> torch.Tensor:
    """Mixed class numbers, from int64 (B,) to float32 (B, K), without a table of one-hot rows in between.

    Args:
        own: The class numbers.
        rows: int64 (B,), the partners.
        shares: λ and 1 − λ, float64 (B,) each.
        num_classes: K.
        label_smoothing: ε.
    """
    other, off = own[rows], label_smoothing / num_classes
    same = own == other
    soft = torch.full((len(own), num_classes), off, dtype=torch.float32, device=own.device)
    for index, share in zip((own, other), shares, strict=True):
        value = torch.where(same, off + 1.0 - label_smoothing, off + (1.0 - label_smoothing) * share).float()
        soft.scatter_(1, index[:, None], value[:, None])
    return soft


def _mixed_tables(
    targets: torch.Tensor, rows: torch.Tensor, share: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Mixed tables (B, K), or binary targets (B,), as float32; rows int64 (B,), share λ as float64 (B,)."""
    classes = targets.shape[1] if targets.ndim > 1 else 2
    smooth = targets.float() * (1.0 - label_smoothing) + label_smoothing / classes
    lam = share.float().view(-1, *[1] * (targets.ndim - 1))
    return lam * smooth + (1.0 - lam) * smooth[rows]
