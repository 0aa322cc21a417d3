"""One small file that lists all shards with their counts, so that 100,000 of them open with one read.

In and out: the `wids-shard-index-v1` JSON of webdataset, written by `streamaug index` as `index.json`; timm's
`_info.json` is read too. It never reads a shard.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from streamaug.errors import IndexFormatError
from streamaug.storage.urls import beside, last_component, shown

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
    shardlist = [
        {"url": last_component(entry.url), "nsamples": entry.num_samples, "filesize": entry.num_bytes}
        | ({"checksums": _CHECKSUMS} if entry.has_checksums else {})
        for entry in entries
    ]
    return json.dumps({"__kind__": _KIND, "wids_version": 1, "shardlist": shardlist}, indent=1) + "\n"
