"""Files that a command writes beside its text: a page, a picture, tensors.

In: the option that named the file, and its path. Out: an error that names both, before the work where the file could
not be written in any case, and at the write where the disk is full, say.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamaug.errors import StreamaugError


def check_output(option: str, path: Path) -> None:
    """Refuse a path that no file can be written to.

    Raises:
        ValueError: If its folder does not exist, or the path is a folder.
    """
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{option}: must lie in a folder that exists, got {str(path)!r}. Make the folder first.")
    if path.is_dir():
        raise ValueError(f"{option}: must be a file, got the folder {str(path)!r}. Name a file in it.")


@contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """Let an error of a write to the path name the option and the path.

    Raises:
        StreamaugError: If the body raises an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StreamaugError(
            f"{option}: must be writable, got {str(path)!r}: {error.strerror or error}. "
            "Check the folder's rights and space, or name another file."
        ) from error
