"""Targets of mixed images, and the loss that takes them.

In: class numbers, partners and λ. Out: float32 class probabilities, or the three tensors of a two-term loss, and the
cross-entropy against either. Pixels are never seen here.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from streamaug.batch import SparseTargets
from streamaug.mix.arrays import ArrayLike, TargetsT, as_numpy


def mix_targets(
    targets: TargetsT, partner: ArrayLike, lam: ArrayLike, *, num_classes: int, label_smoothing: float = 0.0
) -> TargetsT:
    """Soft targets: λ·y + (1−λ)·y[partner], where y is one-hot, smoothed by ε to (1−ε)·y + ε/K.

    Args:
        targets: int (B,), array or tensor, 0..num_classes−1.
        partner: int64 (B,), 0..B−1.
        lam: float (B,), 0..1.
        num_classes: K.
        label_smoothing: ε, 0..1 (Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7).

    Returns:
        float32 (B, K), each row sums to 1; of the kind of `targets`, on its device. A target out of range on a GPU
        makes its row NaN, because looking at it would stall the device.

    Raises:
        ValueError: If a target is out of range, or an argument is.
    """
    tensor = targets if isinstance(targets, torch.Tensor) else torch.from_numpy(np.array(targets))
    soft = _soft(tensor, partner, lam, num_classes, label_smoothing)
    return soft if isinstance(targets, torch.Tensor) else soft.numpy()


def _soft(
    targets: torch.Tensor, partner: ArrayLike, lam: ArrayLike, num_classes: int, label_smoothing: float
) -> torch.Tensor:
    check_classes(num_classes, label_smoothing)
    if targets.ndim != 1 or targets.dtype.is_floating_point or targets.dtype == torch.bool:
        raise ValueError(
            f"targets: must be class numbers, integers (B,), got {targets.dtype} {tuple(targets.shape)}. "
            "Mix a batch once only, before its targets are soft."
        )
    outside = (targets < 0) | (targets >= num_classes)
    if targets.device.type == "cpu" and bool(outside.any()):
        raise ValueError(
            f"targets: must lie in 0..{num_classes - 1}, got {int(targets[outside][0])}. Set num_classes to the "
            "data set's number of classes."
        )
    device = targets.device
    mates = torch.from_numpy(as_numpy(partner, np.int64)).to(device)
    share = as_numpy(lam, np.float64)
    if mates.shape != targets.shape or share.shape != tuple(targets.shape):
        raise ValueError(
            f"partner, lam: must have shape {tuple(targets.shape)} as targets, got {tuple(mates.shape)} and "
            f"{share.shape}. Pass one for each row."
        )
    own = targets.long().clamp(0, num_classes - 1)
    other, off = own[mates], label_smoothing / num_classes
    same = own == other
    soft = torch.full((len(own), num_classes), off, dtype=torch.float32, device=device)
    for index, part in ((own, share), (other, 1.0 - share)):
        value = torch.from_numpy(off + (1.0 - label_smoothing) * part).to(device)
        value = torch.where(same, off + 1.0 - label_smoothing, value).float()
        soft.scatter_(1, index[:, None], value[:, None])
    return soft if device.type == "cpu" else soft.masked_fill_((outside | outside[mates])[:, None], float("nan"))


def check_classes(num_classes: int, label_smoothing: float) -> None:
    """Raises ValueError, naming the parameter, unless K ≥ 1 and 0 ≤ ε ≤ 1."""
    if num_classes < 1:
        raise ValueError(f"num_classes: must be at least 1, got {num_classes}. Pass the data set's number of classes.")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing: must lie in 0..1, got {label_smoothing}. 0.1 is the usual value.")


def soft_target_cross_entropy(
    logits: torch.Tensor,
    targets: torch.Tensor | SparseTargets | tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy against whatever targets a chain delivers, averaged over the batch, in float32.

    Args:
        logits: float (B, K).
        targets: float (B, K) class probabilities; or integers (B,); or (targets, partner_targets, lam), whose
            two-term loss λ·CE(y) + (1−λ)·CE(y[partner]) is that of the probabilities they stand for.
        label_smoothing: ε, 0..1, for class numbers; leave it 0 where soft targets were smoothed already.

    Returns:
        A scalar.

    Raises:
        ValueError: If the shapes do not belong together.
    """
    if not isinstance(targets, torch.Tensor):
        own, other, lam = targets
        first, second = (
            cross_entropy(logits.float(), one, reduction="none", label_smoothing=label_smoothing)
            for one in (own, other)
        )
        return (lam * first + (1.0 - lam) * second).mean()
    if targets.ndim == 2 and targets.shape != logits.shape:
        raise ValueError(
            f"targets: must be (B, K) as logits {tuple(logits.shape)}, got {tuple(targets.shape)}. "
            "Give the model's number of classes as num_classes."
        )
    expected = targets.float() if targets.ndim == 2 else targets
    return cross_entropy(logits.float(), expected, label_smoothing=label_smoothing)
