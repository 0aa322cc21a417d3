"""`streamaug order SHARDS`: shows the samples of a training step, their shards, and how well they are shuffled.

In: the shards' counts and the reader's options. Out: the rows of a step, and the shuffle's quality beside that of a
full shuffle. It reads no sample.
"""

import argparse
import json
from typing import Any

from streamaug.cli.source import add_set, open_set
from streamaug.cli.usage import epilog
from streamaug.order.base import Order
from streamaug.order.quality import quality
from streamaug.reader import Share
from streamaug.shards.shard_set import ShardSet
from streamaug.stages.reader import ShardReader

_EXAMPLES = [
    "streamaug order shards/train --batch-size 256 --world-size 8 --epoch 3 --step 500",
    "streamaug order shards/train --batch-size 64 --lanes 32 --window 4096 --json",
]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_set(parser)
    parser.epilog = epilog(_EXAMPLES)
    parser.add_argument("--batch-size", type=int, default=256, metavar="B", help="of a rank (default: %(default)s)")
    parser.add_argument("--world-size", type=int, default=1, metavar="W", help="number of ranks (default: %(default)s)")
    parser.add_argument("--epoch", type=int, default=0, metavar="E", help="from 0 (default: %(default)s)")
    parser.add_argument("--step", type=int, default=0, metavar="K", help="from 0 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the reader (default: %(default)s)")
    parser.add_argument("--lanes", type=int, help="of the reader (default: its own)")
    parser.add_argument("--window", type=int, help="of the reader (default: its own)")
    parser.add_argument("--tail", choices=("drop", "pad"), default="drop", help="default: %(default)s")
    parser.add_argument("--no-shuffle", action="store_true", help="the order as listed")
    parser.add_argument("--sticky-lanes", action="store_true", help="lanes hold the same samples in every epoch")
    parser.add_argument("--repeats", type=int, default=1, metavar="R", help="copies of each sample (default: 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the step.

    Raises:
        ValueError: If an option is out of its range, or there is no such step.
    """
    for name in ("batch_size", "world_size"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')}: must be at least 1, got {getattr(arguments, name)}.")
    shards = open_set(arguments)
    order = _order(shards, arguments)
    shares = [
        Share(arguments.batch_size, rank, arguments.world_size, interleaved=order.shuffle)
        for rank in range(arguments.world_size)
    ]
    steps = shares[0].num_batches(order)
    if steps == 0:
        raise ValueError(
            f"--batch-size: an epoch must hold at least one global batch, got {order.num_positions} positions for "
            f"{arguments.world_size} ranks of {arguments.batch_size}. Use less, or --tail pad."
        )
    if not 0 <= arguments.step < steps or arguments.epoch < 0:
        raise ValueError(
            f"--epoch, --step: must be at least 0, and the step one of 0..{steps - 1}, got {arguments.epoch} and "
            f"{arguments.step}."
        )
    facts: dict[str, Any] = {
        "epoch": arguments.epoch,
        "step": arguments.step,
        "steps": steps,
        "order": order.parameters,
        "rows": _rows(shards, order, shares, arguments.epoch, arguments.step),
        "quality": quality(order, shards.starts, shares[0].global_batch, steps, arguments.epoch),
    }
    if arguments.json:
        print(json.dumps(facts, ensure_ascii=False, indent=1))
    else:
        _print(facts)
    return 0


def _order(shards: ShardSet, arguments: argparse.Namespace) -> Order:
    """The order of a reader with these options."""
    reader = ShardReader(
        shards,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        lanes=arguments.lanes,
        window=arguments.window,
        shuffle=not arguments.no_shuffle,
        tail=arguments.tail,
        sticky_lanes=arguments.sticky_lanes,
        repeats=arguments.repeats,
    )
    return reader.order


def _rows(shards: ShardSet, order: Order, shares: list[Share], epoch: int, step: int) -> list[dict[str, Any]]:
    """The facts of each row of a step, rank by rank."""
    rows: list[dict[str, Any]] = []
    for share in shares:
        positions = share.positions(step * share.global_batch)
        ids, padding = order.sample_ids(epoch, positions), order.is_padding(epoch, positions)
        numbers = shards.catalogue.shards_of(ids).tolist()
        for row, (position, sample_id, number) in enumerate(
            zip(positions.tolist(), ids.tolist(), numbers, strict=True)
        ):
            rows.append(
                {
                    "rank": share.rank,
                    "row": row,
                    "position": position,
                    "sample_id": sample_id,
                    "key": shards.index(number).keys[sample_id - int(shards.starts[number])],
                    "shard": shards.shards[number].location.shown,
                    "is_padding": bool(padding[row]),
                    **({"copy": position // order.lanes % order.repeats} if order.repeats > 1 else {}),
                }
            )
    return rows


def _print(facts: dict[str, Any]) -> None:
    """The rows as a table, and the quality in words."""
    order = ", ".join(f"{name}={value}" for name, value in facts["order"].items())
    print(f"epoch {facts['epoch']}, step {facts['step']} of {facts['steps']}; {order}")
    print(f"{'rank':>4} {'row':>4} {'position':>9} {'sample':>9}  key, shard")
    for row in facts["rows"]:
        remarks = f"  (copy {row['copy']})" if "copy" in row else ""
        remarks += "  (padding)" if row["is_padding"] else ""
        place = f"{row['rank']:>4} {row['row']:>4} {row['position']:>9} {row['sample_id']:>9}"
        print(f"{place}  {row['key']}, {row['shard']}{remarks}")
    found = facts["quality"]
    print(f"shards in a global batch: {found['shards']:.1f}; a full shuffle has {found['shards_full']:.1f}")
    print(
        f"samples beside their neighbour of the shard: {found['neighbours']:.2%}; "
        f"a full shuffle has {found['neighbours_full']:.2%}"
    )
    print(f"correlation of a sample's step with its number as listed: {found['drift']:+.2f}; a full shuffle has 0")
