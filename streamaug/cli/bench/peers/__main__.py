"""The process of a peer: `python -m streamaug.cli.bench.peers NAME`.

In: lines of JSON on stdin, first the options, then {"seconds", "warm"} for each turn. Out: a line of JSON for each,
with the cost of the turn or with the error that ended the peer. Output of libraries goes to stderr.
"""

import itertools
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from streamaug.cli.bench.machine import tree_cpu
from streamaug.cli.bench.peers.options import PeerOptions

#: Batches before a turn's clock starts: more than a peer makes while others have their turn.
_PREPARED = 4


def main() -> int:
    """Serve turns until stdin ends."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(values: dict[str, Any]) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    try:
        module = import_module(f"streamaug.cli.bench.peers.{sys.argv[1]}")
        batches = module.batches(PeerOptions.from_json(sys.stdin.readline()))
        answer({"ready": True})
        for line in sys.stdin:
            asked = json.loads(line)
            answer(_turn(batches, asked["seconds"], asked["warm"]))
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is told to who started it
        answer({"error": f"{type(error).__name__}: {error}".removesuffix(": ")})
        return 1
    return 0


def _turn(batches: Iterator[int], seconds: float, warm: float) -> dict[str, float]:
    """Take batches for `seconds`, at least one."""
    begun = time.perf_counter()
    taken = sum(1 for _ in itertools.islice(batches, _PREPARED))
    while time.perf_counter() - begun < warm and taken:
        next(batches)
    begun, cpu, images = time.perf_counter(), tree_cpu(os.getpid()), 0
    while True:
        images += next(batches)
        now = time.perf_counter()
        if now - begun >= seconds:
            return {"images": images, "seconds": now - begun, "cpu": tree_cpu(os.getpid()) - cpu}


if __name__ == "__main__":
    raise SystemExit(main())
