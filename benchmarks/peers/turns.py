"""How a peer takes its turns: a line on stdin asks for one epoch, a line of JSON on stdout says how long it took.

A peer is a program of its own, run by the interpreter of its own virtual environment, so that no library's import or
version meets another's. It stays alive between rounds and does nothing then.
"""

import json
import sys
import time
from collections.abc import Callable


def take_turns(epoch: Callable[[], int], about: str) -> None:
    """Serve epochs until stdin ends; `epoch()` runs one and returns its number of images."""
    print(json.dumps({"about": about}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        images = epoch()
        print(json.dumps({"images": images, "seconds": time.perf_counter() - started}), flush=True)


def arguments() -> tuple[str, list[str], int]:
    """Recipe, shards, and workers or threads, as the driver passes them."""
    recipe, threads, *shards = sys.argv[1:]
    return recipe, shards, int(threads)
