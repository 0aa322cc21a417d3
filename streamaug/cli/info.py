"""`streamaug info SHARDS`: shows a dataset's shards, samples, classes, sizes and bytes, and a sheet of thumbnails.

Counts and bytes are of all drawn samples; it reads the headers of images, and decodes them for the sheet alone. It
writes no file but the sheet.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamaug.cli.messages import quantity
from streamaug.cli.output import writing
from streamaug.cli.source import add_set, open_set
from streamaug.cli.usage import epilog
from streamaug.errors import StreamaugError
from streamaug.making.labels import parse_table
from streamaug.making.output import CLASSES
from streamaug.samples.image_header import Header, inspect
from streamaug.samples.label import parse_label
from streamaug.shards.shard_set import ShardSet
from streamaug.storage.location import Location
from streamaug.storage.parallel import in_parallel

_WHAT = """Counts and bytes are those of the whole set; pictures and labels are those of --samples, evenly spread, and
are looked at by their headers."""
_EXAMPLES = [
    "streamaug info shards/train",
    "streamaug info shards --split val --samples 200",
    "streamaug info 's3://bucket/train-{000000..001281}.tar' --sheet sheet.jpg --json",
]
_BARS, _BINS, _WIDTH = " ▏▎▍▌▋▊▉█", 8, 40
_THUMBNAIL, _SHEET = 128, 48
#: First bytes of a format to its name.
_MAGIC = {b"\xff\xd8": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WebP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP"}


class _Sample(NamedTuple):
    """The facts about a sample."""

    key: str
    num_bytes: int
    header: Header | str
    form: str
    label: int | None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_set(parser)
    parser.epilog = epilog(_EXAMPLES, about=_WHAT)
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="samples to read (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help=f"write {_SHEET} thumbnails as one picture")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Read samples of the dataset, and print its facts.

    Raises:
        ValueError: If an argument is out of range.
        StreamaugError: If the shards cannot be read.
    """
    if arguments.samples < 1:
        raise ValueError(f"--samples: must be at least 1, got {arguments.samples}. Write 1000.")
    if arguments.sheet is not None:
        _check_sheet(arguments.sheet)
    shards = open_set(arguments)
    chosen = _spread(shards.num_samples, arguments.samples)
    by_shard = np.split(chosen, np.unique(shards.catalogue.shards_of(chosen), return_index=True)[1][1:])
    threads = min(8, shards.storage.options.concurrency)
    looked_at = in_parallel(shards.storage, partial(_look, shards), by_shard, what="Looking", threads=threads)
    samples = [sample for part in looked_at for sample in part]
    facts = _facts(shards, samples) | _named(shards, samples)
    print(json.dumps(facts, ensure_ascii=False, indent=1) if arguments.json else "\n".join(_lines(facts)))
    if arguments.sheet is not None:
        sheet = draw_sheet(shards)
        with writing("--sheet", arguments.sheet):
            sheet.save(arguments.sheet)
        if not arguments.json:
            print(arguments.sheet)
    return 0


def _check_sheet(path: Path) -> None:
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE or not path.absolute().parent.is_dir():
        raise ValueError(f"--sheet: must be a picture in a folder that exists, got {str(path)!r}. Write sheet.jpg.")


def _spread(total: int, count: int) -> "np.typing.NDArray[np.int64]":
    """`count` sample ids, evenly over all shards."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))


def _look(shards: ShardSet, ids: "np.typing.NDArray[np.int64]") -> list[_Sample]:
    """The facts of samples of one shard."""
    number = int(shards.catalogue.shards_of(ids[:1])[0])
    index, url = shards.index(number), shards.shards[number].url
    samples = []
    for row in (ids - shards.starts[number]).tolist():
        parts = [
            bytes(shards.storage.read(url, start, start + size)) if start >= 0 else b""
            for start, size in zip(index.offsets[row].tolist(), index.sizes[row].tolist(), strict=True)
        ]
        form = next((name for magic, name in _MAGIC.items() if parts[0].startswith(magic)), "other")
        samples.append(_Sample(index.keys[row], len(parts[0]), inspect(parts[0]), form, _label(parts[1:2])))
    return samples


def _label(parts: Sequence[bytes]) -> int | None:
    try:
        return parse_label(parts[0]) if parts else None
    except ValueError:
        return None


def _facts(shards: ShardSet, samples: list[_Sample]) -> dict[str, Any]:
    good = [sample.header for sample in samples if isinstance(sample.header, Header)]
    labels = Counter(sample.label for sample in samples if sample.label is not None)
    return {
        "shards": len(shards.shards),
        "samples": shards.num_samples,
        "bytes": shards.catalogue.num_bytes,
        "components": ["|".join(alternatives) for alternatives in shards.components],
        "samples_of_a_shard": histogram([shard.num_samples for shard in shards.shards]),
        "looked_at": len(samples),
        "formats": dict(Counter(sample.form for sample in samples).most_common()),
        "unusable": [f"{sample.key}: {sample.header}" for sample in samples if isinstance(sample.header, str)],
        "classes": len(labels),
        "samples_of_a_class": histogram(list(labels.values())),
        "most_frequent": labels.most_common(5),
        "without_label": sum(sample.label is None for sample in samples),
        "image_bytes": histogram([sample.num_bytes for sample in samples]),
        "width": histogram([header.width for header in good]),
        "height": histogram([header.height for header in good]),
    }


def _named(shards: ShardSet, samples: list[_Sample]) -> dict[str, Any]:
    """The class table beside the first shard, its names of the labels found, and how many samples lie beyond it."""
    table = Location.parse(shards.shards[0].url).beside(CLASSES)
    facts: dict[str, Any] = {"class_table": None, "class_names": {}, "beyond_the_table": 0, "unread_table": None}
    try:
        data = shards.storage.read_all(table)
        names = None if data is None else parse_table(data, table.shown)
    except (StreamaugError, ValueError) as error:
        return facts | {"unread_table": str(error)}
    if names is None:
        return facts
    labels = [sample.label for sample in samples if sample.label is not None]
    return facts | {
        "class_table": {"path": table.shown, "classes": len(names)},
        "class_names": {label: names[label] for label in sorted(set(labels)) if label < len(names)},
        "beyond_the_table": sum(label >= len(names) for label in labels),
    }


def histogram(values: Sequence[int]) -> dict[str, Any]:
    """Counts in 8 bins of equal width between the smallest value and the largest, with the median."""
    if not values:
        return {"min": 0, "median": 0, "max": 0, "bins": []}
    low, high = min(values), max(values)
    bins = min(_BINS, high - low + 1)
    counts, edges = np.histogram(values, bins=bins, range=(low, high + 1))
    rows = [
        [math.ceil(start), math.ceil(stop) - 1, count]
        for start, stop, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    ]
    return {"min": low, "median": float(np.median(values)), "max": high, "bins": rows}


def _lines(facts: dict[str, Any]) -> list[str]:
    """The lines to print."""
    lines = [
        f"{quantity(facts['shards'], 'shard')}, {quantity(facts['samples'], 'sample')}, {facts['bytes'] / 1e9:.3g} GB; "
        f"components {', '.join(facts['components'])}",
        *_drawn("samples of a shard", facts["samples_of_a_shard"]),
        f"of {quantity(facts['looked_at'], 'sample')}, evenly spread:",
        "formats: " + ", ".join(f"{name} {count:,}" for name, count in facts["formats"].items()),
        f"classes: {facts['classes']:,}"
        + (f" of {facts['class_table']['classes']:,} in {CLASSES}" if facts["class_table"] else "")
        + (f", {facts['without_label']:,} samples without a class number" if facts["without_label"] else "")
        + ("; most frequent: " if facts["most_frequent"] else "")
        + ", ".join(f"{_name(facts, label)} ({count}×)" for label, count in facts["most_frequent"]),
        *_drawn("samples of a class", facts["samples_of_a_class"]),
        *_drawn("bytes of an image", facts["image_bytes"]),
        *_drawn("width in pixels", facts["width"]),
        *_drawn("height in pixels", facts["height"]),
    ]
    if facts["beyond_the_table"]:
        lines.append(f"{facts['beyond_the_table']:,} samples have a class number that {CLASSES} lacks")
    if facts["unread_table"]:
        lines.append(f"{CLASSES} was not read: {facts['unread_table']}")
    lines += [f"unusable: {text}" for text in facts["unusable"][:10]]
    if len(facts["unusable"]) > 10:
        lines.append(f"and {len(facts['unusable']) - 10} more; `streamaug check` lists all")
    return lines


def _name(facts: dict[str, Any], label: int) -> str:
    """A class number, with its name where the table has one."""
    name = facts["class_names"].get(label)
    if name is None:
        return str(label)
    return f"{label} {name if name.isprintable() else repr(name)}"


def _drawn(title: str, found: dict[str, Any]) -> list[str]:
    """A histogram as text; a line alone where all values are one."""
    head = f"{title}: median {found['median']:,.0f}, {found['min']:,} to {found['max']:,}"
    if len(found["bins"]) < 2:
        return [head]
    most = max(count for *_, count in found["bins"])
    lines = [head]
    for start, stop, count in found["bins"]:
        eighths = round(8 * _WIDTH * count / most)
        bar = _BARS[8] * (eighths // 8) + _BARS[eighths % 8].strip()
        lines.append(f"  {start:>10,} – {stop:<10,} {bar} {count:,}")
    return lines


def draw_sheet(shards: ShardSet) -> Any:
    """Thumbnails of samples from all over the dataset, in rows of eight; gray where one cannot be decoded."""
    from PIL import Image

    from streamaug.cli.pictures import picture

    ids = _spread(shards.num_samples, _SHEET).tolist()
    columns = min(8, len(ids))
    page = Image.new("RGB", (columns * _THUMBNAIL, -(-len(ids) // columns) * _THUMBNAIL), (128, 128, 128))
    for place, sample_id in enumerate(ids):
        number = int(shards.catalogue.shards_of(np.array([sample_id]))[0])
        index, row = shards.index(number), sample_id - int(shards.starts[number])
        start = int(index.offsets[row, 0])
        try:
            data = bytes(shards.storage.read(shards.shards[number].url, start, start + int(index.sizes[row, 0])))
        except (OSError, ValueError, StreamaugError):
            continue
        image = picture(data)
        if image is None:
            continue
        image.thumbnail((_THUMBNAIL - 4, _THUMBNAIL - 4))
        left = place % columns * _THUMBNAIL + (_THUMBNAIL - image.width) // 2
        page.paste(image, (left, place // columns * _THUMBNAIL + (_THUMBNAIL - image.height) // 2))
    return page
