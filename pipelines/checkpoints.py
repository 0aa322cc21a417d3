"""The last checkpoints of a run; a crash at any moment leaves a readable checkpoint.

`Checkpoints(path, keep=3)` writes `run.pt` and keeps the two before it as `run.1.pt` and `run.2.pt`. A checkpoint is
written under another name, brought to the disk and then renamed. Loading verifies a digest of the whole file; where a
file is torn, it warns and goes on with the checkpoint before.
"""

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import torch

#: Bytes that are read at once.
CHUNK = 1 << 20
#: Bytes of the end record's last field, the length of the comment, and of the comment: SHA-256 in hexadecimal digits.
LENGTH, DIGITS = 2, 64


def write_sealed(state: dict[str, Any], path: Path) -> None:
    """Write a file for `torch.load` and bring it to the disk; a digest of all of it is the ZIP archive's comment."""
    with path.open("w+b") as file:
        torch.save(state, file)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(-LENGTH, os.SEEK_END)
        file.write(DIGITS.to_bytes(LENGTH, "little") + digest.encode())
        file.flush()
        os.fsync(file.fileno())


def is_whole(path: Path) -> bool:
    """Whether a file holds the bytes that `write_sealed` wrote."""
    sealed = path.stat().st_size - LENGTH - DIGITS
    if sealed < 0:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start in range(0, sealed, CHUNK):
            digest.update(file.read(min(CHUNK, sealed - start)))
        digest.update(bytes(LENGTH))
        return file.read() == DIGITS.to_bytes(LENGTH, "little") + digest.hexdigest().encode()


class Checkpoints:
    """The newest checkpoint under the given name, and earlier checkpoints with a number in theirs.

    Args:
        path: The path of the newest checkpoint.
        keep: The most checkpoints to keep, at least 1.

    Attributes:
        torn: Checkpoints that `load` could not read.
    """

    def __init__(self, path: Path, keep: int = 1) -> None:
        if keep < 1:
            raise ValueError(f"--keep: must be at least 1, got {keep}. Write 1.")
        self.path = path
        self.torn: list[Path] = []
        self._names = [path, *(path.with_name(f"{path.stem}.{number}{path.suffix}") for number in range(1, keep))]

    def existing(self) -> list[Path]:
        """The existing checkpoints, the newest first; also beyond `keep`, where an earlier run kept more."""
        if not self.path.parent.is_dir():
            return []
        pattern = re.compile(re.escape(self.path.stem) + r"(?:\.(\d+))?" + re.escape(self.path.suffix))
        found = {path: pattern.fullmatch(path.name) for path in self.path.parent.iterdir()}
        numbers = {path: int(match.group(1) or 0) for path, match in found.items() if match}
        return sorted(numbers, key=numbers.__getitem__)

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint under the newest name; renames the earlier ones, and deletes the oldest.

        A crash between the two last renames leaves no file under the newest name; `load` takes the checkpoint before.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        write_sealed(state, temporary)
        free = next((number for number, name in enumerate(self._names) if not name.exists()), len(self._names) - 1)
        for number in range(free, 0, -1):
            self._names[number - 1].replace(self._names[number])
        temporary.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # brings the renames to the disk too
        finally:
            os.close(folder)

    def load(self) -> tuple[dict[str, Any], Path] | None:
        """The newest whole checkpoint, on the CPU, and its path; None if none exists. Changes no file.

        Raises:
            ValueError: If checkpoints exist, and all of them are torn.
        """
        for path in self.existing():
            if is_whole(path):
                return torch.load(path, map_location="cpu", weights_only=True), path
            self.torn.append(path)
            print(f"warning: the checkpoint {path} is torn or of version 1; trying the one before it", file=sys.stderr)
        if self.torn:
            names = ", ".join(map(str, self.torn))
            raise ValueError(
                f"--checkpoint: one must be whole and of version 2, got {names}. Move them away to begin anew."
            )
        return None

    def set_torn_aside(self) -> None:
        """Rename torn checkpoints to `*.torn`: else the next saves would keep them and drop whole ones."""
        while self.torn:
            path = self.torn.pop()
            path.replace(path.with_name(f"{path.name}.torn"))
