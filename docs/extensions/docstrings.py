"""Docstrings, which are written as plain text with backticks, in the form that Sphinx reads.

In: the lines of a docstring. Out: the same lines, with `name` as a literal and indented examples as literal blocks.
Sections such as "Args:" are left to sphinx.ext.napoleon, which comes next.
"""

import inspect
import re
from typing import Any

from sphinx.util.inspect import stringify_signature

#: A name in single backticks; two of them make a literal already.
_BACKTICKS = re.compile(r"(?<!`)`([^`]+)`(?!`)")
#: What napoleon takes for the title of a section.
_SECTION = re.compile(r"\s*(Args|Attributes|Example|Examples|Note|Raises|Returns|Source|Sources|Warns|Yields):\s*")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", _process, priority=100)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True}


def _signature(
    _app: Any, what: str, _name: str, kind: Any, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """A class whose making is wrapped, as torch's and ours of stages is, has the signature of its `__init__`."""
    if what != "class" or signature != "(*arguments, **options)":
        return signature, returns
    made = inspect.signature(kind.__init__)
    made = made.replace(parameters=list(made.parameters.values())[1:])
    return stringify_signature(made, show_annotation=False), returns


def _process(_app: Any, what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    if what in ("attribute", "data", "property") and lines:
        lines[0] = lines[0].replace(": ", " – ", 1)  # napoleon would take what stands before it for a type
    lines[:] = blocks("\n".join(map(literals, paragraphs(lines))).split("\n"))


def paragraphs(lines: list[str]) -> list[str]:
    """The lines, with a literal that is broken across two of them put on the first."""
    joined: list[str] = []
    for line in lines:
        if joined and joined[-1].count("`") % 2 and line.strip():
            head, mark, rest = line.strip().partition("`")
            indent = line[: len(line) - len(line.lstrip())]
            joined[-1] += f" {head}{mark}"
            if rest.strip():
                joined.append(indent + rest.lstrip())
        else:
            joined.append(line)
    return joined


def literals(line: str) -> str:
    """The line with `name` as ``name``, and without the marks that Sphinx would take for its own."""
    parts = _BACKTICKS.split(line)
    out = []
    for number, part in enumerate(parts):
        if number % 2:
            # A literal must not touch a letter: "`Stage`s" gets an escaped blank between the two.
            out.append(f"``{part}``" + ("\\ " if re.match(r"\w", parts[number + 1]) else ""))
        else:
            out.append(re.sub(r"(?<=\w)_(?=\W|$)|\*(?=\w)|\|(?=\w)", r"\\\g<0>", part))
    return "".join(out)


def blocks(lines: list[str]) -> list[str]:
    """The lines, with a mark before each paragraph that is indented outside a section."""
    out: list[str] = []
    inside_section = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if line.strip() and not indented:
            inside_section = bool(_SECTION.fullmatch(line))
        begins = indented and (number == 0 or not lines[number - 1].strip())
        if begins and not inside_section and not _within_block(out):
            out += ["::", ""]
        out.append(line)
    return out


def _within_block(out: list[str]) -> bool:
    """Whether the last line that is not blank is indented, so that the block goes on."""
    last = next((line for line in reversed(out) if line.strip()), "")
    return last.startswith("    ")
