"""Held-out data for fitting and reporting: logits of every view, and targets, checked and brought into one form.

In: the user's arrays. Out: `HeldOut`. It fits nothing.
"""

from dataclasses import dataclass

import torch

from streamaug.batch import ArrayLike
from streamaug.tta.merge import Activation


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Logits and targets of the same samples.

    Attributes:
        logits: float (V, N, K), on the CPU.
        targets: int64 (N,), class numbers; or bool (N, K), for independent classes.
        activation: From logits to probabilities.
    """

    logits: torch.Tensor
    targets: torch.Tensor
    activation: Activation | None

    @property
    def answers(self) -> torch.Tensor:
        """Bool (N, K): the right answer for each class."""
        if self.targets.ndim > 1:
            return self.targets
        return torch.nn.functional.one_hot(self.targets, self.logits.shape[2]).bool()

    def likelihoods(self) -> torch.Tensor:
        """float64 (V, M): each view's probability of the right answer, for each sample, or each sample and class."""
        values = self.logits.double()
        if self.activation == "softmax":
            values = torch.softmax(values, -1)
        elif self.activation == "sigmoid":
            return torch.sigmoid(torch.where(self.answers, values, -values)).flatten(1)
        if self.targets.ndim > 1:
            return torch.where(self.targets, values, 1.0 - values).flatten(1)
        return values.gather(2, self.targets.expand(len(values), -1)[..., None])[..., 0]


def held_out(logits: ArrayLike, targets: ArrayLike, activation: Activation | None, *, name: str = "") -> HeldOut:
    """The data, checked.

    Args:
        logits: float (V, N, K).
        targets: int (N,), 0..K−1; or, for independent classes, (N, K) of 0 and 1, or (N,) for one logit.
        activation: "softmax", "sigmoid", or None for values that are probabilities.
        name: The beginning of the parameters' names in errors.

    Raises:
        ValueError: If the shapes do not belong together, a logit is not finite, or a target is out of range.
    """
    scores, labels = torch.as_tensor(logits).detach().cpu(), torch.as_tensor(targets).detach().cpu()
    if scores.ndim != 3 or 0 in scores.shape:
        raise ValueError(
            f"{name}logits: must be (V, N, K), got {tuple(scores.shape)}. Stack the views on the first dimension."
        )
    if not bool(torch.isfinite(scores).all()):
        wrong = ~torch.isfinite(scores).all(-1).all(0)
        first = int(wrong.nonzero()[0])
        value = scores[:, first][~torch.isfinite(scores[:, first])][0]
        raise ValueError(
            f"{name}logits: must be finite, got {int(wrong.sum())} of {len(wrong)} samples that are not, the first "
            f"number {first} with {float(value)}. Leave such samples out."
        )
    if activation == "softmax" and scores.shape[2] == 1:
        raise ValueError(
            f"{name}activation: softmax needs two classes or more, got one logit, whose softmax is always 1. "
            'Write activation="sigmoid" for a model with one logit.'
        )
    if activation is None and not bool(((scores >= 0) & (scores <= 1)).all()):
        raise ValueError(
            f"{name}logits: must be probabilities, 0..1, with activation=None, got {float(scores.min()):g}.."
            f'{float(scores.max()):g}. Write activation="softmax" or "sigmoid" for logits.'
        )
    return HeldOut(scores, _targets(labels, scores, activation, name), activation)


def _targets(labels: torch.Tensor, scores: torch.Tensor, activation: Activation | None, name: str) -> torch.Tensor:
    samples, classes = scores.shape[1:]
    if activation != "softmax" and (labels.ndim == 2 or classes == 1):
        if labels.ndim == 1:
            labels = labels[:, None]
        if labels.shape != (samples, classes) or not bool(((labels == 0) | (labels == 1)).all()):
            raise ValueError(
                f"{name}targets: must be 0 or 1, ({samples}, {classes}), where each class stands by itself, got "
                f"{labels.dtype} {tuple(labels.shape)}. Give one for each sample and class."
            )
        return labels.bool()
    if labels.shape != (samples,) or labels.dtype.is_floating_point or labels.dtype == torch.bool:
        raise ValueError(
            f"{name}targets: must be integers ({samples},), got {labels.dtype} {tuple(labels.shape)}. "
            "Give one for each sample."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(
            f"{name}targets: must lie in 0..{classes - 1}, got {int(labels.min())}..{int(labels.max())}. "
            "Use the classes that the logits have."
        )
    return labels.long()
