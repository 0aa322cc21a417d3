"""The likelihood of held-out targets under weighted views, and its derivatives by the weights and the temperature.

In: logits of V views, targets, weights and a temperature. Out: the mean negative log-likelihood of the weighted mean of
the views' probabilities, and its derivatives. Samples pass in chunks, in float64.
"""

import numpy as np
import torch

from streamaug.batch import Float64Array

#: Logits of a chunk: their float64 temporaries stay in a processor's cache.
CHUNK = 1 << 18

#: Replaces a probability of 0.
_TINY = 1e-300

#: Loss, its derivatives by the weights (of their shape), and by log(temperature).
Likelihood = tuple[float, Float64Array, float]


def of_classes(scores: torch.Tensor, labels: torch.Tensor, weights: Float64Array, temperature: float) -> Likelihood:
    """Loss and derivatives where one of K classes is right, under softmax.

    With pᵥₖ the probability of class k in view v, wᵥₖ its weight and t the target, a sample's loss is
    log Σₖ Σᵥ wᵥₖ·pᵥₖ − log Σᵥ wᵥₜ·pᵥₜ.

    Args:
        scores: (V, N, K).
        labels: int64 (N,).
        weights: (V, 1) or (V, K).
        temperature: Divides the scores.
    """
    views, samples, classes = scores.shape
    table = torch.from_numpy(np.broadcast_to(weights, (views, classes)).copy())
    by_weight = torch.zeros_like(table)
    loss = by_temperature = 0.0
    rows = max(1, CHUNK // (views * classes))
    for first in range(0, samples, rows):
        scaled, chosen = scores[:, first : first + rows].double() / temperature, labels[first : first + rows]
        index = chosen.expand(views, -1)[..., None]
        probabilities = torch.softmax(scaled, -1)
        own, own_weight = probabilities.gather(2, index)[..., 0], table.gather(1, chosen.expand(views, -1))
        inverse_target = 1.0 / (own * own_weight).sum(0).clamp_min(_TINY)
        share = torch.bmm(probabilities, table[..., None])[..., 0]
        inverse_sum = 1.0 / share.sum(0).clamp_min(_TINY)
        loss += float((inverse_target.log() - inverse_sum.log()).sum())
        by_weight += torch.bmm(inverse_sum.expand(views, 1, -1), probabilities)[:, 0]
        by_weight.scatter_add_(1, chosen.expand(views, -1), -own * inverse_target)
        own_scaled = scaled.gather(2, index)[..., 0]
        moments = probabilities.mul_(scaled)  # d p / d log T = p · (Σ p·z − z), where z are the scaled logits
        mean = moments.sum(-1)
        slope = inverse_sum * (share * mean - torch.bmm(moments, table[..., None])[..., 0])
        slope -= inverse_target * own_weight * own * (mean - own_scaled)
        by_temperature += float(slope.sum())
    return loss / samples, _like(weights, by_weight) / samples, by_temperature / samples


def of_answers(
    scores: torch.Tensor, answers: torch.Tensor, weights: Float64Array, temperature: float | None
) -> Likelihood:
    """Loss and derivatives of independent classes, under sigmoid: a mean over samples and classes.

    With qᵥ the probability of the right answer in view v and wᵥ its weight, a decision's loss is
    log Σᵥ wᵥ − log Σᵥ wᵥ·qᵥ.

    Args:
        scores: (V, N, K).
        answers: bool (N, K), the right answers.
        weights: (V, 1) or (V, K).
        temperature: Divides the scores. None: the scores are probabilities already.
    """
    views, samples, classes = scores.shape
    table = torch.from_numpy(np.broadcast_to(weights, (views, classes)).copy())
    inverse_sum = 1.0 / table.sum(0).clamp_min(_TINY)
    by_weight = samples * inverse_sum.expand(views, -1).clone()
    loss = -samples * float(inverse_sum.log().sum())
    by_temperature = 0.0
    rows = max(1, CHUNK // (views * classes))
    for first in range(0, samples, rows):
        chunk, right = scores[:, first : first + rows].double(), answers[first : first + rows]
        if temperature is None:
            own = torch.where(right, chunk, 1.0 - chunk)
        else:
            scaled = torch.where(right, chunk, -chunk) / temperature
            own = torch.sigmoid(scaled)
        inverse = 1.0 / (table[:, None] * own).sum(0).clamp_min(_TINY)
        loss += float(inverse.log().sum())
        by_weight -= (own * inverse).sum(1)
        if temperature is not None:  # d q / d log T = −q · (1 − q) · z
            by_temperature += float((table[:, None] * own * (1.0 - own) * scaled * inverse).sum())
    decisions = samples * classes
    return loss / decisions, _like(weights, by_weight) / decisions, by_temperature / decisions


def _like(weights: Float64Array, by_weight: torch.Tensor) -> Float64Array:
    """Derivatives by a table (V, K) summed to those by the weights that the table repeats."""
    gradient: Float64Array = by_weight.numpy()
    return gradient.sum(1, keepdims=True) if weights.shape[1] == 1 else gradient
