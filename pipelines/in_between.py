"""Errors and gradients of a network on the line between two images, at x = λ·xᵢ + (1−λ)·xⱼ.

In: a network, and images with their classes. Out: means over pairs for each λ. After Zhang et al., "mixup: beyond
empirical risk minimization", ICLR 2018, figure 2: a network trained on single images is unsure there, and its gradients
are large.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

#: From the second image of a pair to the first.
LAMBDAS = tuple(step / 10 for step in range(11))


def in_between(model: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> dict[str, list[float]]:
    """Errors and gradient norms for each λ of `LAMBDAS`, each a list of eleven numbers.

    Args:
        model: The network; the function puts it into evaluation mode.
        images: float (2·P, 3, H, W), normalised; image i and image P + i are a pair.
        classes: int64 (2·P,).

    Returns:
        "lam": λ. "misses": share of pairs, 0..1, for which the most probable class is neither of the two. "gradient":
        mean norm of ∂ℓ/∂x over pairs, where ℓ is the cross-entropy against λ·yᵢ + (1−λ)·yⱼ, per unit of the
        normalised images.
    """
    model.eval()
    pairs = len(images) // 2
    first, second, yi, yj = images[:pairs], images[pairs : 2 * pairs], classes[:pairs], classes[pairs : 2 * pairs]
    found: dict[str, list[float]] = {"lam": list(LAMBDAS), "misses": [], "gradient": []}
    for lam in LAMBDAS:
        point = (lam * first + (1 - lam) * second).requires_grad_()
        logits = model(point)
        number = logits.shape[1]
        target = lam * one_hot(yi, number).float() + (1 - lam) * one_hot(yj, number).float()
        (gradient,) = torch.autograd.grad(cross_entropy(logits, target, reduction="sum"), point)
        named = logits.argmax(1)
        found["misses"].append(float(((named != yi) & (named != yj)).float().mean()))
        found["gradient"].append(float(gradient.flatten(1).norm(dim=1).mean()))
    return found
