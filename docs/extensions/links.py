"""Backticks that name a page or a public name of the package become links, so that pages need no markup of their own.

In: the literals of a page. Out: a link with the page's title for `docs/storage.md`, and the same text as a link where
`ShardSet.open` stands in the reference. Literals inside headings and links stay as they are.
"""

import posixpath
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import desc_signature
from sphinx.transforms.post_transforms import SphinxPostTransform

_PAGE = re.compile(r"(?:docs/)?([\w/-]+)\.md")
_ROOT = {"CHANGELOG": "changelog", "CONTRIBUTING": "contributing"}
_KEPT = (nodes.title, nodes.reference, desc_signature)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_post_transform(BacktickLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class BacktickLinks(SphinxPostTransform):
    """Replaces literals by links to what they name."""

    default_priority = 300

    def run(self, **kwargs: Any) -> None:
        """Go through the literals of a page."""
        del kwargs
        here = self.env.docname
        for literal in list(self.document.findall(nodes.literal)):
            if _inside(literal):
                continue
            target = self._page(literal.astext()) or self._object(literal.astext())
            if target is not None and target[0] != here:
                page, anchor = target
                uri = self.app.builder.get_relative_uri(here, page) + anchor
                link = nodes.reference("", "", internal=True, refuri=uri)
                literal.replace_self(link)
                link += literal if anchor else nodes.Text(self._title(page))

    def _page(self, text: str) -> tuple[str, str] | None:
        """(page, anchor) of the name of a Markdown file."""
        match = _PAGE.fullmatch(text)
        if match is None:
            return None
        name = posixpath.normpath(_ROOT.get(match[1], match[1]))
        return (name, "") if name in self.env.all_docs else None

    def _title(self, page: str) -> str:
        """A page's title, up to its colon."""
        title: str = self.env.titles[page].astext()
        return title.partition(":")[0]

    def _object(self, text: str) -> tuple[str, str] | None:
        """(page, anchor) of a name of the reference; `ops.Rotate`, `Rotate` and `Rotate(degrees=10)` are one name."""
        name = text.partition("(")[0].strip().removeprefix("streamaug.")
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            return None
        objects = self.env.get_domain("py").objects
        places = ["", "ops.", "errors.", "order.", "recipes.", "tta.", "mix.", "testing."]
        if name[0].islower() and "." not in name:
            return None  # a plain word is a parameter or a field far more often than a function
        for place in places:
            entry = objects.get(f"streamaug.{place}{name}")
            if entry is not None:
                return entry.docname, f"#{entry.node_id}"
        return None


def _inside(node: nodes.Node) -> bool:
    parent = node.parent
    while parent is not None:
        if isinstance(parent, _KEPT):
            return True
        parent = parent.parent
    return False
