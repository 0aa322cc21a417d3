"""How good probabilities are: accuracy, negative log-likelihood, calibration; and the table that shows it view by view.

In: probabilities and targets. Out: numbers. Nothing is fitted here.
"""

from dataclasses import dataclass

import torch

#: Bins of the expected calibration error, as in Guo et al., "On calibration of modern neural networks", ICML 2017.
ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good probabilities are.

    Attributes:
        accuracy: Share of samples whose most probable class is the target, 0..1.
        nll: Mean negative log-likelihood of the targets, in nats.
        ece: Expected calibration error over 15 equal bins of confidence, 0..1.
    """

    accuracy: float
    nll: float
    ece: float


def measure(probabilities: torch.Tensor, targets: torch.Tensor) -> Metrics:
    """The metrics of probabilities float (N, K) against targets int64 (N,), in float64."""
    confidence, predicted = probabilities.double().max(-1)
    hits = (predicted == targets).double()
    chosen = probabilities.gather(1, targets[:, None])[:, 0].double()
    nll = -chosen.clamp_min(torch.finfo(torch.float64).tiny).log().mean()
    bins = (confidence * ECE_BINS).ceil().long().clamp(1, ECE_BINS) - 1
    gaps = torch.bincount(bins, confidence - hits, minlength=ECE_BINS).abs()
    return Metrics(float(hits.mean()), float(nll), float(gaps.sum() / len(targets)))


@dataclass(frozen=True, slots=True)
class TTAReport:
    """What the fit is worth, on the data it was fitted to, and what each view adds.

    Attributes:
        fitted: With the learned weights and temperature.
        mean: The plain mean of all views.
        alone: Each view by itself, V entries.
        without: The plain mean of all other views, V entries; empty for a single view.
        weights: Each view's share of the weight, V entries that sum to 1; its mean over the classes if per class.
        temperature: The learned temperature.
    """

    fitted: Metrics
    mean: Metrics
    alone: tuple[Metrics, ...]
    without: tuple[Metrics, ...]
    weights: tuple[float, ...]
    temperature: float

    @property
    def harmful(self) -> tuple[int, ...]:
        """The views without which the plain mean has a lower NLL than with them."""
        return tuple(view for view, metrics in enumerate(self.without) if metrics.nll < self.mean.nll)

    def __str__(self) -> str:
        def row(name: str, metrics: Metrics, weight: str = "") -> str:
            return f"{name:<24} {weight:>7} {metrics.accuracy:>9.4f} {metrics.nll:>8.4f} {metrics.ece:>7.4f}"

        lines = [f"{'':<24} {'weight':>7} {'accuracy':>9} {'NLL':>8} {'ECE':>7}"]
        lines.append(row(f"fitted, T = {self.temperature:.3f}", self.fitted))
        lines.append(row("mean of all views", self.mean))
        lines += [
            row(f"view {view} alone", metrics, f"{weight:.4f}")
            for view, (metrics, weight) in enumerate(zip(self.alone, self.weights, strict=True))
        ]
        lines += [
            row(f"mean without view {view}" + (" *" if view in self.harmful else ""), metrics)
            for view, metrics in enumerate(self.without)
        ]
        return "\n".join([*lines, "* the mean is better without it"] if self.harmful else lines)
