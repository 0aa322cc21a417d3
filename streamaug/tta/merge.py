"""Merging what a model said of several views of an image into one probability for each class.

In: logits of V views, view-major. Out: probabilities whose rows sum to 1. Nothing depends on the order of the views or
of the samples.
"""

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

Method = Literal["mean", "logit_mean", "max", "median"]
METHODS: tuple[str, ...] = get_args(Method)

ArrayLike = npt.NDArray[Any] | torch.Tensor


def merge(
    logits: ArrayLike,
    method: str = "mean",
    *,
    weights: ArrayLike | None = None,
    temperature: float = 1.0,
) -> torch.Tensor:
    """Probabilities of each sample, merged over its views; computed in float32, or float64 for float64 logits.

    Args:
        logits: float (V, B, K), tensor or array, view-major.
        method: "mean" of the views' probabilities; "logit_mean", their geometric mean; "max" over the views; "median",
            the mean of the two middle values where V is even. The last three are renormalised.
        weights: Of the views in "mean": (V, 1), or (V, K) for each class, non-negative; they need not sum to 1. None:
            all the same.
        temperature: Divides the logits, > 0; above 1 makes each view less sure.

    Returns:
        float32 (B, K), float64 for float64 logits; each row sums to 1.

    Raises:
        ValueError: If an argument is out of range, or weights come with a method other than "mean".
    """
    check_method(method, weighted=weights is not None)
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature: must be positive and finite, got {temperature}. 1.0 changes nothing.")
    scores = torch.as_tensor(logits)
    if scores.ndim != 3 or scores.shape[0] == 0:
        raise ValueError(
            f"logits: must be (V, B, K), got {tuple(scores.shape)}. Stack the views on the first dimension."
        )
    scores = scores if scores.dtype == torch.float64 else scores.float()
    logarithms = torch.log_softmax(scores / temperature, -1)
    if method == "logit_mean":
        return torch.softmax(logarithms.mean(0), -1)
    probabilities = logarithms.exp()
    if weights is not None:
        factors = check_weights(weights, scores.shape[0], scores.shape[2]).to(scores.device, scores.dtype)
        merged = (probabilities * factors[:, None, :]).sum(0)
    elif method == "mean":
        merged = probabilities.mean(0)
    elif method == "max":
        merged = probabilities.amax(0)
    else:
        middle = (len(probabilities) - 1) // 2, len(probabilities) // 2
        ordered = probabilities.sort(0).values
        merged = (ordered[middle[0]] + ordered[middle[1]]) / 2
    return merged / merged.sum(-1, keepdim=True)


def check_method(method: str, *, weighted: bool) -> None:
    """Raises ValueError unless the method is known, and is "mean" if there are weights."""
    if method not in METHODS:
        raise ValueError(f'merge: must be one of {", ".join(METHODS)}, got {method!r}. Use "mean".')
    if weighted and method != "mean":
        raise ValueError(f'weights: go with "mean" only, got {method!r}. Use merge="mean", or leave weights out.')


def check_weights(weights: ArrayLike, views: int | None = None, classes: int | None = None) -> torch.Tensor:
    """The weights as a tensor (V, 1) or (V, K).

    Raises:
        ValueError: If the shape does not fit, or a weight is negative or not finite, or a class has none.
    """
    factors = torch.as_tensor(np.asarray(weights) if not isinstance(weights, torch.Tensor) else weights.detach())
    fits = (
        factors.ndim == 2
        and (views is None or factors.shape[0] == views)
        and (classes is None or factors.shape[1] in (1, classes))
    )
    if not fits:
        expected = f"({views or 'V'}, 1) or ({views or 'V'}, {classes or 'K'})"
        raise ValueError(f"weights: must have shape {expected}, got {tuple(factors.shape)}. One row a view.")
    if not bool(torch.isfinite(factors).all()) or bool((factors < 0).any()):
        raise ValueError("weights: must be finite and not negative, got one that is not. A harmful view gets weight 0.")
    if not bool((factors.sum(0) > 0).all()):
        raise ValueError("weights: need a positive one for each class, got a column of zeros. Use 1 for every view.")
    return factors
