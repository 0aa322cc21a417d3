"""Links in a tar: names for another member's data, as `tar` writes hard and symbolic links.

In: the headers of a tar in order. Out: for a link, the data of the file to which it leads. GNU tar silently stores a
second name of a file as a hard link; trees of symbolic links are the usual form of a subset.
"""

import posixpath
import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

#: The number of links in a row that are followed, as in the kernel.
_MOST_LINKS = 40


class _Entry(NamedTuple):
    """The fields kept of a header."""

    name: str
    kind: bytes
    linkname: str
    offset: int
    size: int


class Target(NamedTuple):
    """The data to which a link leads; None: a directory."""

    data: tuple[int, int] | None


class Links:
    """The names of a tar so far, and those further on, which are read only when a link needs them.

    Args:
        further: Yields all headers behind those that were added.
    """

    def __init__(self, further: Callable[[], Iterator[tarfile.TarInfo]]) -> None:
        self._further_headers = further
        self._met: dict[str, _Entry] = {}
        self._further: dict[str, _Entry] | None = None

    def add(self, info: tarfile.TarInfo) -> None:
        """Note a header."""
        self._met[posixpath.normpath(info.name)] = _entry(info)

    def target(self, link: tarfile.TarInfo) -> Target | None:
        """The member to which a link leads; None if the tar does not hold it.

        A hard link leads to an earlier member; a symbolic one is a path from its own folder, and may lead anywhere.
        """
        entry = _entry(link)
        for _ in range(_MOST_LINKS):
            if entry.kind == tarfile.SYMTYPE and entry.linkname.startswith("/"):
                return None
            folder = posixpath.dirname(entry.name) if entry.kind == tarfile.SYMTYPE else ""
            path = posixpath.normpath(posixpath.join(folder, entry.linkname))
            found = self._find(path)
            if found is None:
                return Target(None) if self._is_folder(path) else None
            if found.kind in tarfile.REGULAR_TYPES:
                return Target((found.offset, found.size))
            if found.kind not in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                return Target(None) if found.kind == tarfile.DIRTYPE else None
            # A hard link to a symbolic link is that link under its own name, so its path begins in its own folder.
            entry = found if entry.kind == tarfile.SYMTYPE else found._replace(name=entry.name)
        return None

    def _find(self, path: str) -> _Entry | None:
        """The entry of a path, which may lead through links to folders."""
        for _ in range(_MOST_LINKS):
            entry = self._met.get(path) or self._behind().get(path)
            if entry is not None:
                return entry
            through = self._through_link(path)
            if through is None:
                return None
            path = through
        return None

    def _through_link(self, path: str) -> str | None:
        """The path with the first of its folders that is a symbolic link replaced by the link's target."""
        parts = path.split("/")
        for count in range(1, len(parts)):
            folder = "/".join(parts[:count])
            entry = self._met.get(folder) or self._behind().get(folder)
            if entry is not None and entry.kind == tarfile.SYMTYPE and not entry.linkname.startswith("/"):
                return posixpath.normpath(posixpath.join(posixpath.dirname(folder), entry.linkname, *parts[count:]))
        return None

    def _is_folder(self, path: str) -> bool:
        """Whether members lie below a path that has no header of its own."""
        inside = f"{path}/"
        return path == "." or any(name.startswith(inside) for names in (self._met, self._behind()) for name in names)

    def _behind(self) -> dict[str, _Entry]:
        if self._further is None:
            self._further = {posixpath.normpath(info.name): _entry(info) for info in self._further_headers()}
        return self._further


def _entry(info: tarfile.TarInfo) -> _Entry:
    return _Entry(info.name, info.type, info.linkname, info.offset_data, info.size)
