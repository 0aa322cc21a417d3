"""Accuracy, negative log-likelihood and calibration of probabilities; and the contribution of each view of an image.

In: probabilities and targets. Out: numbers, the table of them, and the picture. It fits nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from streamaug.tta.chart import ChartRow, draw
from streamaug.tta.held_out import HeldOut
from streamaug.tta.merge import merge

#: Bins of the expected calibration error, as in Guo et al., "On calibration of modern neural networks", ICML 2017.
ECE_BINS = 15
#: Logits that are merged at once, in float64.
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good probabilities are.

    Attributes:
        accuracy: Share of samples whose most probable class is the target, 0..1; of independent classes, the share of
            samples and classes that a threshold of one half decides rightly.
        nll: Mean negative log-likelihood of the right answer, in nats.
        ece: Expected calibration error over 15 equal bins of confidence, 0..1.
    """

    accuracy: float
    nll: float
    ece: float


def measure(probabilities: torch.Tensor, targets: torch.Tensor) -> Metrics:
    """The metrics, in float64.

    Args:
        probabilities: float (N, K).
        targets: int64 (N,), class numbers; or (N, K) of 0 and 1 for independent classes, (N,) for one logit.
    """
    if probabilities.shape[-1] == 1 or targets.ndim > 1:
        right = targets.view(probabilities.shape).bool()
        chosen = torch.where(right, probabilities.double(), 1.0 - probabilities.double()).flatten()
        confidence, hits = torch.maximum(chosen, 1.0 - chosen), _decisions(probabilities) == right
        hits = hits.flatten().double()
    else:
        confidence, predicted = probabilities.double().max(-1)
        hits = (predicted == targets).double()
        chosen = probabilities.gather(1, targets[:, None])[:, 0].double()
    nll = -chosen.clamp_min(torch.finfo(torch.float64).tiny).log().mean()
    bins = (confidence * ECE_BINS).ceil().long().clamp(1, ECE_BINS) - 1
    gaps = torch.bincount(bins, confidence - hits, minlength=ECE_BINS).abs()
    return Metrics(float(hits.mean()), float(nll), float(gaps.sum() / len(hits)))


def _decisions(probabilities: torch.Tensor) -> torch.Tensor:
    return probabilities > 0.5  # an independent class is present, or is not


@dataclass(frozen=True, slots=True)
class TTAReport:
    """The metrics of a fit, of each view by itself, and of the mean without each view.

    `print(report)` shows a table, `report.table(names)` with names of the views; `report.chart()` is an SVG picture.

    Attributes:
        fitted: Metrics with the learned weights and temperature.
        mean: The plain mean of all views.
        alone: Each view by itself, V entries.
        without: The plain mean of all other views, V entries; empty for a single view.
        weights: Each view's share of the weight, V entries that sum to 1; averaged over the classes if weights are per
            class.
        temperature: The learned temperature.
        agreement: Share of samples for which a view by itself chooses the class that the mean of all chooses, V
            entries, 0..1; of independent classes, share of samples and classes.
        held_out: Whether the figures are of other data than the fit's, which would flatter it.
        selected: The views that were chosen, in that order; all of them where no choice was made.
    """

    fitted: Metrics
    mean: Metrics
    alone: tuple[Metrics, ...]
    without: tuple[Metrics, ...]
    weights: tuple[float, ...]
    temperature: float
    agreement: tuple[float, ...]
    held_out: bool
    selected: tuple[int, ...]

    @property
    def harmful(self) -> tuple[int, ...]:
        """The views that raise the NLL of the plain mean."""
        return tuple(view for view, metrics in enumerate(self.without) if metrics.nll < self.mean.nll)

    def table(self, names: Sequence[str] | None = None) -> str:
        """The figures as a table.

        Args:
            names: Of the views, such as `recipes.view_names("ten_crop")`. None: their numbers.

        Raises:
            ValueError: If there are not as many names as views.
        """
        labels = self.labels(names)
        width = max(24, *(len(f"mean without {label} *") for label in labels))

        def row(name: str, metrics: Metrics, weight: str = "", agreement: str = "") -> str:
            figures = f"{metrics.accuracy:>9.4f} {metrics.nll:>8.4f} {metrics.ece:>7.4f}"
            return f"{name:<{width}} {weight:>7} {figures} {agreement:>10}".rstrip()

        lines = [f"{'':<{width}} {'weight':>7} {'accuracy':>9} {'NLL':>8} {'ECE':>7} {'agreement':>10}"]
        lines.append(row(f"fitted, T = {self.temperature:.3f}", self.fitted))
        lines.append(row("mean of all views", self.mean))
        lines += [
            row(f"{label} alone", metrics, f"{weight:.4f}", f"{agreement:.4f}")
            for label, metrics, weight, agreement in zip(labels, self.alone, self.weights, self.agreement, strict=True)
        ]
        lines += [
            row(f"mean without {label}" + (" *" if view in self.harmful else ""), metrics)
            for view, (label, metrics) in enumerate(zip(labels, self.without, strict=False))
        ]
        if self.harmful:
            lines.append("* the mean has a lower NLL without it")
        data = "held-out data" if self.held_out else "the data of the fit, which flatter it: give report_on other data"
        return "\n".join([*lines, f"measured on {data}"])

    def chart(self, names: Sequence[str] | None = None) -> str:
        """The figures as a picture, SVG text to write to a file; see `table` for the argument."""
        labels = self.labels(names)
        rows = [ChartRow("fitted", _triple(self.fitted)), ChartRow("mean of all views", _triple(self.mean))]
        rows += [
            ChartRow(f"{label} alone", _triple(metrics), weight, agreement)
            for label, metrics, weight, agreement in zip(labels, self.alone, self.weights, self.agreement, strict=True)
        ]
        rows += [
            ChartRow(f"mean without {label}", _triple(metrics), is_harmful=view in self.harmful)
            for view, (label, metrics) in enumerate(zip(labels, self.without, strict=False))
        ]
        data = "held-out data" if self.held_out else "the data of the fit, which flatter it"
        return draw(rows, f"Measured on {data}; temperature {self.temperature:.3f}")

    def labels(self, names: Sequence[str] | None = None) -> tuple[str, ...]:
        """The names, or "view 0" and so on.

        Raises:
            ValueError: If there are not as many names as views.
        """
        if names is None:
            return tuple(f"view {view}" for view in range(len(self.alone)))
        if len(names) != len(self.alone):
            raise ValueError(f"names: must be {len(self.alone)}, one for each view, got {len(names)}. Name every view.")
        return tuple(names)

    def __str__(self) -> str:
        return self.table()


def _triple(metrics: Metrics) -> tuple[float, float, float]:
    return metrics.accuracy, metrics.nll, metrics.ece


def make_report(
    data: HeldOut, weights: torch.Tensor, temperature: float, *, held_out: bool, selected: Sequence[int]
) -> TTAReport:
    """The report of a fit on some data."""
    scores = data.logits
    views = range(len(scores))
    learned = {"weights": weights, "temperature": temperature}
    mean, choices = _figures(data, scores)
    fitted, _ = _figures(data, scores, **learned)
    alone, agreement = [], []
    for view in views:
        metrics, own = _figures(data, scores[view : view + 1])
        alone.append(metrics)
        agreement.append(float((own == choices).double().mean()))
    others = (torch.cat([scores[:view], scores[view + 1 :]]) for view in views if len(views) > 1)
    return TTAReport(
        fitted=fitted,
        mean=mean,
        alone=tuple(alone),
        without=tuple(_figures(data, rest)[0] for rest in others),
        weights=tuple(float(share) for share in weights.double().mean(1)),
        temperature=temperature,
        agreement=tuple(agreement),
        held_out=held_out,
        selected=tuple(selected),
    )


def _figures(data: HeldOut, scores: torch.Tensor, **learned: Any) -> tuple[Metrics, torch.Tensor]:
    """The metrics of merged views, in float64, and their answers: classes (N,), or decisions (N, K)."""
    rows = max(1, _CHUNK // (scores.shape[0] * scores.shape[2]))
    chunks = [
        merge(scores[:, first : first + rows].double(), activation=data.activation, **learned)
        for first in range(0, scores.shape[1], rows)
    ]
    merged = torch.cat(chunks)
    return measure(merged, data.targets), merged.argmax(-1) if data.targets.ndim == 1 else _decisions(merged)
