"""What the programs of benchmarks/storage_peers.py share: an epoch of encoded images out of S3, with its times.

A peer's module gives `main` a function `epoch`, which yields the number of images of each batch, and, where it reads a
format of its own, a function `write`, which writes that out of a folder of WebDataset tars. Where the loader keeps what
it has read on the disk, `second` reads an epoch and returns the next. A module imports its library at its top, so
imports are not timed.

    python PROGRAM --pattern PATTERN --target FOLDER --batch-size B     an epoch: prints images, images/s and seconds
    python PROGRAM --second --pattern …                                 the same of the second epoch
    python PROGRAM --write --data TARS --target FOLDER                  writes the format
"""

import argparse
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

WORKERS = 2


@dataclass(frozen=True)
class Job:
    """What a loader is to read.

    Attributes:
        pattern: The names of the tars, below s3://bucket/wds, as a brace pattern.
        scratch: An empty folder of this epoch, for caches; beside it lies what was written.
        batch_size: Images of a batch.
    """

    pattern: str
    scratch: Path
    batch_size: int


Epoch = Callable[[Job], Iterator[int]]
Write = Callable[[Path, Path], None]


def samples(folder: Path) -> Iterator[tuple[bytes, int]]:
    """Image and label of every sample in a folder of shards."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            parts: dict[str, bytes] = {}
            for info in tar:
                file = tar.extractfile(info)
                parts[info.name.rpartition(".")[2]] = file.read() if file else b""
                if len(parts) == 2:
                    yield parts["jpg"], int(parts["cls"])
                    parts = {}


def timed(stream: Iterator[int]) -> dict[str, float]:
    """Images of an epoch, images/s over all of it and from the first batch on, and seconds to that batch."""
    started = time.perf_counter()
    first = next(stream)
    begun = time.perf_counter()
    rest = sum(stream)
    ended = time.perf_counter()
    return {
        "images": first + rest,
        "whole": (first + rest) / (ended - started),
        "rest": rest / (ended - begun),
        "first": begun - started,
    }


def main(epoch: Epoch, write: Write | None = None, second: Epoch | None = None) -> None:
    """In the process of a loader: write its format, or read an epoch and print its times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--second", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--pattern")
    parser.add_argument("--batch-size", type=int)
    arguments = parser.parse_args()
    if not arguments.write:
        read = second if arguments.second else epoch
        if read is None:
            parser.error("--second: this loader keeps nothing on the disk")
        print(json.dumps(timed(read(Job(arguments.pattern, arguments.target, arguments.batch_size)))))
    elif write is None:
        parser.error("--write: this loader has no format of its own")
    else:
        write(arguments.data, arguments.target)
