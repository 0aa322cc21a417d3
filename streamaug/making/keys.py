"""Keys: file names in the form of webdataset's keys, all different.

In: names from a source, with slashes between folders, without the image's suffix. Out: for each name a key that every
reader of webdataset's format groups correctly; keys depend on the names and their order alone.
"""

import re
from collections.abc import Iterable

#: A dot begins the suffix; our index writes blanks as Unicode's pictures of control characters.
_UNFIT = re.compile("[\\s\u2400-\u2420]")


def unique_keys(names: Iterable[str]) -> tuple[list[str], int]:
    """A valid key for each name, and the count of keys that were numbered ("a", "a~2"), since another has the key."""
    keys: list[str] = []
    taken: set[str] = set()
    following: dict[str, int] = {}
    renamed = 0
    for name in names:
        key = base = valid_key(name)
        while key in taken:
            number = following[base] = following.get(base, 1) + 1
            key = f"{base}~{number}"
        renamed += key != base
        taken.add(key)
        keys.append(key)
    return keys, renamed


def valid_key(name: str) -> str:
    """The nearest valid key: characters that a key cannot hold become underscores; folders "." and ".." are dropped.

    >>> valid_key("../cats/my photo.v2")
    'cats/my_photo_v2'
    """
    if not name.isprintable() or not name.isascii() or " " in name:
        name = "".join(letter if letter.isprintable() else "_" for letter in _UNFIT.sub("_", name))
    parts = [part for part in name.split("/")[:-1] if part not in ("", ".", "..")]
    parts.append(name.rpartition("/")[2].replace(".", "_") or "_")
    if parts[0].startswith("__"):  # webdataset passes over members whose name begins with __…__
        parts[0] = "_" + parts[0].lstrip("_")
    return "/".join(parts)
