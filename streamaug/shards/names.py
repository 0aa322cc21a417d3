"""The sample and the suffix in a member's name, exactly as webdataset 1.0 splits names.

In: names of a tar. Out: key and suffix, or the kind of a name that belongs to no sample.
"""

import re
from collections import Counter

#: webdataset.tariterators.base_plus_ext; importing webdataset imports torch, which takes seconds.
_KEY_AND_SUFFIX = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
_METADATA = re.compile(r"__[^/]*__($|/)")  # webdataset.tariterators.tar_file_iterator's skip_meta
_MACOS = re.compile(r"(.*/)?(\._[^/]*|\.DS_Store)|(.*/)?__MACOSX/.*", re.DOTALL)


class PassedOver:
    """Members of a shard, or of many, that are part of no sample; counted by kind, with an example of each.

    Attributes:
        counts: Kind to number, in the order in which the kinds first came.
    """

    #: Kinds that every tar of a folder tree has, and that belong to no sample.
    USUAL = frozenset({"directory", "metadata"})

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, kind: str, name: str) -> None:
        """Count a member."""
        self.counts[kind] += 1
        self._examples.setdefault(kind, name)

    def merge(self, other: "PassedOver") -> None:
        """Add the counts of another shard."""
        self.counts += other.counts
        self._examples = other._examples | self._examples

    def described(self, *, usual: bool) -> str:
        """Kinds, numbers and examples in one line; "" where no kind was counted.

        Args:
            usual: Whether to name the kinds of `USUAL` too.
        """
        kinds = ((kind, count) for kind, count in self.counts.items() if usual or kind not in self.USUAL)
        return ", ".join(f"{count} × {kind} (such as {self._examples[kind]!r})" for kind, count in kinds)


def macos(name: str) -> bool:
    """Whether the name is of a file that macOS puts beside each real one: `._x` (AppleDouble), `.DS_Store`."""
    return _MACOS.fullmatch(name) is not None


def key_and_suffix(name: str) -> tuple[str, str] | None:
    """The key (directory, and the name up to its first dot) and the suffix in small letters; None if it has none."""
    match = _KEY_AND_SUFFIX.match(name)
    return None if match is None else (match[1], match[2].lower())


def metadata(name: str) -> bool:
    """Whether webdataset takes the name for metadata of the shard: it begins with `__x__`."""
    return _METADATA.match(name) is not None or ("/" not in name and name.startswith("__") and name.endswith("__"))


def kind_without_sample(name: str) -> str | None:
    """The reason why a name is part of no sample, as a kind to count; None if it is part of a sample."""
    if macos(name):
        return "macOS metadata"
    if metadata(name):
        return "metadata"
    return "name without a suffix" if key_and_suffix(name) is None else None
