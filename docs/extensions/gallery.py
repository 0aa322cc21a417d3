"""The directive `{operation}`: an operation's code, pictures, parameters, random numbers and cost.

In: the name of an operation, and below it the operations of a recipe that shows it, as Python. Out: the code, a strip
of pictures that this code makes of `docs/images/cat.jpg`, and what `operation_facts` says.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from operation_facts import REQUIRED, facts, parameters
from operation_pictures import Example, strip
from sphinx.util.docutils import SphinxDirective

from streamaug import ops

GENERATED = Path(__file__).resolve().parents[1] / "generated"


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("operation", OperationDirective)
    return {"parallel_read_safe": True}


class OperationDirective(SphinxDirective):
    """One operation of the gallery."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The nodes of the operation."""
        name, code = self.arguments[0], "\n".join(self.content)
        example = Example.of(code)
        GENERATED.mkdir(exist_ok=True)
        strip(example).save(GENERATED / f"{name}.webp", quality=80, method=6)
        listing = nodes.literal_block(code, code, language="python")
        picture = nodes.image(uri=f"generated/{name}.webp", alt=f"The image, then {name} of it", classes=["strip"])
        return [listing, picture, _facts(name, example), _table(name)]


def _facts(name: str, example: Example) -> nodes.Node:
    """What it is, what it draws, what it costs."""
    listing = nodes.field_list(classes=["facts"])
    for title, text in facts(name, example).items():
        body = nodes.field_body("", nodes.paragraph("", "", *_inline(text)))
        listing += nodes.field("", nodes.field_name("", title), body)
    return listing


def _table(name: str) -> nodes.Node:
    """Parameters, what they are if not given, and what they mean."""
    rows = parameters(getattr(ops, name))
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (20, 20, 60)), cols=3)
    head = nodes.row("", *(_cell([nodes.Text(text)]) for text in ("parameter", "default", "meaning")))
    body = [
        nodes.row("", _cell([nodes.literal("", field)]), _cell(_default(default)), _cell(_inline(meaning)))
        for field, default, meaning in rows
    ]
    group += [nodes.thead("", head), nodes.tbody("", *body)]
    return nodes.table("", group, classes=["parameters"])


def _default(default: object) -> list[nodes.Node]:
    return [nodes.emphasis("", "required")] if default is REQUIRED else [nodes.literal("", repr(default))]


def _inline(text: str) -> list[nodes.Node]:
    """Text with literals for what stands in backticks."""
    parts = text.split("`")
    return [nodes.literal("", part) if number % 2 else nodes.Text(part) for number, part in enumerate(parts)]


def _cell(children: list[nodes.Node]) -> nodes.Node:
    return nodes.entry("", nodes.paragraph("", "", *children))
