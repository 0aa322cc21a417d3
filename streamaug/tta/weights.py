"""Learning how much each view is worth, and how sure the model may be, on held-out data.

In: logits of V views of held-out samples, and their targets. Out: non-negative weights and one temperature, which
minimise the negative log-likelihood of the weighted mean. A view that harms gets weight 0. Deterministic: no number is
drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from streamaug.tta.merge import ArrayLike, merge
from streamaug.tta.report import TTAReport, measure

#: Logits looked at at a time: their float64 temporaries stay in a processor's cache.
_CHUNK = 1 << 18
#: The temperature is looked for between these.
_TEMPERATURES = (0.05, 20.0)
#: Weights below this share of the largest are set to 0: the optimiser stops within about as much of the bound.
_NEGLIGIBLE = 1e-4
#: How strongly a class's weights are drawn to the shared ones, in samples: few samples of a class do not say much.
_PRIOR_SAMPLES = 10.0

#: Stands for a probability of 0.
_TINY = 1e-300

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TTAWeights:
    """What was learned; goes to `merge`, and to the `tta` stage as it is.

    Attributes:
        weights: float32 (V, 1), or (V, K) per class; non-negative, each column sums to 1.
        temperature: Divides the logits, > 0.
        report: What it is worth on the data it was fitted to; `print` shows a table.
    """

    weights: torch.Tensor
    temperature: float
    report: TTAReport


def fit_tta_weights(logits: ArrayLike, targets: ArrayLike, *, per_class: bool = False) -> TTAWeights:
    """Learn weights and a temperature that minimise the negative log-likelihood on held-out data, by L-BFGS-B.

    Args:
        logits: float (V, N, K), tensor or array, of data that the model was not trained on.
        targets: int (N,), 0..K−1.
        per_class: Weights for each class. They are drawn towards the shared ones, the more the fewer samples there are.

    Returns:
        The weights, the temperature and a report.

    Raises:
        ValueError: If the shapes do not belong together, a logit is not finite, or a target is out of range.
    """
    scores, labels = torch.as_tensor(logits).detach().cpu(), torch.as_tensor(targets).detach().cpu()
    _check(scores, labels)
    labels = labels.long()
    views, _, classes = scores.shape
    shared, temperature = _minimise(scores, labels, np.full((views, 1), 1.0 / views), 1.0, prior=None)
    weights = shared
    if per_class:
        weights, temperature = _minimise(scores, labels, np.repeat(shared, classes, 1), temperature, prior=shared)
    tensor = torch.from_numpy(weights).float()
    return TTAWeights(tensor, temperature, _report(scores, labels, tensor, temperature))


def _check(scores: torch.Tensor, labels: torch.Tensor) -> None:
    if scores.ndim != 3 or 0 in scores.shape:
        raise ValueError(
            f"logits: must be (V, N, K), got {tuple(scores.shape)}. Stack the views on the first dimension."
        )
    if labels.shape != scores.shape[1:2] or labels.dtype.is_floating_point:
        raise ValueError(
            f"targets: must be integers ({scores.shape[1]},), got {labels.dtype} {tuple(labels.shape)}. "
            "Give one a sample."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= scores.shape[2]:
        raise ValueError(
            f"targets: must lie in 0..{scores.shape[2] - 1}, got {int(labels.min())}..{int(labels.max())}. "
            "Use the classes that the logits have."
        )
    if not bool(torch.isfinite(scores).all()):
        raise ValueError("logits: must be finite, got a NaN or an infinity. Leave such samples out.")


def _minimise(
    scores: torch.Tensor, labels: torch.Tensor, start: Float64, temperature: float, *, prior: Float64 | None
) -> tuple[Float64, float]:
    """Weights like `start`, with columns that sum to 1, and the temperature."""
    from scipy.optimize import minimize  # half a second that only a fit needs

    shape = start.shape

    def objective(parameters: Float64) -> tuple[float, Float64]:
        weights = parameters[:-1].reshape(shape)
        loss, by_weight, by_temperature = _likelihood(scores, labels, weights, math.exp(parameters[-1]))
        # The likelihood is blind to the weights' scale: hold it, or the search walks off along it.
        excess = weights.sum(0) - 1.0
        loss += float(np.mean(excess**2))
        by_weight = by_weight + 2.0 * excess / len(excess)
        if prior is not None:
            strength, distance = _PRIOR_SAMPLES / scores.shape[1] * shape[0] ** 2, weights - prior
            loss += strength * float(np.sum(distance**2))
            by_weight = by_weight + 2.0 * strength * distance
        return loss, np.append(by_weight.ravel(), by_temperature)

    low, high = (math.log(bound) for bound in _TEMPERATURES)
    found = minimize(
        objective,
        np.append(start.ravel(), math.log(temperature)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * start.size + [(low, high)],
        options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7},
    )
    weights = found.x[:-1].reshape(shape)
    weights[weights < _NEGLIGIBLE * weights.max(0)] = 0.0
    return weights / weights.sum(0), math.exp(found.x[-1])


def _likelihood(
    scores: torch.Tensor, labels: torch.Tensor, weights: Float64, temperature: float
) -> tuple[float, Float64, float]:
    """The mean negative log-likelihood, and its derivatives by the weights (like them) and by log(temperature).

    With p the views' probabilities, w the weights and t the target, a sample's is log Σₖ Σᵥ wₖp − log Σᵥ wₜp.
    """
    views, samples, classes = scores.shape
    table = torch.from_numpy(np.broadcast_to(weights, (views, classes)).copy())
    by_weight = torch.zeros_like(table)
    loss = by_temperature = 0.0
    rows = max(1, _CHUNK // (views * classes))
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
    gradient = by_weight.numpy() / samples
    if weights.shape[1] == 1:
        gradient = gradient.sum(1, keepdims=True)
    return loss / samples, gradient, by_temperature / samples


def _report(scores: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, temperature: float) -> TTAReport:
    views = range(len(scores))
    others = [torch.cat([scores[:view], scores[view + 1 :]]) for view in views] if len(views) > 1 else []
    return TTAReport(
        fitted=measure(merge(scores, weights=weights, temperature=temperature), labels),
        mean=measure(merge(scores), labels),
        alone=tuple(measure(merge(scores[view : view + 1]), labels) for view in views),
        without=tuple(measure(merge(rest), labels) for rest in others),
        weights=tuple(float(share) for share in weights.double().mean(1)),
        temperature=temperature,
    )
