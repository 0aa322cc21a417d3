"""Messages as lines of a command: warnings without Python's frame, options by the names typed, counts in words.

In: a warning, or an error's text. Out: one line for stderr, in the terms of the command line.
"""

import re
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_PACKAGE = Path(__file__).parents[1]
#: Parameters of the Python API that commands have as options.
_QUALIFIED = re.compile(r"\b(?:StorageOptions|ShardReader|Annotations|MixupOrCutMix|augment|seek)\.(\w+)\b")
_LEADING = re.compile(r"\A([a-z_]+)(?=: )")
#: An option, words about its parameter, and the words for a command that has it.
_PHRASES = (
    ("--anonymous", "StorageOptions(anonymous=True)", "--anonymous"),
    ("--endpoint", "the region, StorageOptions and", "--region, --endpoint and"),
    ("--components", "in ShardSet.open", "with --components"),
    ("--components", ', or read with on_bad_sample="substitute"', ""),
    ("--num-classes", "Set num_classes to", "Set --num-classes to"),
    (
        "--num-classes",
        ", mend the label, or give ShardReader num_classes too, which then replaces such samples if asked to",
        ", or mend the label",
    ),
    ("--num-classes", "Write num_classes=", "Write --num-classes "),
    ("--lanes", "fits is lanes=", "fits is --lanes "),
    ("--lanes", "None takes", "Left out, it is"),
    ("--no-shuffle", "where shuffle is False", "with --no-shuffle"),
    ("--max-side", "needs max_side", "needs --max-side"),
    ("--ray", "left out with ray", "left out with --ray"),
)


def in_options(text: str, options: Collection[str], *, leads: bool = False) -> str:
    """A message with parameters as the command line spells them: --cache-dir for StorageOptions.cache_dir.

    Args:
        text: The message.
        options: The command's options, with their dashes.
        leads: Whether the message begins with a parameter's name, and not with that of a file.
    """

    def spelled(match: re.Match[str]) -> str:
        option = f"--{match[1].replace('_', '-')}"
        return option if option in options else match[0]

    if leads:
        text = _LEADING.sub(spelled, text)
    text = _QUALIFIED.sub(spelled, text)
    for option, words, others in _PHRASES:
        text = text.replace(words, others) if option in options else text
    return text


def quantity(number: int, noun: str) -> str:
    """A number with its noun: "1 shard", "1,281 shards"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@contextmanager
def warnings_as_lines(command: str, options: Collection[str]) -> Iterator[None]:
    """Show each warning once, as a line of the command; one of a user's code with its file and line.

    Args:
        command: The command's name.
        options: The command's options, as for `in_options`.
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
        text = in_options(str(message), options)
        if not Path(filename).is_relative_to(_PACKAGE):
            text = f"{category.__name__}: {text} ({filename}, line {lineno})"
        if text not in shown:
            shown.add(text)
            print(f"streamaug {command}: warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
