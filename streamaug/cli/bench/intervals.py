"""Medians with intervals that assume nothing of a distribution, for every figure of a benchmark.

In: the values of repeated runs. Out: their median, and two of them that enclose the true median with a known chance.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A median with a distribution-free interval: two order statistics, and the chance that they enclose the median."""

    median: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.confidence:.1%})"


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The narrowest symmetric pair of order statistics with at least that coverage, else the extremes.

    Coverage of the k-th smallest and k-th largest of n: 1 - 2·P(Binomial(n, 1/2) < k).
    """
    ordered, n = sorted(values), len(values)
    best = 1
    for k in range(1, n // 2 + 1):
        if coverage(n, k) >= confidence:
            best = k
    return Interval(statistics.median(ordered), ordered[best - 1], ordered[n - best], coverage(n, best))


def coverage(n: int, k: int) -> float:
    """The chance that the k-th smallest and k-th largest of n values enclose the median of their distribution."""
    return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2.0**n
