"""`streamaug check SHARDS`: read everything once, and report all that is wrong, not the first thing only.

Out: a line for each finding, or JSON; exit status 1 where there is one. Shards are checked in parallel, and never
written.
"""

import argparse
import dataclasses
import json

from streamaug.cli.finding import Finding, Inspection, ShardInspector
from streamaug.cli.source import add_source, storage_options
from streamaug.storage import Storage
from streamaug.storage.index import components_of
from streamaug.storage.parallel import in_parallel
from streamaug.storage.urls import expand, shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)
    parser.add_argument(
        "--components",
        default="jpg;jpeg;png;webp,cls",
        help="suffixes that each sample must have, the image first, the label second (default: %(default)s)",
    )
    parser.add_argument("--decode", action="store_true", help="decode every image too")
    parser.add_argument("--num-classes", type=int, help="labels must be below this number")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Check the shards; 1 if anything is wrong."""
    storage = Storage(storage_options(arguments))
    urls = expand(arguments.shards)
    inspector = ShardInspector(
        storage,
        components_of(arguments.components.split(",")),
        decode=arguments.decode,
        num_classes=arguments.num_classes,
    )
    threads = min(8, storage.options.concurrency)
    results = list(in_parallel(storage, inspector.inspect, urls, what="Checking", threads=threads))
    findings = [finding for result in results for finding in result.findings]
    findings += _duplicates_between(results)
    samples, size = sum(result.num_samples for result in results), sum(result.num_bytes for result in results)
    if arguments.json:
        listed = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"shards": len(urls), "samples": samples, "bytes": size, "findings": listed}, indent=1))
    else:
        for finding in findings:
            print(finding)
        print(f"{len(urls)} shards, {samples} samples, {size} bytes: {len(findings) or 'no'} findings")
    return 1 if findings else 0


def _duplicates_between(results: list[Inspection]) -> list[Finding]:
    """Keys that a later shard has again; by 64 bits of their hash, a few dozen bytes a key."""
    seen: dict[int, str] = {}
    findings = []
    for result in results:
        for digest, (key, offset) in result.keys.items():
            first = seen.setdefault(digest, result.url)
            if first != result.url:
                what = f"the key is that of a sample in {shown(first)} too"
                findings.append(Finding("duplicate", shown(result.url), key, offset, what))
    return findings
