"""`streamaug check SHARDS`: reads everything once, and reports all findings, not the first alone.

Out: a line for each finding, or JSON; exit status 1 where there are findings. It checks shards in parallel, and never
writes to them.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence

from streamaug.cli.check import duplicates, manifests
from streamaug.cli.check.inspector import Finding, Inspection, ShardInspector
from streamaug.cli.messages import quantity
from streamaug.cli.source import add_ray, add_source, add_split, list_source, on_each, storage_options
from streamaug.cli.usage import epilog
from streamaug.shards.index import components_of
from streamaug.shards.names import PassedOver
from streamaug.storage import Storage

_WHAT = """It checks that shards are whole tars and hold samples; that indexes, manifests and checksums beside them
fit; that no key comes twice; that each sample has its components. Images must have a sound header and end, as
training demands. With --decode they must decode whole, on the CPU, by DALI, as in training, and by Pillow, to pixels
that differ by no more than 8 gray levels on average. Components named cls, class or label must be class numbers as
training takes them; those named json must be JSON objects; other components only have to exist."""
_STATUS = "0 where nothing is wrong, 1 for findings and failures, 2 for wrong arguments"
_EXAMPLES = [
    "streamaug check shards/train",
    "streamaug check 's3://bucket/train-{000000..001281}.tar' --num-classes 1000 --json",
    "streamaug check shards --split val --decode",
]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)
    add_split(parser)
    add_ray(parser)
    parser.epilog = epilog(_EXAMPLES, about=_WHAT, status=_STATUS)
    parser.add_argument(
        "--components",
        default="jpg;jpeg;png;webp,cls",
        help="suffixes that each sample must have, the image first (default: %(default)s)",
    )
    parser.add_argument("--decode", action="store_true", help="decode every image too, with DALI and with Pillow")
    parser.add_argument("--num-classes", type=_count, help="labels must be below this number")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Check the shards; returns 1 if there are findings."""
    storage = Storage(storage_options(arguments))
    given = list_source(storage, arguments.shards, arguments.split, on_nodes=arguments.ray is not None)
    listed = {shard.url: shard for shard in given}
    inspector = ShardInspector(
        storage,
        components_of(arguments.components.split(",")),
        decode=arguments.decode,
        num_classes=arguments.num_classes,
        manifests=manifests.elsewhere_of(given),
    )
    threads = min(8, storage.options.concurrency)
    inspected = on_each(storage, inspector.inspect, list(listed), what="Checking", threads=threads, ray=arguments.ray)
    results = list(inspected)
    findings = [finding for result in results for finding in result.findings]
    findings += [*manifests.differences(storage, results, listed), *duplicates.repeated([shard.url for shard in given])]
    findings += duplicates.between(storage, results)
    _report(results, findings, as_json=arguments.json)
    return 1 if findings else 0


def _report(results: Sequence[Inspection], findings: Sequence[Finding], *, as_json: bool) -> None:
    samples, size = sum(result.num_samples for result in results), sum(max(0, result.num_bytes) for result in results)
    passed_over = PassedOver()
    for result in results:
        passed_over.merge(result.passed_over)
    if as_json:
        every = [dataclasses.asdict(finding) for finding in findings]
        counts = {"shards": len(results), "samples": samples, "bytes": size, "passed_over": dict(passed_over.counts)}
        print(json.dumps(counts | {"findings": every}, indent=1))
        return
    for finding in findings:
        print(finding)
    described = passed_over.described(usual=True)
    if described:
        print(f"passed over, since they are part of no sample: {described}")
    found = quantity(len(findings), "finding") if findings else "no findings"
    print(f"{quantity(len(results), 'shard')}, {quantity(samples, 'sample')}, {size} bytes: {found}")


def _count(text: str) -> int:
    """A command-line value that must be a number of at least 1."""
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)
