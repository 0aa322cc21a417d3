"""The versions of files and objects: the facts that identify a version, and the versions that were read first.

In: identities from the file system or a server. Out: an error where the version has changed, so that bytes of two
versions are never mixed.
"""

from typing import Literal, NamedTuple

from streamaug.errors import StorageError
from streamaug.storage.location import Location


class Identity(NamedTuple):
    """The facts that identify a version.

    Attributes:
        size: Bytes.
        etag: The server's name for it, "" where it sends none and for files.
        modified: Time of the last change in ns since 1970, 0 where a server sends none.
    """

    size: int
    etag: str
    modified: int

    @property
    def tag(self) -> str:
        """The etag, or the time where the server sends no etag; "" where it sends neither."""
        return self.etag or (str(self.modified) if self.modified else "")

    def differs(self, other: "Identity") -> bool:
        """Whether the two are certainly different versions: sizes differ, or etags (times where an etag is missing)."""
        if self.etag and other.etag:
            return (self.size, self.etag) != (other.size, other.etag)
        return (self.size, self.modified) != (other.size, other.modified)

    def difference(self, first: "Identity") -> str:
        """The difference to the version that was read first, in words."""
        if self.size != first.size:
            return f"another size ({self.size} bytes, {first.size} before)"
        if self.etag and first.etag:
            return f"another etag ({self.etag}, {first.etag} before)"
        return f"another time of change ({self.modified / 1e9:.3f} s since 1970, {first.modified / 1e9:.3f} s before)"


class Versions:
    """The versions of files and objects that were read first; used by any number of threads.

    Args:
        check: "version": size and etag (or time without an etag) must stay the same. "size": the size must, for mirrors
            that send different etags and times; local files must keep size and time in any case.
    """

    def __init__(self, check: Literal["version", "size"]) -> None:
        self._check = check
        self._seen: dict[str, Identity] = {}

    def get(self, location: Location) -> Identity | None:
        """The version that was read first, if any."""
        return self._seen.get(location.url)

    def check(self, location: Location, identity: Identity) -> None:
        """Note a version; an error if another was read before.

        Raises:
            StorageError: If the object changed.
        """
        first = self._seen.setdefault(location.url, identity)
        same_size = first.size == identity.size
        by_size = self._check == "size" and not location.is_local
        if same_size if by_size else not first.differs(identity):
            return
        fix = "Open the shards anew once writing has ended."
        if same_size and not location.is_local:
            fix += ' Where mirrors that hold the same answer in turn, pass StorageOptions(check="size").'
        raise StorageError(
            f"{location.shown}: must not change while it is read, got {identity.difference(first)}. {fix}"
        )

    def forget(self, location: Location) -> None:
        """Take the next version for the first, since the object was written."""
        self._seen.pop(location.url, None)
