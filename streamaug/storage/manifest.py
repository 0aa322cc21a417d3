"""One small file that lists all shards with their counts, so that 100,000 of them open with one read.

In and out: the `wids-shard-index-v1` JSON of webdataset, written by `streamaug index` as `index.json`; timm's
`_info.json` is read too. It never reads a shard.
"""

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from streamaug.errors import IndexFormatError
from streamaug.storage.urls import beside, is_local, last_component, locate, shown

#: Where a manifest is looked for beside the shards: ours, those that webdataset's documents use, timm's.
NAMES = ("index.json", "shardindex.json", "_info.json", "info.json")
_KIND = "wids-shard-index-v1"
_CHECKSUMS = "crc32c"


class Entry(NamedTuple):
    """One shard of a manifest; `num_bytes` is -1 where the manifest does not say.

    `has_checksums` says whether a companion of checksums lies beside the shard.
    """

    url: str
    num_samples: int
    num_bytes: int
    has_checksums: bool = False


def parse(data: bytes, url: str) -> list[Entry] | None:
    """The shards that a manifest lists, URLs relative to it resolved; None where the file is no manifest.

    Raises:
        IndexFormatError: If it is one, and malformed.
    """
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        content = json.loads(data)
    except ValueError as error:
        raise IndexFormatError(
            f"{shown(url)}: a manifest must be valid JSON, got: {error}. Write it again with `streamaug index`."
        ) from None
    try:
        if content.get("__kind__") == _KIND or isinstance(content.get("shardlist"), list):
            return [_of_wids(item, url) for item in content["shardlist"]]
        if isinstance(content.get("splits"), dict):
            return _of_timm(content["splits"].values(), url)
        if isinstance(content.get("shard_lengths"), list):
            return _of_timm([content], url)
    except (KeyError, TypeError, ValueError) as error:
        raise IndexFormatError(
            f"{shown(url)}: each shard needs its name and a count of samples, got {type(error).__name__}: {error}. "
            "Write the manifest again with `streamaug index`."
        ) from None
    return None


def of_shards(entries: Sequence[Entry], urls: Iterable[str]) -> dict[str, Entry]:
    """What a manifest says of shards, by their URLs as given.

    A shard is the one of its place; where the manifest names none there, for it may have been copied with its shards,
    the one of its name, if there is one only.
    """
    by_place = {_place(entry.url): entry for entry in entries}
    by_name: dict[str, Entry | None] = {}
    for place, entry in by_place.items():
        name = last_component(place)
        by_name[name] = None if name in by_name else entry
    found = {url: by_place.get(_place(url)) or by_name.get(last_component(url)) for url in urls}
    return {url: entry for url, entry in found.items() if entry is not None}


def _of_wids(item: Any, url: str) -> Entry:
    count, size = int(item["nsamples"]), int(item.get("filesize", -1))
    if count < 0 or size < -1:
        raise ValueError(f"nsamples {count} and filesize {size} must not be negative")
    return Entry(_resolved(str(item["url"]), url), count, size, item.get("checksums") == _CHECKSUMS)


def _of_timm(splits: Iterable[Any], url: str) -> list[Entry] | None:
    entries: list[Entry] = []
    for split in splits:
        if "shard_lengths" not in split or "filenames" not in split:
            continue
        pairs = zip(split["filenames"], split["shard_lengths"], strict=True)
        entries += [Entry(_resolved(str(name), url), int(count), -1) for name, count in pairs]
    return entries or None


def _resolved(name: str, url: str) -> str:
    return name if "://" in name or name.startswith("/") else beside(url, name)


def write(entries: Iterable[Entry]) -> str:
    """The manifest of shards that lie beside it, as JSON text."""
    shardlist = [_item({"url": last_component(entry.url)}, entry) for entry in entries]
    return json.dumps({"__kind__": _KIND, "wids_version": 1, "shardlist": shardlist}, indent=1) + "\n"


def merge(data: bytes | None, url: str, entries: Iterable[Entry]) -> str:
    """The manifest at `url`, as JSON text, after shards that lie beside it were counted anew.

    What it says of other shards, and fields of others' making, stay as they are. Fields about one of the shards, a hash
    for instance, go when its count or size has changed. Text that is no JSON is replaced.

    Args:
        data: The manifest that is there, or None.
        url: Where it is.
        entries: The shards.

    Raises:
        IndexFormatError: If what is there is JSON of another kind, which would be lost.
    """
    content = _wids(data, url)
    items = list(content["shardlist"])
    is_sorted = items == sorted(items, key=_name)
    found = {_place(_resolved(_name(item), url)): number for number, item in enumerate(items) if _name(item)}
    for entry in entries:
        name = last_component(entry.url)
        number = found.get(_place(beside(url, name)), found.get(_place(entry.url)))
        if number is None:
            items.append(_item({"url": name}, entry))
        else:
            items[number] = _item(items[number], entry)
    if is_sorted:
        items.sort(key=_name)
    return json.dumps(content | {"shardlist": items}, indent=1) + "\n"


def _wids(data: bytes | None, url: str) -> dict[str, Any]:
    """What a manifest holds; an empty one where there is none, or no JSON."""
    empty = {"__kind__": _KIND, "wids_version": 1, "shardlist": []}
    try:
        content = empty if data is None else json.loads(data)
    except ValueError:
        return empty
    if isinstance(content, dict) and isinstance(content.get("shardlist"), list):
        return {"__kind__": _KIND, "wids_version": 1} | content
    raise IndexFormatError(
        f"{shown(url)}: must be a manifest of kind {_KIND} to be added to, got other JSON. "
        "Move it away, or write elsewhere with --output."
    )


def _name(item: Any) -> str:
    return str(item.get("url", "")) if isinstance(item, dict) else ""


def _place(url: str) -> str:
    """One name for a shard, however its path is written."""
    return os.path.abspath(locate(url).path) if is_local(url) else shown(url)  # noqa: PTH100 - as fast as it gets


def _item(known: dict[str, Any], entry: Entry) -> dict[str, Any]:
    counted = {"nsamples": entry.num_samples, "filesize": entry.num_bytes}
    unchanged = all(known.get(field, value) in (value, -1) for field, value in counted.items())
    kept = {field: value for field, value in known.items() if field != "checksums"} if unchanged else {}
    return {"url": known["url"]} | kept | counted | ({"checksums": _CHECKSUMS} if entry.has_checksums else {})
