"""The page of `streamaug bench`: one HTML file with charts.

In: the report's record. Out: HTML without other files. The first chart is the roofline, every limit beside the chain's
speed; the second shows the time of an image by part; the table has the figures of both.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from streamaug.cli.bench.text import CHAIN, HEAD, cells
from streamaug.cli.document import document
from streamaug.cli.messages import quantity

_WIDTH, _NAMES, _ROW = 920, 260, 30
_INK, _FAINT, _BAR, _BOUND, _CHAIN = "#18181b", "#71717a", "#93b4d8", "#d9622b", "#18181b"
#: The parts of an image's time, in the order of the chain.
_PARTS = ("#3f6894", "#4b8f8a", "#3f7d38", "#8a6d00", "#b35c0c", "#b53a3d", "#875079", "#a8536b", "#7a5742", "#6b6560")
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #18181b; margin: 32px auto; max-width: 980px; padding: 0 16px;
  overflow-wrap: break-word; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 32px 0 8px; }
p.facts { color: #52525b; margin: 0 0 16px; }
section.verdict { background: #f4f4f5; border-left: 4px solid #d9622b; padding: 12px 16px; margin: 16px 0; }
section.verdict p { margin: 4px 0; } section.verdict p:first-child { font-weight: 600; }
p.busy { background: #fef3c7; padding: 8px 12px; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { text-align: right; padding: 4px 8px; border-bottom: 1px solid #e4e4e7; white-space: nowrap; }
th { color: #52525b; font-weight: 600; } td:first-child, th:first-child { text-align: left; white-space: normal; }
td:nth-child(2), th:nth-child(2) { text-align: left; }
tr.chain td { font-weight: 600; border-top: 2px solid #18181b; }
div.wide { overflow-x: auto; } svg { display: block; min-width: 680px; }
code { font-size: 12px; overflow-wrap: anywhere; }
"""


def page(report: Mapping[str, Any]) -> str:
    """The page as HTML text."""
    settings, company = report["settings"], report["company"]
    title = f"streamaug bench: {settings['source'].rpartition('/')[2]}"
    if settings["shards"] > 1 and settings["source"].endswith(".tar"):
        title += f" and {settings['shards'] - 1:,} more"
    facts = (
        f"{settings['source']}: {quantity(settings['samples'], 'sample')}, {quantity(settings['shards'], 'shard')}, "
        f"{settings['bytes'] / 1e9:.3g} GB; batches "
        f"of {settings['batch_size']}; {report['machine']['usable_cores']:g} cores of {report['machine']['cpu']}."
    )
    verdict = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in report["verdict"])
    changes = "".join(f"<li>{html.escape(change)}</li>" for change in report["changes"])
    confidence = report["chain"]["images_per_second"]["confidence"]
    body = (
        f'<section class="verdict">{verdict}</section>\n'
        f"<h2>What to change</h2>\n<ul>{changes}</ul>\n"
        f"<h2>Limits, and what the chain gives</h2>\n{_limits(report)}\n"
        f"<h2>Where the time of an image goes</h2>\n{_time(report)}\n"
        f"<h2>Figures</h2>\n{_table(report)}\n"
        f'<p class="facts">Medians of {settings["repeats"]} runs of some {settings["seconds"]:g} s each, with '
        f"the two runs that enclose the median with a chance of {confidence:.1%}. An operation's figures are "
        "differences to the graph without it.</p>\n"
        f'<p class="{"busy" if company["busy"] else "facts"}">{html.escape(company["sentence"])}</p>\n'
        f"<p><code>{html.escape(settings['chain'])}</code></p>"
    )
    return document(title, facts, body, _STYLE)


def _text(x: float, y: float, words: str, color: str = _INK, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    return _wide(
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" width="100%" font-size="13" '
        f'font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )


def _wide(element: str) -> str:
    """A box that scrolls sideways in a narrow window, so that the page need not."""
    return f'<div class="wide">{element}</div>'


def _limits(report: Mapping[str, Any]) -> str:
    """A bar for each limit, each peer and the chain, and a line at the chain's speed; bars end at four times that."""
    chain = report["chain"]["images_per_second"]
    bars: list[tuple[str, float, Any]] = [
        (limit["what"], limit["images_per_second"], None) for limit in report["limits"]
    ]
    bars += [("the chain", chain["median"], chain)]
    bars += [(_peer(peer), peer["images_per_second"]["median"], peer["images_per_second"]) for peer in report["peers"]]
    lowest = min(limit["images_per_second"] for limit in report["limits"])
    most = 4 * max(chain["median"], lowest, *(value for _, value, measured in bars if measured))
    longest = min(most, max(value for _, value, _ in bars))
    scale = (_WIDTH - _NAMES - 120) / longest
    parts = []
    bound = next(limit["what"] for limit in report["limits"] if limit["name"] == report["bound"])
    for number, (name, value, measured) in enumerate(bars):
        y = number * _ROW + 6
        length, cut = min(value, longest) * scale, value > longest
        color = _CHAIN if name == "the chain" else _BOUND if name == bound else _BAR
        parts.append(_text(_NAMES - 10, y + 15, name, anchor="end"))
        parts.append(
            f'<rect x="{_NAMES}" y="{y}" width="{max(1.0, length):.1f}" height="20" rx="2" fill="{color}" '
            f'fill-opacity="{0.5 if cut else 1}"/>'
        )
        end = max(length, min(measured["high"], longest) * scale) if measured else length
        parts.append(_text(_NAMES + end + 8, y + 15, f"{value:,.0f}{' →' if cut else ''}", _FAINT))
        if measured:
            low, high = (_NAMES + min(measured[end], longest) * scale for end in ("low", "high"))
            parts.append(
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 10}" y2="{y + 10}" stroke="#a1a1aa" stroke-width="3"/>'
            )
    height = len(bars) * _ROW + 34
    x = _NAMES + chain["median"] * scale
    parts.append(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 28}" stroke="{_CHAIN}" stroke-dasharray="4 3"/>'
    )
    parts.append(_text(x, height - 10, f"the chain: {chain['median']:,.0f} images/s", anchor="middle"))
    return _svg(height, parts)


def _peer(peer: Mapping[str, Any]) -> str:
    """A peer's short name; streamaug's own says that it does the same work."""
    return str(peer["name"] if peer["peer"] == "streamaug" else peer["peer"])


def _time(report: Mapping[str, Any]) -> str:
    """One bar in parts, and their names with milliseconds below it."""
    rows = [row for row in report["rows"] if row["share"] is not None]
    parts, x = [], 0.0
    for number, row in enumerate(rows):
        color = _PARTS[number % len(_PARTS)]
        width = row["share"] * _WIDTH
        parts.append(f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="36" fill="{color}"/>')
        if row["share"] > 0.12:
            parts.append(_text(x + width / 2, 23, f"{row['name'][:28]} {row['share']:.0%}", "white", "middle"))
        x += width
        left, y = (number % 2) * _WIDTH / 2, 60 + number // 2 * 22
        milliseconds = max(row["core_ms"]["median"], row["serial_ms"], 0.0)
        parts.append(f'<rect x="{left}" y="{y - 11}" width="12" height="12" fill="{color}"/>')
        parts.append(_text(left + 20, y, f"{row['name']}: {milliseconds:.3f} ms, {row['share']:.0%}"))
    return _svg(60 + (len(rows) + 1) // 2 * 22, parts)


def _table(report: Mapping[str, Any]) -> str:
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    body = ""
    for row in cells(report):
        columns = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        body += f'<tr class="chain">{columns}</tr>' if row[0] == CHAIN else f"<tr>{columns}</tr>"
    return _wide(f"<table><tr>{head}</tr>{body}</table>")
