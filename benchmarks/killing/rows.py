"""The rows of the lives of a training, compared with those of a training without a break.

In: the folders that benchmarks/killing/rank.py wrote. Out: rows by (epoch, position), and a verdict.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Place = tuple[int, int]  # epoch, position


@dataclass
class Life:
    """The rows of a life of a training.

    Attributes:
        start: The position at which it went on.
        rows: Every row, by (epoch, position).
        twice: Positions that came twice within this life.
        gaps: Ranks whose steps did not follow each other, in words.
    """

    start: Place
    rows: dict[Place, Any] = field(default_factory=dict)
    twice: list[Place] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def furthest(self) -> Place | None:
        """The last position of its rows."""
        return max(self.rows, default=None)


def read_life(folder: Path) -> Life:
    """The rows of a life, over all of its ranks; a line that a kill cut off was no batch."""
    log = folder / "log.jsonl"
    records = [json.loads(line) for line in whole_lines(log)] if log.exists() else []
    resumed = next((row for row in records if row["event"] == "resumed"), {"epoch": 0, "position": 0})
    life = Life((resumed["epoch"], resumed["position"]))
    for path in sorted(folder.glob("rows-*.jsonl")):
        before: Place | None = None
        for line in whole_lines(path):
            record = json.loads(line)
            epoch, step = record["epoch"], record["step"]
            if before is not None and (epoch, step) not in ((before[0], before[1] + 1), (before[0] + 1, 0)):
                life.gaps.append(f"{path.name}: epoch {epoch} step {step} after epoch {before[0]} step {before[1]}")
            before = epoch, step
            for position, *row in record["rows"]:
                if (epoch, position) in life.rows:
                    life.twice.append((epoch, position))
                life.rows[epoch, position] = row
    return life


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that end."""
    return path.read_text().split("\n")[:-1]


@dataclass(frozen=True)
class Verdict:
    """The comparison of all lives with the unbroken training.

    Attributes:
        rows: Of the unbroken training.
        delivered: Rows of all lives, also those that came again after a kill.
        different: Positions of rows, of any life, that differ from the unbroken training.
        lost: Positions of which no life's row was kept.
        twice: Positions that came twice in one life, or again although the earlier row was kept.
        gaps: Rows that came out of order, in words.
    """

    rows: int
    delivered: int
    different: list[Place]
    lost: list[Place]
    twice: list[Place]
    gaps: list[str]

    @property
    def holds(self) -> bool:
        """Whether all is as in the unbroken training."""
        return self.rows > 0 and not (self.different or self.lost or self.twice or self.gaps)

    def __str__(self) -> str:
        again = self.delivered - self.rows
        parts = [f"{self.rows} rows, {self.delivered} delivered, {again} of them again after a kill"]
        parts.append(f"{len(self.different)} differ, {len(self.lost)} lost, {len(self.twice)} twice")
        parts += [f"{name}: {places[:5]}" for name, places in self._faults() if places]
        return "; ".join(parts)

    def _faults(self) -> list[tuple[str, list[Any]]]:
        return [("differ", self.different), ("lost", self.lost), ("twice", self.twice), ("out of order", self.gaps)]


def judge(unbroken: Life, lives: list[Life]) -> Verdict:
    """Compare the lives of a training with a training without a break.

    A life goes on from a checkpoint, whose weights were trained on exactly the rows before its position. Rows of
    earlier lives from that position on are lost with their weights; they come again, and must be the same.
    """
    different, gaps = [], list(unbroken.gaps)
    twice = [place for life in (unbroken, *lives) for place in life.twice]
    kept: set[Place] = set()
    for life in lives:
        gaps += life.gaps
        if life.rows:
            kept = {place for place in kept if place < life.start}
        twice += kept & life.rows.keys()
        kept |= life.rows.keys()
        different += [place for place, row in life.rows.items() if unbroken.rows.get(place) != row]
    delivered = sum(len(life.rows) + len(life.twice) for life in lives)
    lost = sorted(unbroken.rows.keys() - kept)
    return Verdict(len(unbroken.rows), delivered, sorted(different), lost, sorted(twice), gaps)
