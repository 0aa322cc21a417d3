"""The table of docs/determinism.md and README.md, in Markdown, of the result of `determinism`."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: Both have the table.
PAGES = (ROOT / "docs" / "determinism.md", ROOT / "README.md")
BEGIN, END = "<!-- determinism: begin -->", "<!-- determinism: end -->"


def table(result: dict[str, Any], needs: dict[str, str]) -> str:
    """The result in Markdown; `needs` says by loader what must stay the same."""
    head = "same batch, pixels, mixed target"
    titles = ["loader", f"on 3 ranks: {head}", "lost, twice", f"on 2 ranks: {head}", "lost, twice"]
    titles += ["what must stay the same", "CPU s to the first batch from 10%, 90%"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, row in result["loaders"].items():
        title = f"{name} {row.get('version', '')}".strip()
        if "not_run" in row:
            lines.append(f"| {title} | not run: {row['not_run']} | | | | | |")
            continue
        cells = [cell for ranks in (3, 2) for cell in compared(row[f"on_{ranks}"])]
        times = [row["resume"][share] for share in ("10%", "90%")]
        first = ", ".join("–" if "refused" in one else f"{one['cpu']:.1f}" for one in times)
        lines.append(f"| {title} | {' | '.join(cells)} | {needs[name]} | {first} |")
    return "\n".join(lines) + "\n"


def compared(row: dict[str, Any]) -> list[str]:
    """Two cells: shares, and rows lost and twice."""
    if "refused" in row:
        return [f"refused: {row['refused'].replace('|', '/')}", "–"]
    shares = (row[name] for name in ("same_global_batch", "same_pixels", "same_mixed_targets"))
    return [", ".join(f"{share:.0%}" for share in shares), f"{row['lost']}, {row['twice']}"]
