"""The speed of `streamaug make-shards` beside the machine's limit for the same work.

    python benchmarks/make_shards.py

In: real JPEGs, several times over, as an image folder. Copying is held against processes, as many as cores, that read
the same files and write their bytes to as many files as there are shards, and nothing else; reducing, against the same
processes reducing the images by Pillow and writing nothing. Each run ends with `sync`, so that the disk has it all.
Printed are images/s, and ours over the bound, by rounds; "command" is the program as it is started, its imports
included.
"""

import argparse
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from harness import Sample, interleaved, median_interval, ratio, save
from PIL import Image

from streamaug.making import MakeOptions, make_shards

ROOT = Path(__file__).resolve().parents[1]
SHARDS = 96


def prepare(folder: Path, data: Path, copies: int) -> list[Path]:
    """Write the images of all shards below `data`, `copies` times each, into a folder for each class."""
    paths = []
    for shard in sorted(data.glob("*.tar")):
        with tarfile.open(shard) as tar:
            files = {info.name: tar.extractfile(info).read() for info in tar}
        for name, jpeg in files.items():
            key, _, suffix = name.partition(".")
            if suffix != "jpg":
                continue
            inside = folder / files[f"{key}.cls"].decode()
            inside.mkdir(parents=True, exist_ok=True)
            for copy in range(copies):
                paths.append(inside / f"{Path(key).name}_{copy}.JPEG")
                paths[-1].write_bytes(jpeg)
    return paths


def ours(images: Path, output: Path, count: int, max_side: int | None) -> int:
    """One run of the function, into an empty folder."""
    options = MakeOptions(max_side=max_side)
    report = make_shards([images], output, options=options, say=lambda _: None)
    os.sync()
    if report.num_samples != count:
        raise RuntimeError(f"{report.num_samples} of {count} images were written")
    return count


def command(images: Path, output: Path, count: int, max_side: int | None) -> int:
    """One run of the command, into an empty folder."""
    program = "import sys; from streamaug.cli import main; sys.exit(main())"
    more = [] if max_side is None else ["--max-side", str(max_side)]
    arguments = [sys.executable, "-c", program, "make-shards", str(images), str(output), *more]
    subprocess.run(arguments, check=True, capture_output=True)
    os.sync()
    return count


def copied(output: Path, task: tuple[int, Sequence[Path]]) -> int:
    """Read files, and write their bytes one after the other to one."""
    number, paths = task
    with (output / f"{number:06d}").open("wb", buffering=1 << 20) as out:
        for path in paths:
            with path.open("rb", buffering=0) as file:
                out.write(file.readall())
    return len(paths)


def reduced(max_side: int, task: tuple[int, Sequence[Path]]) -> int:
    """Reduce images as the command does."""
    for path in task[1]:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            if max(image.size) > max_side:
                image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
                image.save(io.BytesIO(), "JPEG", quality=90)
    return len(task[1])


def bound(work: Callable[[tuple[int, Sequence[Path]]], int], paths: Sequence[Path]) -> int:
    """The bare work, by a process for each core."""
    tasks = [(number, paths[number::SHARDS]) for number in range(SHARDS)]
    with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        count = sum(pool.imap_unordered(work, tasks))
    os.sync()
    return count


class Work:
    """Work into a folder that is emptied before the clock starts."""

    def __init__(self, run: Callable[[], int], output: Path) -> None:
        self._run, self._output = run, output
        self._is_empty = False

    def warm(self) -> None:
        shutil.rmtree(self._output, ignore_errors=True)
        self._output.mkdir()
        os.sync()
        self._is_empty = True

    def __call__(self) -> int:
        if not self._is_empty:
            self.warm()
        self._is_empty = False
        return self._run()


def report(samples: dict[str, list[Sample]], arguments: argparse.Namespace) -> None:
    """Print and save."""
    pairs = {
        "copy": ("copy", "copy bound"),
        "copy, command": ("copy, command", "copy bound"),
        "reduce": ("reduce", "reduce bound"),
        "reduce, command": ("reduce, command", "reduce bound"),
    }
    for name, rows in samples.items():
        print(f"{name:16} images/s {median_interval([row.images_per_second for row in rows])}")
    shares = {name: ratio(samples, *pair)[0] for name, pair in pairs.items()}
    for name, share in shares.items():
        print(f"{name:16} of the bound: {share}")
    result = {
        "images": arguments.copies * 500,
        "max_side": arguments.max_side,
        "runs": {name: [asdict(row) for row in rows] for name, rows in samples.items()},
        "of_the_bound": {name: asdict(share) for name, share in shares.items()},
    }
    print(save("make_shards", result))


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imagenet-sample")
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-side", type=int, default=256)
    parser.add_argument("--scratch", type=Path, help="folder on the disk to measure (default: the system's temporary)")
    arguments = parser.parse_args()
    if not list(arguments.data.glob("*.tar")):
        print("needs shards in --data", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        images, output = Path(scratch, "images"), Path(scratch, "output")
        paths = prepare(images, arguments.data, arguments.copies)
        side, count = arguments.max_side, len(paths)
        works = {
            "copy bound": partial(bound, partial(copied, output), paths),
            "copy": partial(ours, images, output, count, None),
            "copy, command": partial(command, images, output, count, None),
            "reduce bound": partial(bound, partial(reduced, side), paths),
            "reduce": partial(ours, images, output, count, side),
            "reduce, command": partial(command, images, output, count, side),
        }
        report(interleaved({name: Work(work, output) for name, work in works.items()}, arguments.rounds), arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
