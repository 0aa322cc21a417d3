"""Merges a model's outputs for several views of an image into one probability for each class.

In: logits of V views, view-major. Out: probabilities, whose rows sum to 1 under softmax. The order of views and samples
does not matter.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from streamaug.batch import ArrayLike


def _normalised(merged: torch.Tensor) -> torch.Tensor:
    return merged / merged.sum(-1, keepdim=True)


def _median(probabilities: torch.Tensor) -> torch.Tensor:
    ordered = probabilities.sort(0).values
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return torch.where(ordered[-1].isnan(), ordered[-1], middle)  # NaN is sorted last, and is not to be lost


Activation = Literal["softmax", "sigmoid"]
_Elementwise = Callable[[torch.Tensor], torch.Tensor]

#: From logits (..., K) to probabilities; by softmax the classes exclude each other, by sigmoid they are independent.
_ACTIVATIONS: dict[str | None, _Elementwise] = {
    "softmax": lambda scores: torch.softmax(scores, -1),
    "sigmoid": torch.sigmoid,
    None: lambda scores: scores,
}

#: Name to formula: from logits (V, B, K) and the activation to merged values (B, K), which softmax then renormalises.
_FORMULAS: dict[str, Callable[[torch.Tensor, _Elementwise], torch.Tensor]] = {
    "mean": lambda scores, activate: activate(scores).mean(0),
    "logit_mean": lambda scores, activate: activate(scores.mean(0)),
    "max": lambda scores, activate: activate(scores).amax(0),
    "median": lambda scores, activate: _median(activate(scores)),
}

#: The names of all merges.
METHODS: tuple[str, ...] = tuple(_FORMULAS)


def merge(
    logits: ArrayLike,
    method: str = "mean",
    *,
    weights: ArrayLike | None = None,
    temperature: float = 1.0,
    activation: Activation | None = "softmax",
) -> torch.Tensor:
    """Probabilities of each sample, merged over its views; computed in float32, or float64 for float64 logits.

    Args:
        logits: float (V, B, K), tensor or array, view-major.
        method: How the views' probabilities are merged, a name of `METHODS`. "mean": their arithmetic mean.
            "logit_mean": their geometric mean, which is the activation of the mean of the logits. "max": the largest.
            "median": the middle value, or the mean of the two middle values where V is even. Under softmax the result
            is renormalised.
        weights: Of the views in "mean": (V, 1), or (V, K) for each class, non-negative; they need not sum to 1. None:
            equal weights.
        temperature: Divides the logits, > 0; above 1 makes each view less sure.
        activation: "softmax": classes exclude each other. "sigmoid": classes are independent, as in multi-label or
            one-logit models. None: the model's values are merged unchanged. A logit of −∞ is a class without a chance.

    Returns:
        float32 (B, K), float64 for float64 logits; under softmax each row sums to 1.

    Raises:
        ValueError: If an argument is out of range, weights come with a method other than "mean", or there is one logit
            under softmax.
    """
    check_method(method, weighted=weights is not None)
    check_activation(activation)
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature: must be positive and finite, got {temperature}. 1.0 changes nothing.")
    scores = torch.as_tensor(logits)
    if scores.ndim != 3 or scores.shape[0] == 0 or scores.shape[2] == 0:
        raise ValueError(
            f"logits: must be (V, B, K), V and K at least 1, got {tuple(scores.shape)}. Stack the views on "
            "the first dimension."
        )
    if activation == "softmax" and scores.shape[2] == 1:
        raise ValueError(
            "activation: softmax needs two classes or more, got one logit, whose softmax is always 1. "
            'Write activation="sigmoid" for a model with one logit.'
        )
    scores = (scores if scores.dtype == torch.float64 else scores.float()) / temperature
    activate = _ACTIVATIONS[activation]
    if weights is None:
        merged = _FORMULAS[method](scores, activate)
    else:
        factors = check_weights(weights, scores.shape[0], scores.shape[2])
        factors = factors.to(scores.device, scores.dtype, non_blocking=True)  # no wait for the device
        merged = (activate(scores) * factors[:, None, :]).sum(0)
        if activation != "softmax":  # which is renormalised over the classes instead
            merged = merged / factors.sum(0)
    return _normalised(merged) if activation == "softmax" else merged


def check_method(method: str, *, weighted: bool) -> None:
    """Raise ValueError unless `METHODS` holds the method, and it is "mean" if there are weights."""
    if method not in METHODS:
        raise ValueError(
            f"merge: must be one of {', '.join(METHODS)}, got {method!r}. "
            'Use "mean", or "logit_mean" for the geometric mean.'
        )
    if weighted and method != "mean":
        raise ValueError(f'weights: go with "mean" only, got {method!r}. Use merge="mean", or leave weights out.')


def check_activation(activation: str | None) -> None:
    """Raise ValueError unless there is such an activation."""
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f'activation: must be "softmax", "sigmoid" or None, got {activation!r}. Write "sigmoid" where each class '
            "stands by itself."
        )


def check_weights(weights: ArrayLike, views: int | None = None, classes: int | None = None) -> torch.Tensor:
    """The weights as a tensor (V, 1) or (V, K).

    Raises:
        ValueError: If the shape does not fit, a weight is negative or not finite, or all weights of a class are 0.
    """
    factors = torch.as_tensor(np.asarray(weights) if not isinstance(weights, torch.Tensor) else weights.detach())
    fits = (
        factors.ndim == 2
        and (views is None or factors.shape[0] == views)
        and (classes is None or factors.shape[1] in (1, classes))
    )
    if not fits:
        expected = f"({views or 'V'}, 1) or ({views or 'V'}, {classes or 'K'})"
        raise ValueError(
            f"weights: must have shape {expected}, got {tuple(factors.shape)}. Give one row for each view."
        )
    if not bool(torch.isfinite(factors).all()) or bool((factors < 0).any()):
        raise ValueError("weights: must be finite and not negative, got one that is not. A harmful view gets weight 0.")
    if not bool((factors.sum(0) > 0).all()):
        raise ValueError("weights: need a positive one for each class, got a column of zeros. Use 1 for every view.")
    return factors
