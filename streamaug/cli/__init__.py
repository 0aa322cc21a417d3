"""The command line: `streamaug COMMAND`; each command is a module of this package, imported when it is called.

In: arguments. Out: an exit status, 0 for success, 1 for findings and failures, 2 for wrong arguments. A mistake of the
user is one line on stderr, never a traceback.
"""

import argparse
import errno
import io
import os
import re
import select
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from streamaug.cli.messages import in_options, warnings_as_lines
from streamaug.errors import StreamaugError

__all__ = ["main"]

#: The exit status where the reader of the output has ended: that of SIGPIPE, 128 + 13.
_CLOSED_PIPE = 141
#: Errors of a write to stdout; one to a file has its name.
_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

#: Command to its line of help; the module of its name ("_" for "-") has `configure(parser)` and `run(arguments)`.
COMMANDS = {
    "make-shards": "make shards of an image folder, a list, a Hugging Face dataset or tars",
    "index": "write index files and the manifest beside shards",
    "check": "read shards through and report everything that is wrong with them",
    "cache": "show or clear a disk cache",
    "info": "say what shards hold: samples, classes, sizes, and a sheet of thumbnails",
    "order": "show which samples stand in a training step, and how well they are shuffled",
    "batch": "show the images that a training step was given",
    "bench": "measure what bounds loading here, how far it is from the limit, and what to change",
    "preview": "draw what a recipe does to images of yours",
    "completion": "print a script that completes these commands in your shell",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        The exit status.
    """
    if sys.stdout is None or sys.stderr is None:  # closed by the caller, as `>&-` does
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # a file name may hold bytes that are no text
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        status, text = _run(given), ""
    except StreamaugError as error:
        status, text = 1, str(error)
    except ValueError as error:
        status, text = 2, str(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return _closed()
        if error.filename is None:
            if error.errno not in _WRITING:
                raise
            return _lost(error)
        status, text = 1, f"{error.filename}: must be usable, got: {error.strerror}. Check the path and its rights."
    except KeyboardInterrupt:
        status, text = 130, "interrupted"
    if text:
        text = in_options(text, _options(given), leads=status == 2)
        print(f"streamaug {given[0]}: {text}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed()
    except OSError as error:
        return _lost(error)
    return status


def make_parser(names: Collection[str]) -> argparse.ArgumentParser:
    """The parser of the program, with the arguments of the given commands, and only the names of the others."""
    parser = argparse.ArgumentParser(
        prog="streamaug",
        description="Tools for WebDataset shards.",
        epilog="`streamaug COMMAND --help` shows a command's arguments, with examples.",
    )
    parser.add_argument("--version", action=_Version, help="print the version")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, line in COMMANDS.items():
        description = f"{line[0].upper()}{line[1:]}."
        raw = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, help=line, description=description, formatter_class=raw)
        if name in names:
            module = _module(name)
            module.configure(command)
            command.set_defaults(run=module.run)
    return parser


class _Version(argparse.Action):
    """Prints the installed version, which is looked up only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help, default=argparse.SUPPRESS)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # imports a mail parser

        print(f"streamaug {version('streamaug')}")
        parser.exit()


def _run(given: Sequence[str]) -> int:
    """Parse the arguments and run their command."""
    try:
        arguments = make_parser(given[:1]).parse_args(given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    with warnings_as_lines(given[0], _options(given)):
        return int(arguments.run(arguments))


def _options(given: Sequence[str]) -> frozenset[str]:
    """The options of a command that its messages may name: not for what a function of the user's sets."""
    if any(each.startswith("--chain") for each in given):
        return frozenset()
    if given[0] == "batch":
        return frozenset(("--epoch", "--step"))
    parser = argparse.ArgumentParser()
    _module(given[0]).configure(parser)
    return frozenset(re.findall(r"--[a-z-]+", parser.format_usage()))


def _module(command: str) -> ModuleType:
    return import_module(f"streamaug.cli.{command.replace('-', '_')}")


def _nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader has ended, as `head` does."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _closed() -> int:
    """The exit status where the reader has ended."""
    _drop_output()
    return _CLOSED_PIPE


def _lost(error: OSError) -> int:
    """The exit status where the output could not be written."""
    print(
        f"streamaug: stdout: must be writable, got: {error.strerror}. Write the output to another place.",
        file=sys.stderr,
    )
    _drop_output()
    return 1


def _drop_output() -> None:
    """Send stdout to /dev/null, since Python flushes once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
