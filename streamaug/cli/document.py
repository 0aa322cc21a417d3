"""The frame of the pages that commands write: one self-contained HTML document, for windows of any width."""

import html


def document(title: str, facts: str, body: str, style: str) -> str:
    """A page as HTML text.

    Args:
        title: Its title and heading, as plain text.
        facts: The line below it, likewise.
        body: HTML.
        style: CSS.
    """
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{style}</style>\n<h1>{html.escape(title)}</h1>\n"
        f'<p class="facts">{html.escape(facts)}</p>\n{body}</html>\n'
    )
