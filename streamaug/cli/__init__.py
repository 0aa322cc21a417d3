"""The command line: `streamaug COMMAND`, one module of this package each, imported only when it is asked for.

In: arguments. Out: an exit status, 0 for success, 1 for what a command found or could not do, 2 for wrong arguments.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from streamaug.errors import StreamaugError

__all__ = ["main"]

#: Command to its line of help; the module of the same name has `configure(parser)` and `run(arguments)`.
COMMANDS = {
    "index": "write index files and the manifest beside shards",
    "check": "read shards through and report everything that is wrong with them",
    "cache": "show or clear a disk cache",
    "preview": "draw what a recipe does to images of yours",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="streamaug", description="Tools for WebDataset shards.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        if name in given[:1]:
            module = import_module(f"streamaug.cli.{name}")
            module.configure(command)
            command.set_defaults(run=module.run)
    try:
        arguments = parser.parse_args(given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    try:
        return int(arguments.run(arguments))
    except StreamaugError as error:
        status, text = 1, str(error)
    except ValueError as error:
        status, text = 2, str(error)
    except KeyboardInterrupt:
        status, text = 130, "interrupted"
    print(f"streamaug {arguments.command}: {text}", file=sys.stderr)
    return status
