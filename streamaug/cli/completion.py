"""`streamaug completion SHELL`: a script for a shell, by shtab, that completes commands, options and paths.

The script is written once and holds all completions, so that a Tab starts no program. The completions come from the
commands' own parsers.
"""

import argparse
import sys
from collections.abc import Iterator

import shtab

from streamaug.cli.usage import epilog

_EXAMPLES = [
    "streamaug completion bash > ~/.local/share/bash-completion/completions/streamaug",
    "streamaug completion zsh > ~/.zfunc/_streamaug  # with fpath+=~/.zfunc before compinit in ~/.zshrc",
    "streamaug completion fish > ~/.config/fish/completions/streamaug.fish",
]
#: The names of paths in the help, in whole or in part.
_FILES, _FOLDERS = ("SHARDS", "SOURCE", "FILE", "OUTPUT"), ("FOLDER",)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = epilog(_EXAMPLES)
    parser.add_argument(
        "shell", metavar="SHELL", choices=shtab.SUPPORTED_SHELLS, help=", ".join(shtab.SUPPORTED_SHELLS)
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from streamaug.cli import COMMANDS, make_parser

    parser = make_parser(COMMANDS)
    for action in _actions(parser):
        name = str(action.metavar or action.dest).upper()
        if action.choices is None and name.startswith(_FOLDERS):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # where shtab looks for it
        elif action.choices is None and (name.startswith(_FILES) or action.dest in ("output", "sheet")):
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # likewise
    sys.stdout.write(shtab.complete(parser, shell=arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments of a parser and of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
