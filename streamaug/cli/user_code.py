"""A function in a file of the user's, which a command calls: `FILE.py:FUNCTION`.

In: the argument. Out: the function's result. An exception of the user's code becomes an error that names its line.
"""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from streamaug.errors import StreamaugError
from streamaug.stages.base import Stage

_NAME = "__streamaug_user_code__"


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Send to stderr what the user's code prints: stdout is the result's, which may be JSON."""
    with redirect_stdout(sys.stderr):
        yield


def load_function(given: str) -> Callable[[], Any]:
    """The function that `FILE.py:FUNCTION` names; modules in the file's folder can be imported, as when Python runs it.

    Raises:
        ValueError: If the argument does not have this form.
        StreamaugError: If there is no such file or function, or the file cannot be run.
    """
    file, _, name = given.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise ValueError(
            f"FILE.py:FUNCTION: must name a file and a function in it, got {given!r}. Write train.py:chain."
        )
    path = Path(file).resolve()
    if not path.is_file():
        raise StreamaugError(f"{file}: must be a file, got none. Check the path.")
    sys.path.insert(0, str(path.parent))
    spec = spec_from_file_location(_NAME, path)
    if spec is None or spec.loader is None:
        raise StreamaugError(f"{file}: must be a Python file, got {path.suffix!r}. Name a .py file.")
    module = module_from_spec(spec)
    sys.modules[_NAME] = module  # dataclasses and pickle look a class's module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _failed(f"{file}: must run without an error", error) from error
    function: Any = getattr(module, name, None)
    if not callable(function):
        functions = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise StreamaugError(f"{file}: must have a function {name!r}, got {', '.join(functions) or 'none'}. Name one.")
    made: Callable[[], Any] = function
    return made


def call_for_chain(function: Callable[[], Any], given: str) -> Stage:
    """The chain that the function returns.

    Raises:
        StreamaugError: If it raises an exception, or returns no chain.
    """
    try:
        chain = function()
    except StreamaugError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(f"{given}: must return the chain that the training uses, without arguments", error) from error
    if not isinstance(chain, Stage):
        raise StreamaugError(
            f"{given}: must return a chain of streamaug stages, got {type(chain).__name__}. "
            "Return what the training loop iterates, before any DataLoader."
        )
    return chain


def _failed(must: str, error: BaseException) -> StreamaugError:
    reason = f"{type(error).__name__}: {error}".removesuffix(": ")
    return StreamaugError(f"{must}, got {reason}{line_of(error)}. Check the code.")


def line_of(error: BaseException) -> str:
    """The file and line where the user's code raised it; "" where only the import itself failed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if "importlib" not in frame.filename]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
