"""Patterns of object stores: which objects a URL with `*`, `?`, `[…]` or `**` names.

In: the location of a pattern. Out: the URLs that match, sorted, by the rules that `glob` has for local paths: `*` ends
at a slash, `**` is any number of folders, and a name that begins with a dot is matched by a dot alone. Only the folders
that a pattern can match are listed, by each process for itself: nothing here is collective.
"""

import glob
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from streamaug.errors import StorageError
from streamaug.storage.location import Location
from streamaug.storage.remote.failures import ForbiddenError
from streamaug.storage.storage import Storage

_ANY_DEPTH = "**"
_WITHOUT_LISTING = "Name the shards with braces, as in {000..146}, or by their manifest."


def objects_of(storage: Storage, pattern: Location) -> list[str]:
    """The URLs of the objects that match; an object of just that name comes first, as among local files.

    Raises:
        StorageError: If nothing matches, the store cannot be listed, or it does not answer.
    """
    can_list = storage.can_list(pattern)
    # "a[1].tar" does not match itself; "*" and "?" do, so that a list shows an object of just that name.
    if ("[" in pattern.path or not can_list) and storage.read_head(pattern, 1) is not None:
        return [pattern.url]
    if not can_list:
        raise StorageError(
            f"{pattern.shown}: a pattern needs a store that can be listed, got {pattern.scheme}://, and no file of "
            f"just that name. {_WITHOUT_LISTING}"
        )
    head = pattern.url.removesuffix(pattern.path)
    listed = f"{Location.parse(head).shown}{_fixed(pattern.path)}"
    try:
        keys = sorted(_found(storage, pattern, "", pattern.path.split("/")))
    except StorageError as error:
        if not isinstance(error.__cause__, ForbiddenError):
            raise
        raise StorageError(f"{error} A pattern needs the right to list {listed}. {_WITHOUT_LISTING}") from (
            error.__cause__
        )
    if not keys:
        raise StorageError(f"{pattern.shown}: a pattern must match an object, got no match in {listed}. Check the URL.")
    return [pattern.url] if pattern.path in keys else [f"{head}{key}" for key in keys]


def _fixed(path: str) -> str:
    """The folders of a pattern before the first that is not named in full, with a slash at the end if there are any."""
    parts = path.split("/")
    count = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return "".join(f"{part}/" for part in parts[:count])


def _found(storage: Storage, pattern: Location, folder: str, parts: Sequence[str]) -> Iterator[str]:
    """The keys in a folder ("", or with a slash at its end) whose rest matches these parts of the pattern."""
    while len(parts) > 1 and not glob.has_magic(parts[0]):
        folder, parts = f"{folder}{parts[0]}/", parts[1:]
    if parts[0] == _ANY_DEPTH:
        for key in storage.list_below(pattern, folder):
            if _matches(key.removeprefix(folder).split("/"), parts):
                yield key
        return
    objects, folders = storage.list_folder(pattern, folder)
    if len(parts) == 1:
        yield from (key for key in objects if _fits(key.removeprefix(folder), parts[0]))
        return
    for inner in folders:
        if _fits(inner.removeprefix(folder), parts[0]):
            yield from _found(storage, pattern, f"{inner}/", parts[1:])


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the names of folders and object fit a pattern's parts, `**` among them."""
    if not parts or not names:
        return not parts and not names
    if parts[0] != _ANY_DEPTH:
        return _fits(names[0], parts[0]) and _matches(names[1:], parts[1:])
    enters = not names[0].startswith(".") and (_matches(names[1:], parts) or len(names) == len(parts) == 1)
    return enters or _matches(names, parts[1:])


def _fits(name: str, part: str) -> bool:
    """Whether a name without slash fits one part of a pattern."""
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))
