"""`streamaug check SHARDS`: read everything once, and report all that is wrong, not the first thing only.

Out: a line for each finding, or JSON; exit status 1 where there is one. Shards are checked in parallel, and never
written.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence

from streamaug.cli import duplicates, listed
from streamaug.cli.finding import Finding, Inspection, ShardInspector
from streamaug.cli.source import add_source, storage_options
from streamaug.storage import Storage
from streamaug.storage.index import components_of
from streamaug.storage.parallel import in_parallel
from streamaug.storage.urls import expand

_WHAT = """Checked are: that shards are whole tars and hold samples; that indexes, manifests and checksums beside them
fit; that no key comes twice; that each sample has its components. Images must have a sound header and end, as training
demands, and with --decode must decode whole, on the CPU, by DALI, which trains, and by Pillow. Components named cls,
class or label must be class numbers as training takes them; those named json must be JSON objects; of others it is
only checked that they are there."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)
    parser.epilog = _WHAT
    parser.add_argument(
        "--components",
        default="jpg;jpeg;png;webp,cls",
        help="suffixes that each sample must have, the image first (default: %(default)s)",
    )
    parser.add_argument("--decode", action="store_true", help="decode every image too, with DALI and with Pillow")
    parser.add_argument("--num-classes", type=_count, help="labels must be below this number")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Check the shards; 1 if anything is wrong."""
    storage = Storage(storage_options(arguments))
    given = expand(arguments.shards)
    urls = list(dict.fromkeys(given))
    inspector = ShardInspector(
        storage,
        components_of(arguments.components.split(",")),
        decode=arguments.decode,
        num_classes=arguments.num_classes,
    )
    threads = min(8, storage.options.concurrency)
    results = list(in_parallel(storage, inspector.inspect, urls, what="Checking", threads=threads))
    findings = [finding for result in results for finding in result.findings]
    findings += [*listed.differences(storage, results), *duplicates.repeated(given)]
    findings += duplicates.between(storage, results)
    _report(results, findings, as_json=arguments.json)
    return 1 if findings else 0


def _report(results: Sequence[Inspection], findings: Sequence[Finding], *, as_json: bool) -> None:
    samples, size = sum(result.num_samples for result in results), sum(max(0, result.num_bytes) for result in results)
    if as_json:
        every = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"shards": len(results), "samples": samples, "bytes": size, "findings": every}, indent=1))
        return
    for finding in findings:
        print(finding)
    print(f"{len(results)} shards, {samples} samples, {size} bytes: {len(findings) or 'no'} findings")


def _count(text: str) -> int:
    """A command-line value that must be a number of at least 1."""
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)
