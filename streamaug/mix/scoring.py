"""Scores of a model's logits under mixed targets: the loss to train on, and the accuracy to watch.

In: logits, and a chain's targets in any of their forms. Out: a scalar, in float32, without a synchronisation.
"""

import torch
from torch.nn.functional import cross_entropy

from streamaug.batch import SparseTargets

#: A chain's targets: float (B, K), integers (B,), or (targets, partner_targets, lam).
AnyTargets = torch.Tensor | SparseTargets | tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def soft_target_cross_entropy(
    logits: torch.Tensor, targets: AnyTargets, *, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy against a chain's targets, in any of their forms; averaged over the batch, in float32.

    Args:
        logits: float (B, K).
        targets: float (B, K) class probabilities; or integers (B,); or (targets, partner_targets, lam), whose
            two-term loss λ·CE(y) + (1−λ)·CE(y[partner]) equals the loss of the probabilities.
        label_smoothing: ε, 0..1, for class numbers; leave it 0 where soft targets were smoothed already.

    Returns:
        A scalar.

    Raises:
        ValueError: If the shapes do not belong together.
    """
    if not isinstance(targets, torch.Tensor):
        own, other, lam = targets
        first, second = (
            cross_entropy(logits.float(), classes, reduction="none", label_smoothing=label_smoothing)
            for classes in (own, other)
        )
        return (lam * first + (1.0 - lam) * second).mean()
    _check(logits, targets)
    expected = targets.float() if targets.ndim > 1 else targets
    return cross_entropy(logits.float(), expected, label_smoothing=label_smoothing)


def accuracy(logits: torch.Tensor, targets: AnyTargets, *, top: int = 1, label_smoothing: float = 0.0) -> torch.Tensor:
    """Accuracy under mixed targets: the share of a sample's target that lies on the classes that the model names.

    For (targets, partner_targets, lam) that is λ·[y is named] + (1−λ)·[y[partner] is named], which no model can bring
    to 1: watch its curve, and do not compare it with the accuracy on unmixed images.

    Args:
        logits: float (B, K).
        targets: float (B, K), integers (B,), or (targets, partner_targets, lam), as in `soft_target_cross_entropy`.
        top: How many classes a model may name, from 1.
        label_smoothing: ε of soft targets, which is taken out of them again; 0..1, 1 excluded.

    Returns:
        A scalar, 0..1.

    Raises:
        ValueError: If the shapes do not belong together, or an argument is out of range.
    """
    if not 1 <= top <= logits.shape[-1]:
        raise ValueError(f"top: must lie in 1..{logits.shape[-1]}, the number of classes, got {top}. Write 1 or 5.")
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing: must lie in 0..1, 1 excluded, got {label_smoothing}. Write the stage's.")
    named = logits.detach().topk(top, dim=-1).indices
    if not isinstance(targets, torch.Tensor):
        own, other, lam = targets
        first, second = ((named == classes[:, None]).any(1).float() for classes in (own, other))
        return (lam * first + (1.0 - lam) * second).mean()
    _check(logits, targets)
    if targets.ndim == 1:
        return (named == targets[:, None]).any(1).float().mean()
    off = label_smoothing / logits.shape[-1]
    return ((targets.float().gather(1, named) - off) / (1.0 - label_smoothing)).sum(1).mean()


def _check(logits: torch.Tensor, targets: torch.Tensor) -> None:
    if targets.ndim > 1 and targets.shape != logits.shape:
        raise ValueError(
            f"targets: must be (B, K) as logits {tuple(logits.shape)}, got {tuple(targets.shape)}. "
            "Give the model's number of classes as num_classes."
        )
    if targets.ndim == 1 and targets.dtype.is_floating_point:
        raise ValueError(
            f"targets: must be (B, K), or class numbers, got binary targets, float {tuple(targets.shape)}. "
            "Take torch's binary_cross_entropy_with_logits for them."
        )
