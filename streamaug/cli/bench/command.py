"""`streamaug bench SHARDS`: measures the limit of a loader, its distance from the limit, and what to change.

In: shards and a recipe, or a chain of the user's. Out: a table of the speed of every part alone, the verdict, and on
request the wait of a model, and the speed of other loaders on the same shards.
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamaug.cli.bench.advice import advice
from streamaug.cli.bench.clock import Effort
from streamaug.cli.bench.machine import Watch
from streamaug.cli.bench.measure import measure
from streamaug.cli.bench.page import page
from streamaug.cli.bench.peers import NAMES, Peers
from streamaug.cli.bench.report import record
from streamaug.cli.bench.subject import Subject, Wanted
from streamaug.cli.bench.text import lines
from streamaug.cli.output import check_output, writing
from streamaug.cli.recipe_argument import NAMED, load_recipe
from streamaug.cli.source import add_split, add_storage, open_set
from streamaug.cli.usage import epilog
from streamaug.cli.user_code import call_for_chain, line_of, load_function, prints_to_stderr
from streamaug.errors import StreamaugError
from streamaug.stages.base import Stage

_EXAMPLES = [
    "streamaug bench 'shards/train-{000000..000127}.tar' --html report.html",
    "streamaug bench s3://bucket/train --recipe my_recipes:heavy --model resnet50 --step-ms 180",
    "streamaug bench --chain train.py:chain --json",
    "streamaug bench shards/train --against dali,webdataset,torchvision",
]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = epilog(_EXAMPLES)
    what = "paths or URLs of tars, with {000..146} or *; folders; manifests"
    parser.add_argument("shards", nargs="*", metavar="SHARDS", help=what)
    parser.add_argument("--chain", metavar="FILE.py:FUNCTION", help="measure a chain of your own instead")
    parser.add_argument(
        "--recipe",
        default="imagenet_train",
        help=f"{', '.join(NAMED)}; a .json file; or module:attribute (default: %(default)s)",
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="B", help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="as for augment (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="DALI's threads (default: augment's own)")
    parser.add_argument("--num-classes", type=int, default=1000, metavar="K", help="default: %(default)s")
    parser.add_argument("--no-mix", action="store_true", help="leave out mixup_or_cutmix")
    parser.add_argument("--components", nargs="+", default=["jpg;jpeg;png;webp", "cls"], help="as of ShardSet.open")
    add_split(parser)
    group = parser.add_argument_group("beside it")
    group.add_argument("--model", metavar="NAME", help="the name of the model whose step --step-ms is")
    group.add_argument("--step-ms", type=float, metavar="MS", help="milliseconds of a training step: does it wait?")
    group.add_argument("--against", metavar="PEERS", help=f"other loaders, by commas: {', '.join(NAMES)}")
    group = parser.add_argument_group("measurement")
    group.add_argument("--repeats", type=int, default=5, help="runs of each part (default: %(default)s)")
    group.add_argument("--seconds", type=float, default=1.0, help="of a run (default: %(default)s)")
    group.add_argument("--warm-up", type=float, default=1.0, metavar="SECONDS", help="default: %(default)s")
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object")
    group.add_argument("--html", type=Path, metavar="FILE", help="write one page with charts")
    add_storage(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and write the outputs that the options ask for.

    Raises:
        ValueError: If an argument is out of range, or a peer cannot run.
        StreamaugError: If the chain cannot be made or read.
    """
    _check(arguments)
    effort = Effort(arguments.repeats, arguments.seconds, arguments.warm_up)
    watch = Watch()
    names = [] if arguments.against is None else [name.strip() for name in arguments.against.split(",")]
    with prints_to_stderr(), Peers(names) as peers, _chain(arguments) as chain:
        subject = Subject.of(chain)
        peers.open(subject)
        with _naming(arguments.chain):
            roof, facts = measure(subject, effort, step_ms=arguments.step_ms)
        compared = peers.measure(effort)
        company = watch.company(spared=peers.cpu_seconds())
    report = record(
        roof,
        settings=_settings(arguments, subject),
        company=company,
        changes=advice(roof, replace(facts, busy=company.busy)),
        peers=compared,
        without_antialias_ms=facts.without_antialias_ms,
    )
    _write(arguments, report)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if bool(arguments.shards) == (arguments.chain is not None):
        got = "both" if arguments.shards else "neither"
        raise ValueError(f"SHARDS, --chain: one of them must be given, got {got}. Name the shards.")
    for name in ("batch_size", "num_classes"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')}: must be at least 1, got {getattr(arguments, name)}.")
    if arguments.threads is not None and arguments.threads < 1:
        raise ValueError(f"--threads: must be at least 1, got {arguments.threads}. Leave it out for augment's own.")
    if arguments.repeats < 2:
        raise ValueError(f"--repeats: must be at least 2, got {arguments.repeats}: one run says nothing. Write 5.")
    if not 0 < arguments.seconds < math.inf:
        raise ValueError(f"--seconds: must be positive and finite, got {arguments.seconds}. Write 1.")
    if not 0 <= arguments.warm_up < math.inf:
        raise ValueError(f"--warm-up: must be finite and at least 0, got {arguments.warm_up}. Write 1.")
    if arguments.step_ms is not None and not 0 < arguments.step_ms < math.inf:
        raise ValueError(
            f"--step-ms: must be positive and finite, got {arguments.step_ms}. Write what a step takes: 180."
        )
    if arguments.model is not None and arguments.step_ms is None:
        raise ValueError(
            f"--step-ms: must say how long a training step of {arguments.model} takes, got none. Time some steps on "
            "one batch that stays on the device, and write --step-ms 180."
        )
    if arguments.html is not None:
        check_output("--html", arguments.html)


def _chain(arguments: argparse.Namespace) -> Stage:
    """The chain of the user's, or that of the shards and the recipe."""
    if arguments.chain is not None:
        return call_for_chain(load_function(arguments.chain), arguments.chain)
    wanted = Wanted(
        recipe=load_recipe(arguments.recipe),
        batch_size=arguments.batch_size,
        device=arguments.device,
        num_threads=arguments.threads,
        num_classes=None if arguments.no_mix else arguments.num_classes,
    )
    return wanted.chain(open_set(arguments))


@contextmanager
def _naming(given: str | None) -> Iterator[None]:
    """Turn an error of the user's chain into an error that names its line."""
    try:
        yield
    except StreamaugError:
        raise
    except Exception as error:
        if given is None:
            raise
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise StreamaugError(
            f"{given}: its batches must be made without an error, got {reason}{line_of(error)}. Check the code."
        ) from error


def _settings(arguments: argparse.Namespace, subject: Subject) -> dict[str, Any]:
    shards = subject.reader.shards
    return {
        "chain": repr(subject.chain),
        "source": arguments.chain or shards.shards[0].location.shown,
        "samples": shards.num_samples,
        "shards": len(shards.shards),
        "bytes": shards.catalogue.num_bytes,
        "batch_size": subject.batch_size,
        "model": arguments.model,
        "repeats": arguments.repeats,
        "seconds": arguments.seconds,
        "warm_up": arguments.warm_up,
    }


def _write(arguments: argparse.Namespace, report: Mapping[str, Any]) -> None:
    shown: Sequence[str] = [json.dumps(report, ensure_ascii=False, indent=1)] if arguments.json else lines(report)
    print("\n".join(shown))
    if arguments.html is None:
        return
    with writing("--html", arguments.html):  # behind the text: the measurements took long
        arguments.html.write_text(page(report), encoding="utf-8")
    if not arguments.json:
        print(arguments.html)
