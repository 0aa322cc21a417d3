"""The pages, and how the blocks of one are run: Python and commands in their order, and what they print compared."""

import contextlib
import io
import re
import shlex
from itertools import takewhile
from pathlib import Path

from streamaug.cli import main

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


#: What ends a command in a line of a shell: what follows is a file or another program.
_END = ("|", ">", "2>")


def blocks(page, *kinds):
    """(kind, text) of a page's blocks of code, in order; of these kinds, if any are given."""
    return [(kind, text) for kind, text in _BLOCK.findall(page.read_text()) if not kinds or kind in kinds]


def commands(page):
    """The command lines of `streamaug` in a page's shell blocks, each as its words; variables are 1."""
    lines = [line for _, text in blocks(page, "sh", "bash") for line in text.replace("\\\n", " ").splitlines()]
    split = [shlex.split(re.sub(r"\$\w+", "1", line), comments=True) for line in lines]
    return [list(takewhile(lambda word: word not in _END, words[1:])) for words in split if words[:1] == ["streamaug"]]


def run(page):
    """Run all Python and all commands of a page in the present folder; each text block is what was printed since."""
    names, printed = {"__name__": page.stem}, io.StringIO()
    for kind, text in blocks(page, "python", "sh", "text"):
        if kind == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(text, page.name, "exec"), names)
        elif kind == "sh":
            run_commands(text)
        else:
            assert printed.getvalue() == text, f"{page.name} prints:\n{printed.getvalue()}"
            printed = io.StringIO()
    assert printed.getvalue() == ""


def run_commands(text):
    """Run the lines of a shell block: those of `streamaug` in this process; those of pip are what brought us here."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["pip", "install"] or not words:
            continue
        assert words[0] == "streamaug", line
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(words[1:]) == 0, line
