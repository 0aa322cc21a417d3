"""What the gallery says of an operation beside its pictures: kind, random numbers, cost, parameters.

In: an operation's name. Out: text. The cost is that of `benchmarks/results/operations.json`; an operation that is not
measured there has none.
"""

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

from operation_pictures import Example

from streamaug import ops

COSTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "operations.json"
#: The default of a parameter that has none.
REQUIRED = object()


def facts(name: str, example: Example) -> dict[str, str]:
    """Title to text of what the gallery says of an operation beside its pictures."""
    kind: Any = getattr(ops, name)
    shown = next(each for each in example.operations if type(each) is kind)
    geometric, photometric = issubclass(kind, ops.Geometric), issubclass(kind, ops.Photometric)
    if issubclass(kind, ops.Policy):
        what = "a policy: its geometry is part of the recipe's one resample, its photometry follows"
    elif geometric and photometric:
        what = "a choice: geometry if it holds some, and photometry if it holds some"
    elif geometric:
        what = "geometry: its matrix is part of the recipe's one resample"
    else:
        what = "photometry: it changes values"
    numbers = "no random numbers" if not shown.draws else f"{shown.draws} random numbers a sample"
    numbers = numbers.replace("1 random numbers", "1 random number")
    chosen = any(field.name == "probability" for field in dataclasses.fields(kind))
    out = {"Kind": what, "Draws": f"{numbers}, and one that decides whether it acts" if chosen else numbers}
    cost = costs().get(name)
    if cost is not None:
        out["Cost"] = cost
    return out


def costs() -> dict[str, str]:
    """Operation to its measured cost, in words; empty where nothing was measured."""
    if not COSTS.exists():
        return {}
    measured = json.loads(COSTS.read_text())["operations"]
    return {name: f"{each['ms']:+.2f} ms [{each['low']:+.2f}, {each['high']:+.2f}]" for name, each in measured.items()}


def parameters(kind: type) -> list[tuple[str, object, str]]:
    """(field, default, meaning) of every field, the meaning from the docstring's section "Args"."""
    meanings = arguments(inspect.getdoc(kind) or "")
    out = []
    for field in dataclasses.fields(kind):
        default = REQUIRED if field.default is dataclasses.MISSING else field.default
        out.append((field.name, default, meanings.get(field.name, "")))
    return out


def arguments(docstring: str) -> dict[str, str]:
    """Name to text of a docstring's section "Args"; names that share a line share the text."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", docstring, re.MULTILINE)
    out: dict[str, str] = {}
    names: list[str] = []
    for line in (section[1] if section else "").splitlines():
        head = re.fullmatch(r"    ([\w, ]+): (.*)", line)
        if head:
            names = [name.strip() for name in head[1].split(",")]
        for name in names if line.strip() else ():
            out[name] = head[2] if head else f"{out[name]} {line.strip()}"
    return out
