"""The shards that a source names: paths, URLs, patterns, folders, manifests.

In: the user's source. Out: the shards in order, each with its record in a manifest. Relative paths become absolute
here, so that a program may change its folder later.
"""

import glob
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streamaug.errors import ShardError, StorageError
from streamaug.shards import manifest
from streamaug.shards.splits import chosen, splits_of
from streamaug.storage.location import Location
from streamaug.storage.parallel import in_parallel
from streamaug.storage.patterns import objects_of
from streamaug.storage.storage import Storage


class Listed(NamedTuple):
    """A shard that a source names.

    Attributes:
        url: Where it lies.
        entry: Its record in a manifest, None where no manifest has a record.
        manifest: That manifest, beside which its index may lie.
    """

    url: str
    entry: manifest.Entry | None = None
    manifest: Location | None = None


class _Group(NamedTuple):
    """Shards that are named together, by the manifest, folder or pattern `by`, or one by one."""

    shards: list[Listed]
    by: str | None


def list_shards(
    storage: Storage,
    names: Sequence[str],
    *,
    split: str | None = None,
    every_split: bool = False,
    manifests: bool = True,
) -> list[Listed]:
    """The shards of names, in order.

    Args:
        storage: Reads manifests.
        names: Paths and URLs, also with `*`, `?` and `[…]`; folders and manifests.
        split: The split to take of shards that are named together.
        every_split: Whether to take all splits.
        manifests: Whether to read manifests; if not, folders are listed and shards have no records.

    Raises:
        ValueError: If several splits are named together, and none is chosen.
        StorageError: If a manifest cannot be read, or a pattern or folder matches nothing.
        ShardError: If a manifest is malformed, or none.
    """
    if split is not None and not isinstance(split, str):
        raise ValueError(f'split: must be the name of a split, got {split!r}. Write split="train".')
    several = list(dict.fromkeys(name for name in names if _names_several(name)))
    expanded = in_parallel(storage, partial(_named, storage, manifests), several, what="Opening")
    groups = dict(zip(several, expanded, strict=True))
    shards: list[Listed] = []
    for group in _joined([groups.get(name) or _Group([Listed(name)], None) for name in names]):
        if every_split or (group.by is None and split is None):
            shards += group.shards
            continue
        urls = [shard.url for shard in group.shards]
        splits = splits_of(urls, [shard.entry and shard.entry.split for shard in group.shards])
        shards += [group.shards[number] for number in chosen(splits, split, group.by or "what was named")]
    return _with_manifests(storage, shards) if manifests else shards


def absolute(name: str) -> str:
    """A path as an absolute path, with `~` filled in; a URL unchanged."""
    if "://" in name:
        return name
    return os.path.join(os.getcwd(), at_home(name))  # noqa: PTH109, PTH118 - `..` stays, which a link may have made


def at_home(name: str) -> str:
    """A path with `~` filled in, which shells leave in `--output=~/x`; a URL unchanged."""
    if name.startswith("~") and not os.path.lexists(name):
        return os.path.expanduser(name)  # noqa: PTH111 - a name that is no user's stays as it is
    return name


def _names_several(name: str) -> bool:
    """Whether a name may stand for several shards: it is a folder, a manifest or a pattern."""
    try:
        location = Location.parse(name)
    except ValueError:  # reading it raises the error
        return False
    if location.name.endswith(".json") or location.path in ("", "/") or location.path.endswith("/"):
        return True
    return location.is_pattern or (location.is_local and not location.name.endswith(".tar"))


def _named(storage: Storage, manifests: bool, name: str) -> _Group:
    """The shards of a name that may stand for several."""
    location = Location.parse(name)
    if location.name.endswith(".json"):
        return _of_manifest(storage, location)
    if not location.is_local:
        if location.path in ("", "/") or location.path.endswith("/"):
            return _of_remote_folder(storage, location)
        return _of_remote_pattern(storage, location)
    path = location.path
    if glob.has_magic(path) and not os.path.lexists(path):
        return _Group([Listed(match) for match in _matches(location)], location.shown)
    if Path(path).is_dir():
        return _of_folder(storage, location, manifests)
    return _Group([Listed(name)], None)


def _matches(pattern: Location) -> list[str]:
    """The files that match a local pattern, sorted; folders are no shards here, as in a store."""
    matches = sorted(glob.glob(pattern.path, recursive=True))  # noqa: PTH207 - of strings, with odd bytes in them
    files = [match for match in matches if not os.path.isdir(match)]  # noqa: PTH112 - of strings
    if files:
        return files
    if matches:
        raise StorageError(
            f"{pattern.shown}: a pattern must match a file, got folders alone, such as {matches[0]!r}. "
            "Write the pattern of the shards in them, as in …/*.tar."
        )
    raise StorageError(f"{pattern.shown}: a pattern must match a file, got no match. Check the path.")


def _of_manifest(storage: Storage, file: Location) -> _Group:
    data = storage.read_all(file, asked_for=file)
    entries = None if data is None else manifest.parse(data, file)
    if entries is None:
        storage.refuse_page(file)
        raise ShardError(f"{file.shown}: must be a manifest of shards, got none. Write one with `streamaug index`.")
    return _listed_in(file, entries, file.shown)


def _listed_in(file: Location, entries: Sequence[manifest.Entry], by: str) -> _Group:
    """The shards of a manifest, which must list some."""
    if not entries:
        raise ShardError(f"{file.shown}: a manifest must list shards, got none. Write it with `streamaug index`.")
    return _Group([Listed(entry.url, entry, file) for entry in entries], by)


def _of_folder(storage: Storage, folder: Location, manifests: bool) -> _Group:
    """The shards of a local folder: those of its manifest, else all its tars by name."""
    inside = Location.parse(f"{folder.url.rstrip('/')}/")
    found = manifest.find(storage.read_all, inside) if manifests else None
    if found is not None:
        return _listed_in(*found, folder.shown)
    with os.scandir(folder.path) as inner:  # hidden files are no shards, as for a pattern: macOS writes `._x.tar`
        names = sorted(
            file.name for file in inner if file.name.endswith(".tar") and file.name[0] != "." and not file.is_dir()
        )
    if not names:
        raise StorageError(f"{folder.shown}: a folder of shards must hold .tar files, got none. Check the path.")
    return _Group([Listed(inside.beside(name).url) for name in names], folder.shown)


def _of_remote_folder(storage: Storage, folder: Location) -> _Group:
    """The shards of a folder of a store: those of its manifest."""
    inside = folder if folder.path.endswith("/") else Location.parse(f"{folder.url.rstrip('/')}/")
    found = manifest.find(partial(storage.read_all, asked_for=inside), inside)
    if found is None:
        begin, fix = f"{folder.shown}: a remote folder must hold a manifest, got", "with `streamaug index`"
        try:
            storage.refuse_page(inside.beside(manifest.NAMES[0]))
        except StorageError as error:
            raise StorageError(
                f"{begin} a web page. {error} If the folder has no manifest: write one {fix}, or name the shards."
            ) from error.__cause__
        raise StorageError(f"{begin} none. Write one {fix}, or name the shards.")
    return _listed_in(*found, folder.shown)


def _of_remote_pattern(storage: Storage, pattern: Location) -> _Group:
    """The objects of a store that match; a single object whose name looks like a pattern stands for itself."""
    urls = objects_of(storage, pattern)
    return _Group([Listed(url) for url in urls], None if urls == [pattern.url] else pattern.shown)


def _joined(groups: Sequence[_Group]) -> list[_Group]:
    """The groups, with adjacent shards that are named one by one joined to a group."""
    joined: list[_Group] = []
    for group in groups:
        if group.by is None and joined and joined[-1].by is None:
            joined[-1].shards.extend(group.shards)
        else:
            joined.append(_Group(list(group.shards), group.by))
    return joined


def _with_manifests(storage: Storage, shards: Sequence[Listed]) -> list[Listed]:
    """The shards, with records from the manifests beside them where they have none yet."""
    folders: dict[str, list[str]] = {}
    for shard in shards:
        if shard.entry is None:
            folders.setdefault(Location.parse(shard.url).folder, []).append(shard.url)

    def of_folder(inside: Sequence[str]) -> dict[str, manifest.Entry]:
        first = Location.parse(inside[0])
        found = manifest.find(partial(storage.read_all, asked_for=first), first)
        return {} if found is None else manifest.of_shards(found[1], inside)

    listed: dict[str, manifest.Entry] = {}
    for entries in in_parallel(storage, of_folder, list(folders.values()), what="Opening"):
        listed |= entries
    return [shard if shard.entry is not None else shard._replace(entry=listed.get(shard.url)) for shard in shards]
