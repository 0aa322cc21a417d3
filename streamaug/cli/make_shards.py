"""`streamaug make-shards SOURCE... OUTPUT`: makes shards of an image folder, a list, a Hugging Face dataset or tars.

Out: `shard-000000.tar` and so on with index, checksums and manifest, the class table, and a record of how they were
made. Exit status 1 where samples cannot be used, and --skip-bad is not given.
"""

import argparse
import json
import re
import sys

from streamaug.cli.messages import quantity
from streamaug.cli.source import add_ray, add_storage, storage_options
from streamaug.cli.usage import epilog
from streamaug.making import MakeOptions, Report, make_shards
from streamaug.making.listing import IMAGE_COMPONENTS

_WHAT = """SOURCE is a folder with a folder for each class; a .csv, .tsv or .parquet file of image and label; a
dataset of Hugging Face's save_to_disk (or an .arrow file); or tars. Run the same command again after it was stopped:
finished shards are kept. The bytes do not depend on --processes or --part."""
_STATUS = "0 for success, 1 for bad samples without --skip-bad and for failures, 2 for wrong arguments"
_EXAMPLES = [
    "streamaug make-shards ImageNet/train shards/train",
    "streamaug make-shards ImageNet/val shards/val --classes shards/train/classes.json",
    "streamaug make-shards list.csv s3://bucket/train --max-side 512 --quality 90 --skip-bad",
    "streamaug make-shards /shared/photos s3://bucket/train --ray auto  # by all nodes of a Ray cluster",
    "streamaug make-shards ImageNet/train /shared/train --part 3/16  # the third of 16 jobs",
]
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = epilog(_EXAMPLES, about=_WHAT, status=_STATUS)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="the sources of the shards, all of one kind")
    parser.add_argument("output", metavar="OUTPUT", help="folder or URL for the shards")
    parser.add_argument("--processes", type=int, metavar="N", help="default: one for each usable core")
    add_ray(parser)
    parser.add_argument("--part", type=_part, metavar="I/N", default=(0, 1), help="make one of N parts, for job arrays")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffle (default: %(default)s)")
    parser.add_argument("--no-shuffle", action="store_true", help="keep the order of the sources")
    parser.add_argument("--skip-bad", action="store_true", help="leave out samples that cannot be used")
    parser.add_argument("--decode", action="store_true", help="decode all JPEGs too; else their header and end decide")
    parser.add_argument("--max-side", type=int, metavar="N", help="reduce images whose longer side has more pixels")
    parser.add_argument("--quality", type=int, metavar="Q", help="of the images that are reduced (default: 90)")
    parser.add_argument(
        "--shard-size", type=_bytes, metavar="BYTES", help="at most, 256MB say (default: of all / 96, 4 MB to 256 MB)"
    )
    parser.add_argument("--classes", metavar="FILE", help="class table to use: a classes.json, or one name a line")
    parser.add_argument("--image-column", metavar="NAME", help="of lists and datasets")
    parser.add_argument("--label-column", metavar="NAME", help="of lists and datasets; '' for no labels")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_storage(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the shards; returns 1 if bad samples kept the manifest from being written."""
    options = MakeOptions(
        seed=arguments.seed,
        shuffle=not arguments.no_shuffle,
        max_side=arguments.max_side,
        quality=arguments.quality,
        shard_size=arguments.shard_size,
        decode=arguments.decode,
        skip_bad=arguments.skip_bad,
        processes=arguments.processes,
        ray=arguments.ray,
        part=arguments.part,
        classes=arguments.classes,
        image_column=arguments.image_column,
        label_column=arguments.label_column,
    )
    report = make_shards(arguments.sources, arguments.output, options=options, storage=storage_options(arguments))
    _print(report, as_json=arguments.json, skip_bad=arguments.skip_bad)
    return 1 if report.bad and not arguments.skip_bad else 0


def _print(report: Report, *, as_json: bool, skip_bad: bool) -> None:
    if as_json:
        print(json.dumps(_as_dict(report), indent=1))
        return
    for bad in report.bad:
        print(f"{bad.source}: {bad.reason}")
    if report.bad and not skip_bad:
        sys.stdout.flush()
        print(
            f"streamaug make-shards: {quantity(len(report.bad), 'sample')} cannot be used, so no manifest was written. "
            "Repair them, or run the same command with --skip-bad: finished shards are kept.",
            file=sys.stderr,
        )
        return
    classes = "" if report.num_classes is None else f", {report.num_classes} classes"
    print(
        f"{report.shards}: {quantity(report.num_shards, 'shard')}, {quantity(report.num_samples, 'sample')}, "
        f"{report.num_bytes} bytes{classes}"
    )
    if report.bad:
        print(f"{quantity(len(report.bad), 'sample')} {'was' if len(report.bad) == 1 else 'were'} left out")
    if report.waiting_for:
        parts = ", ".join(map(str, report.waiting_for))
        print(f"the manifest will be written by the last part; still missing, counted from 0: {parts}")
    images = [suffix for suffix in IMAGE_COMPONENTS if suffix in report.suffixes]
    if "cls" not in report.suffixes or not set(images) <= set(IMAGE_COMPONENTS[:4]):
        label = ', "cls"' if "cls" in report.suffixes else ","
        print(f'open them with components=("{";".join(images)}"{label})')


def _as_dict(report: Report) -> dict[str, object]:
    return {
        "shards": report.shards,
        "num_shards": report.num_shards,
        "num_samples": report.num_samples,
        "num_bytes": report.num_bytes,
        "num_classes": report.num_classes,
        "num_kept": report.num_kept,
        "bad": [bad._asdict() for bad in report.bad],
        "is_complete": report.is_complete,
        "waiting_for": report.waiting_for,
        "suffixes": sorted(report.suffixes),
    }


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be I/N, as in 1/4, got {text!r}")
    return int(match[1]), int(match[2])


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15})\s*([kmgt]?i?)b?", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"must be a size like 256MB or 1GiB, got {text!r}")
    return int(match[1]) * _UNITS[match[2]]
