"""The list of bad samples of a run: JSON lines, a line for each sample, shared by all ranks of a host.

In: the facts about a bad sample. Out: a line at the end of a file. The list is for people and tools; a run never
depends on it, so a failure to write after the start is a warning, once.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any


class Quarantine:
    """A JSON-lines file to append to.

    Each line is a single write at the end of the file, so lines of several processes never mix (on a local file
    system).

    Args:
        path: The file; made if it does not exist. Its folder must exist.

    Raises:
        ValueError: If it cannot be opened to append to.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - found from any folder
        self._warned = False
        try:
            os.close(self._open())
        except OSError as error:
            raise ValueError(
                f"quarantine: must be a file that can be appended to, got {str(path)!r} ({error.strerror}). "
                "Make its folder, or name a file in one that you may write to."
            ) from error

    def add(self, line: dict[str, Any]) -> None:
        """Append one line; where that fails, warn the first time and go on."""
        data = json.dumps(line).encode() + b"\n"
        try:
            file = self._open()
            try:
                written = os.write(file, data)
            finally:
                os.close(file)
            trouble = None if written == len(data) else f"{written} of {len(data)} bytes were written"
        except OSError as error:
            trouble = str(error.strerror)
        if trouble is not None and not self._warned:
            self._warned = True
            warnings.warn(
                f"quarantine: must stay writable, got {str(self._path)!r} ({trouble}). Bad samples are replaced as "
                "before, but some are missing there. Free its disk, or name another file next time.",
                stacklevel=2,
            )

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
