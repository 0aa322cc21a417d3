"""The rows that the ranks of a life were given, and how they differ from those of an unbroken run.

In: the folder of a life, as `determinism_trial` leaves it. Out: global batches of rows; shares of equal rows, and
numbers of lost and repeated ones, for `determinism`.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

#: Rows of a step, over all ranks.
GLOBAL_BATCH = 48

Row = tuple[int, str, str]  # sample, digests of pixels and target


def rows(folder: Path) -> list[list[Row]]:
    """The rows of each global batch, over all ranks; batches smaller than a global batch are put together."""
    ranks = [
        [[tuple(row) for row in json.loads(line)] for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("rows-*.jsonl"))
    ]
    together: list[list[Row]] = []
    for number in range(max(map(len, ranks), default=0)):
        step = [row for rank in ranks if number < len(rank) for row in rank[number]]
        if together and len(together[-1]) + len(step) <= GLOBAL_BATCH:
            together[-1] += step
        else:
            together.append(step)
    return together


def compare(unbroken: list[list[Row]], before: list[list[Row]], after: list[list[Row]], saved: int) -> dict[str, Any]:
    """Shares of rows after the resume that are as in the unbroken run, and the epoch's rows lost or twice."""
    expected = unbroken[saved:]
    count = sum(map(len, expected))
    order = sum(
        (Counter(row[0] for row in one) & Counter(row[0] for row in other)).total()
        for one, other in zip(expected, after, strict=False)
    )
    wanted, given = [row for step in expected for row in step], [row for step in after for row in step]
    pixels = (Counter(row[:2] for row in wanted) & Counter(row[:2] for row in given)).total()
    targets = (Counter((row[0], row[2]) for row in wanted) & Counter((row[0], row[2]) for row in given)).total()
    whole = Counter(row[0] for step in unbroken for row in step)
    epoch = Counter(row[0] for step in before[:saved] + after for row in step)
    return {
        "rows": count,
        "same_global_batch": order / count,
        "same_pixels": pixels / count,
        "same_mixed_targets": targets / count,
        "lost": (whole - epoch).total(),
        "twice": (epoch - whole).total() - sum(1 for sample in epoch if sample not in whole),
        "others": sum(1 for sample in epoch if sample not in whole),
    }


def seconds(folder: Path) -> dict[str, float]:
    """From the construction of the loader to the first batch, of the slowest rank; and CPU seconds of its process."""
    firsts = [json.loads(path.read_text()) for path in folder.glob("first-*.json")]
    return {name: max(first[name] for first in firsts) for name in ("seconds", "cpu")}
