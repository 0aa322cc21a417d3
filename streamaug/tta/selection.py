"""Chooses few views that predict well together, so that the others need not be computed.

In: held-out logits of all views. Out: the views to take, in order. Deterministic.
"""

from dataclasses import dataclass

import torch

from streamaug.batch import ArrayLike
from streamaug.tta.held_out import HeldOut, held_out
from streamaug.tta.merge import Activation, check_activation


@dataclass(frozen=True, slots=True)
class ViewSelection:
    """Views in the order in which they were chosen.

    Attributes:
        views: The numbers of the views.
        nll: The negative log-likelihood of the plain mean of the first view, the first two, …, in nats.
    """

    views: tuple[int, ...]
    nll: tuple[float, ...]


def select_views(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    max_views: int | None = None,
    activation: Activation | None = "softmax",
) -> ViewSelection:
    """Choose views greedily: the best view, then repeatedly the view that helps the plain mean most.

    Args:
        logits: float (V, N, K) of held-out data, see `fit_tta_weights`.
        targets: As in `fit_tta_weights`.
        max_views: The most views to choose, from 1. None: until no other view lowers the negative log-likelihood.
        activation: As in `merge`.

    Returns:
        The chosen views. Report the metrics of their mean on other data, since these flatter it.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_activation(activation)
    data = held_out(logits, targets, activation)
    return chosen_views(data, len(data.logits) if max_views is None else max_views)


def chosen_views(data: HeldOut, max_views: int) -> ViewSelection:
    """As `select_views`, of checked data."""
    check_max_views(max_views)
    likelihoods = data.likelihoods().clamp_min(torch.finfo(torch.float64).tiny)
    total = torch.zeros_like(likelihoods[0])
    views: list[int] = []
    losses: list[float] = []
    while len(views) < min(max_views, len(likelihoods)):
        rest = [view for view in range(len(likelihoods)) if view not in views]
        tried = [float(-((total + likelihoods[view]) / (len(views) + 1)).log().mean()) for view in rest]
        best = min(range(len(rest)), key=tried.__getitem__)
        if losses and not tried[best] < losses[-1]:
            break
        views.append(rest[best])
        losses.append(tried[best])
        total += likelihoods[rest[best]]
    return ViewSelection(tuple(views), tuple(losses))


def check_max_views(max_views: int | None) -> None:
    """Raise ValueError unless None or at least 1."""
    if max_views is not None and max_views < 1:
        raise ValueError(f"max_views: must be at least 1, got {max_views}. None takes all views.")
