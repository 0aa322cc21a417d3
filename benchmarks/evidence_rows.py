"""Rows of results/accuracy.json and results/evaluate.json, as tables and charts of docs/evidence.md show them."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

SEEN = "The images come from the training set."
SETTINGS = {
    "few": "1,000 training images, 50 epochs",
    "long": "1,000 training images, 100 epochs",
    "single": "1,000 training images, 20 epochs",
}
#: Of the rows of a table.
ORDER = (
    *("none", "flip_crop", "cutout", "mixup", "cutmix", "both", "mixup_alone", "cutmix_alone"),
    *("rotate", "rotate_crop", "perspective", "crop", "erase", "noise", "blur", "jitter"),
)
Results = dict[str, Any]


def by_method(accuracy: Results, setting: str) -> dict[str, list[Results]]:
    """The whole runs of a setting, by method, in the order of `ORDER`; of each its seeds, ascending."""
    found: dict[str, list[Results]] = {}
    for run in sorted(accuracy["runs"].values(), key=lambda run: (ORDER.index(run["method"]), run["seed"])):
        if run["setting"] == setting and run["finished"]:
            found.setdefault(run["method"], []).append(run)
    return found


def spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def of(runs: Sequence[Results], views: str, figure: str) -> list[float]:
    return [run["test"][views][figure] for run in runs]


def halves(row: Results, which: str, figure: str) -> float:
    return mean(half[which][figure] for half in row["fitted_on_halves"])
