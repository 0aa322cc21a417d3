"""Messages as lines of a command: warnings without Python's frame, options by the names typed, counts in words.

In: a warning, or an error's text. Out: one line for stderr, in the terms of the command line.
"""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_PACKAGE = Path(__file__).parents[1]
#: Fields of StorageOptions that commands have as options, see `cli/source.py`.
_FIELD = re.compile(r"StorageOptions\.(endpoint|region|anonymous|concurrency|deadline|cache_dir)\b")
_ANONYMOUS = "StorageOptions(anonymous=True)"


def in_options(text: str) -> str:
    """A message with the storage options as the command line spells them: --cache-dir for StorageOptions.cache_dir."""
    return _FIELD.sub(lambda match: f"--{match[1].replace('_', '-')}", text).replace(_ANONYMOUS, "--anonymous")


def quantity(number: int, noun: str) -> str:
    """A number with its noun: "1 shard", "1,281 shards"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@contextmanager
def warnings_as_lines(command: str, *, options: bool) -> Iterator[None]:
    """Show each warning once, as a line of the command; one of a user's code with its file and line.

    Args:
        command: The command's name.
        options: Whether the command has the storage options.
    """
    shown: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001 - Python's own signature
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        text = in_options(str(message)) if options else str(message)
        if not Path(filename).is_relative_to(_PACKAGE):
            text = f"{category.__name__}: {text} ({filename}, line {lineno})"
        if text not in shown:
            shown.add(text)
            print(f"streamaug {command}: warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
