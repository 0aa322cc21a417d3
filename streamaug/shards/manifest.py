"""The manifest: a small file that lists all shards with their counts, so that 100,000 of them open with one read.

In and out: the `wids-shard-index-v1` JSON of webdataset, written by `streamaug index` as `index.json`; timm's
`_info.json` is read too. It never reads a shard.
"""

import codecs
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from streamaug.errors import IndexFormatError
from streamaug.storage.location import Location
from streamaug.storage.storage import Url

#: Names of a manifest beside the shards: ours, those of webdataset's documentation, timm's.
NAMES = ("index.json", "shardindex.json", "_info.json", "info.json")
_KIND = "wids-shard-index-v1"
_CHECKSUMS = "crc32c"


class Entry(NamedTuple):
    """A shard in a manifest.

    Attributes:
        url: Where it lies.
        num_samples: Samples in it.
        num_bytes: Its size; -1 where the manifest does not say.
        has_checksums: Whether a companion of checksums lies beside its index.
        split: Its split in the manifest; None where the manifest has none.
    """

    url: str
    num_samples: int
    num_bytes: int
    has_checksums: bool = False
    split: str | None = None


def parse(data: bytes, url: Url) -> list[Entry] | None:
    """The shards that a manifest lists, with relative URLs resolved; None where the file is no manifest.

    Args:
        data: The file.
        url: Where it lies.

    Raises:
        IndexFormatError: If it is a manifest, and malformed.
    """
    manifest = Location.parse(url)
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        content = json.loads(data)
    except ValueError as error:
        raise IndexFormatError(
            f"{manifest.shown}: a manifest must be valid JSON, got: {error}. Write it again with `streamaug index`."
        ) from None
    try:
        if content.get("__kind__") == _KIND or isinstance(content.get("shardlist"), list):
            return [_of_wids(item, manifest) for item in content["shardlist"]]
        if isinstance(content.get("splits"), dict):
            return _of_timm(content["splits"], manifest)
        if isinstance(content.get("shard_lengths"), list):
            return _of_timm({None: content}, manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise IndexFormatError(
            f"{manifest.shown}: each shard needs its name and a count of samples, got {type(error).__name__}: {error}. "
            "Write the manifest again with `streamaug index`."
        ) from None
    return None


def find(read: Callable[[Location], bytes | None], shard: Location) -> tuple[Location, list[Entry]] | None:
    """The manifest beside a shard, as (location, entries): the first that exists, in the order of `NAMES`.

    Args:
        read: Returns the content of a file, None where it does not exist.
        shard: Any shard of the folder.

    Raises:
        IndexFormatError: If it is malformed.
    """
    for name in NAMES:
        manifest = shard.beside(name)
        data = read(manifest)
        entries = None if data is None else parse(data, manifest)
        if entries is not None:
            return manifest, entries
    return None


def of_shards(entries: Sequence[Entry], urls: Iterable[str]) -> dict[str, Entry]:
    """The records of shards in a manifest, by their URLs as given.

    A shard's record is the entry of its own URL. A manifest may have been copied with its shards: where it lacks the
    URL, the record is the entry of its name, if only one entry has that name.
    """
    by_location = {_same(Location.parse(entry.url)): entry for entry in entries}
    by_name: dict[str, Entry | None] = {}
    for entry in by_location.values():
        name = Location.parse(entry.url).name
        by_name[name] = None if name in by_name else entry
    of_url: dict[str, Entry] = {}
    for url in urls:
        shard = Location.parse(url)
        listed = by_location.get(_same(shard)) or by_name.get(shard.name)
        if listed is not None:
            of_url[url] = listed
    return of_url


def _of_wids(item: Any, manifest: Location) -> Entry:
    count, size = int(item["nsamples"]), int(item.get("filesize", -1))
    if count < 0 or size < -1:
        raise ValueError(f"nsamples {count} and filesize {size} must not be negative")
    url, split = _resolved(str(item["url"]), manifest), item.get("split")
    return Entry(url, count, size, item.get("checksums") == _CHECKSUMS, split if isinstance(split, str) else None)


def _of_timm(splits: Mapping[str | None, Any], manifest: Location) -> list[Entry] | None:
    entries: list[Entry] = []
    for name, split in splits.items():
        if "shard_lengths" not in split or "filenames" not in split:
            continue
        pairs = zip(split["filenames"], split["shard_lengths"], strict=True)
        entries += [Entry(_resolved(str(file), manifest), int(count), -1, split=name) for file, count in pairs]
    return entries or None


def _resolved(name: str, manifest: Location) -> str:
    return name if "://" in name or name.startswith("/") else manifest.beside(name).url


def write(entries: Iterable[Entry]) -> str:
    """The manifest of shards beside it, as JSON text."""
    shardlist = [_item({"url": Location.parse(entry.url).name}, entry) for entry in entries]
    return json.dumps({"__kind__": _KIND, "wids_version": 1, "shardlist": shardlist}, indent=1) + "\n"


def merge(data: bytes | None, url: Url, entries: Iterable[Entry]) -> str:
    """The manifest as JSON text, after shards were counted anew.

    It names shards beside it by their names, so that they can be moved with it; others by path or URL.

    Entries of other shards, and fields of other programs, stay unchanged. Such fields of a shard, a hash for instance,
    are removed when its count or size has changed. Text that is no JSON is replaced.

    Args:
        data: The existing manifest, or None.
        url: Where it lies.
        entries: The shards.

    Raises:
        IndexFormatError: If the file holds JSON of another kind, which would be lost.
    """
    manifest = Location.parse(url)
    content = _wids(data, manifest)
    items = list(content["shardlist"])
    is_sorted = items == sorted(items, key=_name)
    numbers = {
        _same(Location.parse(_resolved(_name(item), manifest))): number
        for number, item in enumerate(items)
        if _name(item)
    }
    for entry in entries:
        shard = Location.parse(entry.url)
        number = numbers.get(_same(manifest.beside(shard.name)), numbers.get(_same(shard)))
        if number is None:
            items.append(_item({"url": _name_in(manifest, shard)}, entry))
            continue
        listed = items[number]
        if _same(Location.parse(_resolved(_name(listed), manifest))) != _same(shard):
            listed = listed | {"url": _name_in(manifest, shard)}
        items[number] = _item(listed, entry)
    if is_sorted:
        items.sort(key=_name)
    return json.dumps(content | {"shardlist": items}, indent=1) + "\n"


def _wids(data: bytes | None, manifest: Location) -> dict[str, Any]:
    """The contents of a manifest; an empty manifest where the file does not exist or is no JSON."""
    empty = {"__kind__": _KIND, "wids_version": 1, "shardlist": []}
    try:
        content = empty if data is None else json.loads(data)
    except ValueError:
        return empty
    if isinstance(content, dict) and isinstance(content.get("shardlist"), list):
        return {"__kind__": _KIND, "wids_version": 1} | content
    raise IndexFormatError(
        f"{manifest.shown}: must be a manifest of kind {_KIND} to be added to, got other JSON. "
        "Move it away, or write elsewhere with --output."
    )


def _name(item: Any) -> str:
    return str(item.get("url", "")) if isinstance(item, dict) else ""


def _name_in(manifest: Location, shard: Location) -> str:
    """The name of a shard in a manifest: a file name where both share a folder, else a path or URL, without secrets."""
    if _same(manifest.beside(shard.name)) == _same(shard):
        return shard.name
    return os.path.abspath(shard.path) if shard.is_local else shard.public  # noqa: PTH100 - as fast as it gets


def _same(shard: Location) -> str:
    """The same name for a shard for every spelling of its path."""
    return os.path.abspath(shard.path) if shard.is_local else shard.shown  # noqa: PTH100 - as fast as it gets


def _item(listed: dict[str, Any], entry: Entry) -> dict[str, Any]:
    counted = {"nsamples": entry.num_samples, "filesize": entry.num_bytes}
    unchanged = all(listed.get(field, value) in (value, -1) for field, value in counted.items())
    kept = {field: value for field, value in listed.items() if field != "checksums"} if unchanged else {}
    return {"url": listed["url"]} | kept | counted | ({"checksums": _CHECKSUMS} if entry.has_checksums else {})
