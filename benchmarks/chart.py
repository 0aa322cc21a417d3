"""Draws results as charts: images/s of every round, and the ratios with their intervals.

python benchmarks/chart.py            # each of CHARTS that there is, benchmarks/results/<name>.json to <name>.svg
"""

import argparse
import json
import statistics
from html import escape
from typing import Any

from harness import RESULTS

CHARTS = ("loader", "mixing", "tta")
WIDTH, LEFT, RIGHT, ROW = 900, 310, 150, 30
OURS, PEER, INK, FAINT = "#1668b8", "#9aa3ad", "#1c2026", "#6e7680"


def text(x: float, y: float, words: str, *, color: str = INK, size: int = 13, anchor: str = "start") -> str:
    style = f'font-size="{size}" fill="{color}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def dot(x: float, y: float, radius: float, color: str, opacity: float = 1.0) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{color}" fill-opacity="{opacity}"/>'


def speeds(result: dict[str, Any], top: float) -> list[str]:
    """A bar for each median, a dot for each round."""
    rows = result["images_per_second"]
    unit = (WIDTH - LEFT - RIGHT) / max(max(values) for values in rows.values())
    parts = []
    for number, (name, values) in enumerate(rows.items()):
        y, median = top + ROW * (number + 0.5), statistics.median(values)
        color = OURS if name.startswith(("streamaug", "one decode")) else PEER
        parts.append(text(LEFT - 12, y + 5, name, anchor="end"))
        parts.append(f'<rect x="{LEFT}" y="{y - 10}" width="{median * unit:.1f}" height="20" fill="{color}"/>')
        parts += [dot(LEFT + value * unit, y, 2.5, INK, 0.5) for value in values]
        parts.append(text(LEFT + max(values) * unit + 10, y + 5, f"{median:.0f}"))
    return parts


def ratios(result: dict[str, Any], top: float) -> list[str]:
    """A line for each interval, a dot at its median, and a dashed line at 1."""
    rows = [(name, kind, each[kind]) for name, each in result["ratios"].items() for kind in ("clock", "cpu")]
    unit = (WIDTH - LEFT - RIGHT) / max(row["high"] for _, _, row in rows)
    one, bottom = LEFT + unit, top + ROW * len(rows)
    parts = [f'<path d="M{one:.1f} {top}V{bottom}" stroke="{FAINT}" stroke-dasharray="4 3"/>']
    for number, (name, kind, row) in enumerate(rows):
        y = top + ROW * (number + 0.5)
        low, median, high = (LEFT + row[key] * unit for key in ("low", "median", "high"))
        color = OURS if kind == "clock" else PEER
        label, shade = (name, INK) if kind == "clock" else ("by CPU time", FAINT)
        parts.append(text(LEFT - 12, y + 5, label, anchor="end", color=shade))
        parts.append(f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="{color}" stroke-width="3"/>')
        parts.append(dot(median, y, 5, color))
        parts.append(text(high + 10, y + 5, f"{row['median']:.2f}  [{row['low']:.2f}, {row['high']:.2f}]", color=shade))
    return parts


def draw(result: dict[str, Any]) -> str:
    """The whole picture as SVG."""
    settings, machine = result["settings"], result["machine"]
    first, second = 90, 90 + ROW * len(result["images_per_second"]) + 50
    height = second + ROW * 2 * len(result["ratios"]) + 40
    confidence = next(iter(result["ratios"].values()))["clock"]["confidence"]
    cores = settings.get("cores", settings["threads"] if "threads" in settings else machine["usable_cores"])
    subtitle = (
        f"{machine['cpu']}, {cores} cores, {settings.get('device', 'cpu').upper()}, "
        f"batch {settings['batch_size']}, {settings['size']} pixels, {result['date'][:10]}"
    )
    load = f"Load average {machine['load_average'][0]} when it ended; each dot is a round, bars are medians."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        text(20, 30, result["question"], size=18),
        text(20, 52, subtitle, color=FAINT),
        text(20, 72, load, color=FAINT),
        *speeds(result, first),
        text(20, second - 14, f"How many times as fast, median and {confidence:.1%} interval", size=15),
        *ratios(result, second),
        text(20, height - 14, result["command"], color=FAINT, size=12),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Draw the pictures beside the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--result", nargs="+", default=CHARTS, help="names of files in benchmarks/results")
    for name in parser.parse_args().result:
        if (result := RESULTS / f"{name}.json").exists():
            path = RESULTS / f"{name}.svg"
            path.write_text(draw(json.loads(result.read_text())))
            print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
