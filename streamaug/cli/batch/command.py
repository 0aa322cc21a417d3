"""`streamaug batch FILE.py:FUNCTION`: shows the images that a training step was given, from its number alone.

FUNCTION takes no argument and returns the chain that the training iterates. The command makes the chain once for each
rank, computes the step's positions, and reads that batch; so step 60,000 costs as much as step 0.
"""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import torch

from streamaug.cli.batch.checkpoint import read_state
from streamaug.cli.batch.page import page
from streamaug.cli.batch.replay import RankBatch, Wanted, replay, tensors_of
from streamaug.cli.output import check_output, writing
from streamaug.cli.usage import epilog
from streamaug.cli.user_code import call_for_chain, load_function, prints_to_stderr

_EXAMPLES = [
    "streamaug batch train.py:chain --epoch 11 --step 60000 --world-size 8",
    "streamaug batch train.py:chain --state run.pt --step 60000 --world-size 8 --json",
    "streamaug batch train.py:chain --state run.pt:loader  # the batch that follows the checkpoint",
]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = epilog(_EXAMPLES)
    parser.add_argument("function", metavar="FILE.py:FUNCTION", help="a function that returns the training's chain")
    parser.add_argument("--epoch", type=int, metavar="E", help="the epoch, from 0; default: that of the state")
    parser.add_argument("--step", type=int, metavar="K", help="the step, from 0; default: that behind the state")
    parser.add_argument("--world-size", type=int, default=1, metavar="W", help="number of ranks (default: %(default)s)")
    parser.add_argument("--state", metavar="FILE[:KEY]", help="a checkpoint that holds the chain's state_dict()")
    parser.add_argument(
        "-o", "--output", type=Path, help="the page (default: batch.html, if no other output is asked for)"
    )
    parser.add_argument("--rows", type=int, default=64, help="rows on the page (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the facts of every row as JSON")
    parser.add_argument("--save-tensors", type=Path, metavar="FILE.pt", help="write the batches of all ranks' loops")


def run(arguments: argparse.Namespace) -> int:
    """Read the batch, and write the outputs that the options ask for.

    Raises:
        ValueError: If an argument is out of range, or there is no such step.
        StreamaugError: If the chain cannot be made, or is of another dataset than the state.
    """
    _check(arguments)
    with prints_to_stderr():
        make = load_function(arguments.function)
        state = None if arguments.state is None else read_state(arguments.state)
        wanted = Wanted(state, arguments.epoch, arguments.step, arguments.world_size)
        batches = list(replay(lambda: call_for_chain(make, arguments.function), wanted))
    if arguments.save_tensors is not None:
        with writing("--save-tensors", arguments.save_tensors), arguments.save_tensors.open("wb") as file:
            file.write(_tensors(batches))
    output = arguments.output
    if output is None and not arguments.json and arguments.save_tensors is None:
        output = Path("batch.html")
    if output is not None:
        origin = batches[0].batch.origin
        title = f"Epoch {origin.epoch}, step {origin.step}"
        count = sum(len(batch.rows) for batch in batches)
        facts = f"{count} images of {len(batches)} ranks, seed {origin.seed}. {arguments.function}."
        text = page(title, facts, batches, arguments.rows)
        with writing("--output", output):
            output.write_text(text, encoding="utf-8")
    if arguments.json:
        print(json.dumps(_facts(batches), ensure_ascii=False, indent=1))
    else:
        for path in (output, arguments.save_tensors):
            if path is not None:
                print(path)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.world_size < 1:
        raise ValueError(f"--world-size: must be at least 1, got {arguments.world_size}. Write the number of ranks.")
    if arguments.rows < 1:
        raise ValueError(f"--rows: must be at least 1, got {arguments.rows}. Write 64.")
    if arguments.state is None and (arguments.epoch is None or arguments.step is None):
        raise ValueError("--epoch, --step: must both be given without --state. Write --epoch 0 --step 60000.")
    if arguments.step is None and arguments.epoch is not None:
        raise ValueError("--step: must be given with --epoch, got none. Write --step 0.")
    for name, path in (("--output", arguments.output), ("--save-tensors", arguments.save_tensors)):
        if path is not None:
            check_output(name, path)


def _facts(batches: list[RankBatch]) -> dict[str, Any]:
    origin = batches[0].batch.origin
    rows = [row for batch in batches for row in batch.rows]
    return {"epoch": origin.epoch, "step": origin.step, "seed": origin.seed, "world_size": len(batches), "rows": rows}


def _tensors(batches: list[RankBatch]) -> memoryview:
    """The bytes of the tensors' file; made in memory, since torch's own writer names neither the file nor the cause."""
    file = io.BytesIO()
    torch.save([_saved(batch) for batch in batches], file)
    return file.getbuffer()


def _saved(batch: RankBatch) -> dict[str, Any]:
    origin = batch.batch.origin
    return {
        "rank": batch.rank,
        "epoch": origin.epoch,
        "step": origin.step,
        "keys": list(origin.keys),
        "positions": torch.from_numpy(origin.positions),
        "sample_ids": torch.from_numpy(origin.sample_ids),
        "delivered": tensors_of(batch.delivered),
    }
