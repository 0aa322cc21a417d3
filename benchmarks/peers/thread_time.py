"""How much time of its own the thread that takes batches spends in `next()`: streamaug, or plain DALI.

A program of its own, so that another commit's streamaug can be measured beside this one's, by PYTHONPATH. It takes its
turns as the other peers do: a line on stdin asks for some batches, and a line of JSON says the milliseconds of each.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from streamaug import ShardReader, ShardSet, ops, recipes


def streamaug_batches(arguments: argparse.Namespace) -> Iterator[Any]:
    recipe = {
        "train": recipes.imagenet_train,
        "rand_augment_erase": lambda: recipes.imagenet_train(policy=ops.RandAugment(), erase=0.25),
    }[arguments.recipe]()
    reader = ShardReader(ShardSet.open(arguments.shards), batch_size=arguments.batch_size, seed=1)
    chain = reader.augment(recipe, device=arguments.device, num_threads=arguments.threads)
    while True:
        yield from chain


def dali_batches(arguments: argparse.Namespace) -> Iterator[Any]:
    from loader import CONFIGURATIONS, PlainDali

    arguments.size, arguments.batches, arguments.threads = 224, 0, arguments.threads - 1
    peer = PlainDali(arguments.shards, arguments, True, CONFIGURATIONS[1])
    return peer._batches


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", choices=("streamaug", "dali"))
    parser.add_argument("recipe")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("threads", type=int)
    parser.add_argument("device")
    parser.add_argument("shards", nargs="+")
    arguments = parser.parse_args()
    batches = (dali_batches if arguments.program == "dali" else streamaug_batches)(arguments)
    print(json.dumps({"about": arguments.program}), flush=True)
    for line in sys.stdin:
        spent = []
        for _ in range(int(line)):
            started = time.thread_time()
            next(batches)
            spent.append(1e3 * (time.thread_time() - started))
        print(json.dumps({"ms": spent}), flush=True)


if __name__ == "__main__":
    main()
