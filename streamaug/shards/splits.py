"""Splits of a dataset: the split of each shard (train, validation, test), and the choice of a split.

In: shards that a manifest, folder or pattern names together. Out: the shards of a split. A set that is opened by such a
name must be of one split: validation samples in training are an error that no loss shows.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence

from streamaug.storage.location import Location

#: The usual names of splits, and the common name of each.
_WORDS = {
    word: name
    for name, words in {
        "train": ("train", "training", "trn"),
        "validation": ("val", "valid", "validation", "dev"),
        "test": ("test", "testing", "tst"),
        "trainval": ("trainval",),
        "eval": ("eval", "evaluation"),
        "holdout": ("holdout",),
    }.items()
    for word in words
}


def is_split(name: str) -> bool:
    """Whether a name is a usual one of a split, in any case: "train", "Val"."""
    return name.lower() in _WORDS


def splits_of(urls: Sequence[str], named: Sequence[str | None]) -> list[str | None]:
    """The split of each shard: the manifest's, else that of a word in its name; None without either.

    Args:
        urls: The shards.
        named: Each shard's split in the manifest, None where the manifest has none.
    """
    paths = [Location.parse(url).path for url in urls]
    folder = os.path.commonpath([os.path.dirname(path) or "." for path in paths]) if _comparable(paths) else ""  # noqa: PTH120 - as fast as it gets
    return [
        split if split is not None else _by_name(path.removeprefix(folder))
        for split, path in zip(named, paths, strict=True)
    ]


def chosen(splits: Sequence[str | None], split: str | None, source: str) -> list[int]:
    """The numbers of the shards that belong to a split.

    Args:
        splits: The split of each shard.
        split: The split to take; None: all shards, which must be of one split.
        source: The name of the source, for errors.

    Raises:
        ValueError: If there are several splits and `split` is None, or no shard is of that split.
    """
    counts = Counter(name for name in splits if name is not None)
    if split is None:
        if len(counts) > 1:
            listed = " and ".join(f"{name!r} ({count} shards)" for name, count in counts.items())
            raise ValueError(
                f"split: must be chosen, since {source} holds several, {listed}, got none. "
                f"Open it with split={next(iter(counts))!r}, or name the shards."
            )
        return list(range(len(splits)))
    wanted = {split, _WORDS.get(split.lower(), split)}
    same = {name for name in counts if name in wanted or _WORDS.get(name.lower(), name) in wanted}
    if split in same:
        same = {split}
    if not same:
        listed = (
            f"one of {', '.join(map(repr, counts))}" if counts else "left out, since no shard's name says its split"
        )
        raise ValueError(f"split: for {source} it must be {listed}, got {split!r}. Name the shards themselves.")
    return [number for number, name in enumerate(splits) if name in same]


def _comparable(paths: Sequence[str]) -> bool:
    return len({path.startswith("/") for path in paths}) == 1


def _by_name(path: str) -> str | None:
    words = (word for word in re.split("[^a-z]+", path.lower()) if word in _WORDS)
    return next(words, None)
