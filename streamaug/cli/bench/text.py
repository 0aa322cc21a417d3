"""The report as text: a table that fits a terminal, and the verdict below it."""

from collections.abc import Mapping, Sequence
from typing import Any

#: The name of the whole chain's row.
CHAIN = "whole chain"
#: The table's columns.
HEAD = ("stage", "where", "images/s alone", "core-ms an image", "share", "used")


def lines(report: Mapping[str, Any]) -> list[str]:
    """The lines to print."""
    rows = [HEAD, *cells(report)]
    limits = [
        (f"limit: {limit['what']}", f"{limit['images_per_second']:,.0f} images/s, {_used(limit['utilisation'])}")
        for limit in report["limits"]
    ]
    width = max(len(name) for name, _ in limits)
    out = [*_table(rows), "", *(f"{name:{width}}  {text}" for name, text in limits), ""]
    out += report["verdict"]
    out += [f"- {change}" for change in report["changes"]]
    return [*out, report["company"]["sentence"]]


def _used(share: float) -> str:
    """How much of a limit the chain uses; a model's and a slow store's may be exceeded."""
    return f"{share:.0%} used" if share < 1.5 else f"the chain gives {share:.1f} times as many"


def cells(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The table's rows: the parts of the chain, the chain, the peers."""
    rows: list[tuple[str, ...]] = [
        (
            row["name"],
            row["where"],
            spread(row["images_per_second"], 0),
            spread(row["core_ms"], 3),
            percent(row["share"]),
            percent(row["utilisation"]),
        )
        for row in report["rows"]
    ]
    for name, where, found in [
        (CHAIN, "", report["chain"]),
        *((peer["name"], "peer", peer) for peer in report["peers"]),
    ]:
        rows.append((name, where, spread(found["images_per_second"], 0), spread(found["core_ms"], 3), "", ""))
    return rows


def spread(interval: Mapping[str, float] | None, digits: int) -> str:
    """A median with its interval; a dash where the cost is too small to tell."""
    if interval is None:
        return "–"
    median, low, high = (f"{interval[name]:,.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} [{low}, {high}]"


def percent(share: float | None) -> str:
    """A share in per cent; "" for None."""
    return "" if share is None else f"{share:.0%}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of text, with figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
