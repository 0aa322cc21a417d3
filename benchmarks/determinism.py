"""The batches of a killed training after its resume, by loader: the same protocol for each, set up as documented.

In: 500 real images at 64² (default: those beside the checkout), and environments of the peers' own, made by

    python benchmarks/peers/environments.py build/peers grain litdata megatron-energon mosaicml-streaming
    python benchmarks/determinism.py --peers build/peers

One epoch of global batches of 48 rows. A training on 2 ranks runs without a break. Another one saves after half of
the epoch, goes on for one batch, and each of its ranks is killed; 3 ranks go on from what the 2 had saved, and 2 ranks
do. Rows are compared with those of the unbroken run: the sample of each row of a global batch, its pixels before
mixing, its mixed target; and the numbers of rows of the epoch that were lost, or came twice. Then it is killed at 10%
and at 90%, and the seconds from the loader's construction to the first batch are taken. Each rank is a process. A peer
that does not run is "not run", with the reason. Out: benchmarks/results/determinism.json; `--table` writes the table of
docs/determinism.md.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "benchmarks" / "peers" / "resuming"
RESULT = ROOT / "benchmarks" / "results" / "determinism.json"
#: Both have the table.
PAGES = (ROOT / "docs" / "determinism.md", ROOT / "README.md")
BEGIN, END = "<!-- determinism: begin -->", "<!-- determinism: end -->"
GLOBAL_BATCH, SIDE, SHARDS = 48, 64, 20
#: Seconds that a life may take before its loader counts as hanging.
LIMIT = 1200


@dataclass(frozen=True)
class Peer:
    """A loader.

    Attributes:
        name: Its name in the table.
        program: Its module in benchmarks/peers/resuming.
        environment: The folder of its environment below --peers; None: this interpreter.
        package: The package whose version is reported.
        needs: The settings that must stay the same for its rows to stay the same, by this protocol and its
            documentation.
    """

    name: str
    program: str
    environment: str | None
    package: str
    needs: str


PEERS = (
    Peer("streamaug", "ours", None, "streamaug", "the global batch, an even batch on each rank"),
    Peer("DALI", "dali_webdataset", None, "nvidia-dali-cuda120", "ranks, batch, graph"),
    Peer("mosaicml-streaming", "mosaicml_streaming", "mosaicml-streaming", "mosaicml-streaming", "the global batch"),
    Peer("litdata", "litdata_stream", "litdata", "litdata", "ranks (its README: the global batch)"),
    Peer(
        "Megatron-Energon",
        "energon_loader",
        "megatron-energon",
        "megatron-energon",
        "micro-batch, number of all workers",
    ),
    Peer("grain", "grain_elastic", "grain", "grain", "the global batch"),
    Peer("torchdata", "stateful_dataloader", None, "torchdata", "ranks, batch, workers"),
    Peer("webdataset", "webdataset_pipe", None, "webdataset", "no state"),
)


class NotRunError(RuntimeError):
    """A peer's program failed."""


def shards(source: Path, target: Path) -> int:
    """Write the images at SIDE² in tars whose keys and classes are numbers; returns how many there are."""
    from PIL import Image

    sys.path.insert(0, str(PROGRAMS))
    images = []
    for path in sorted(source.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            names = sorted(name for name in tar.getnames() if name.endswith(".jpg"))
            images += [tar.extractfile(name).read() for name in names]  # type: ignore[union-attr]
    if not images:
        raise SystemExit(f"--data: must hold train-*.tar with images, {source} has none. Name a folder of shards.")
    size = -(-len(images) // SHARDS)
    for number in range(SHARDS):
        with tarfile.open(target / f"train-{number:03d}.tar", "w") as tar:
            for at in range(number * size, min(len(images), (number + 1) * size)):
                file = io.BytesIO()
                Image.open(io.BytesIO(images[at])).convert("RGB").resize((SIDE, SIDE)).save(file, "JPEG", quality=90)
                for suffix, data in (("jpg", file.getvalue()), ("cls", b"%d" % at)):
                    info = tarfile.TarInfo(f"{at:05d}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return len(images)


Row = tuple[int, str, str]  # sample, digests of pixels and target


class Trial:
    """Runs the program of one peer.

    Args:
        peer: The loader.
        python: Its interpreter.
        tars: The folder of the images.
        scratch: A folder of its own.
        steps: Global batches of an epoch.
    """

    def __init__(self, peer: Peer, python: str, tars: Path, scratch: Path, steps: int) -> None:
        self.peer, self.python, self.scratch, self.steps = peer, python, scratch, steps
        # Some write beside the tars: each has its own.
        self.tars = scratch / "tars"
        shutil.copytree(tars, self.tars)
        self.data = scratch / "data"

    def start(self, asked: dict[str, Any], rank: int, world: int, port: int, output: Path) -> subprocess.Popen[bytes]:
        """A process of the peer's."""
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1, "CUDA_VISIBLE_DEVICES": ""}
        # Ranks that begin again must not use files of another trial under the user's home or in shared memory.
        variables |= {"HOME": self.scratch, "XDG_CACHE_HOME": self.scratch / "cache", "TMPDIR": self.scratch}
        environment = os.environ | {name: str(value) for name, value in variables.items()}
        paths = [PROGRAMS.parent, *([ROOT] if self.python == sys.executable else ())]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        command = [self.python, str(PROGRAMS / f"{self.peer.program}.py"), json.dumps(asked)]
        with output.open("wb") as file:
            return subprocess.Popen(command, stdout=file, stderr=file, env=environment, process_group=0)

    def prepare(self) -> None:
        """Have the peer write its own format."""
        output = self.scratch / "prepare.txt"
        process = self.start({"what": "prepare", "tars": str(self.tars), "data": str(self.data)}, 0, 1, 0, output)
        try:
            if process.wait(LIMIT):
                raise NotRunError(reason(output))
        finally:
            process.kill()

    def live(self, name: str, world: int, *, save_at: int | None = None, before: Path | None = None) -> Path:
        """One life of a training; returns the folder with its rows, and its states where it was killed."""
        (folder := self.scratch / name).mkdir()
        asked = {"what": "train", "tars": str(self.tars), "data": str(self.data), "folder": str(folder)}
        asked |= {"global_batch": GLOBAL_BATCH, "steps": self.steps, "save_at": save_at}
        asked |= {"before": None if before is None else str(before)}
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        outputs = [folder / f"output-{rank}" for rank in range(world)]
        processes = [self.start(asked, rank, world, port, outputs[rank]) for rank in range(world)]
        try:
            for rank, process in enumerate(processes):
                code = process.wait(LIMIT)
                if code != (0 if save_at is None else -9):
                    raise NotRunError(reason(outputs[rank]) or f"exit code {code}")
        except subprocess.TimeoutExpired as error:
            raise NotRunError(f"it did not end within {LIMIT} s: {reason(outputs[0])}") from error
        finally:
            for process in processes:
                # Workers of some loaders outlive a rank that was killed.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return folder


def reason(output: Path) -> str:
    """The last line that a program printed."""
    lines = [line.strip() for line in output.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def rows(folder: Path) -> list[list[Row]]:
    """The rows of each global batch, over all ranks; batches smaller than a global batch are put together."""
    ranks = [
        [[tuple(row) for row in json.loads(line)] for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("rows-*.jsonl"))
    ]
    together: list[list[Row]] = []
    for number in range(max(map(len, ranks), default=0)):
        step = [row for rank in ranks if number < len(rank) for row in rank[number]]
        if together and len(together[-1]) + len(step) <= GLOBAL_BATCH:
            together[-1] += step
        else:
            together.append(step)
    return together


def compare(unbroken: list[list[Row]], before: list[list[Row]], after: list[list[Row]], saved: int) -> dict[str, Any]:
    """Shares of rows after the resume that are as in the unbroken run, and the epoch's rows lost or twice."""
    expected = unbroken[saved:]
    count = sum(map(len, expected))
    order = sum(
        (Counter(row[0] for row in one) & Counter(row[0] for row in other)).total()
        for one, other in zip(expected, after, strict=False)
    )
    wanted, given = [row for step in expected for row in step], [row for step in after for row in step]
    pixels = (Counter(row[:2] for row in wanted) & Counter(row[:2] for row in given)).total()
    targets = (Counter((row[0], row[2]) for row in wanted) & Counter((row[0], row[2]) for row in given)).total()
    whole = Counter(row[0] for step in unbroken for row in step)
    epoch = Counter(row[0] for step in before[:saved] + after for row in step)
    return {
        "rows": count,
        "same_global_batch": order / count,
        "same_pixels": pixels / count,
        "same_mixed_targets": targets / count,
        "lost": (whole - epoch).total(),
        "twice": (epoch - whole).total() - sum(1 for sample in epoch if sample not in whole),
        "others": sum(1 for sample in epoch if sample not in whole),
    }


def seconds(folder: Path) -> dict[str, float]:
    """From the construction of the loader to the first batch, of the slowest rank; and CPU seconds of its process."""
    firsts = [json.loads(path.read_text()) for path in folder.glob("first-*.json")]
    return {name: max(first[name] for first in firsts) for name in ("seconds", "cpu")}


def try_peer(trial: Trial, rounds: int, together: int) -> dict[str, Any]:
    """The whole protocol for one loader, with several lives at once where none waits for another."""
    steps = trial.steps
    half, shares = steps // 2, {"10%": max(1, steps // 10), "90%": steps * 9 // 10}
    out: dict[str, Any] = {"version": version(trial.python, trial.peer.package)}
    with ThreadPoolExecutor(together) as pool:
        try:
            trial.prepare()
            whole, stopped = pool.submit(trial.live, "unbroken", 2), pool.submit(trial.live, "half", 2, save_at=half)
            earlier = {share: pool.submit(trial.live, share, 2, save_at=at) for share, at in shares.items()}
            unbroken, killed = rows(whole.result()), stopped.result()
        except NotRunError as error:
            return out | {"not_run": str(error)}
        out["rows_an_epoch"] = sum(map(len, unbroken))
        out["rows_before_as_unbroken"] = rows(killed)[:half] == unbroken[:half]
        resumed = {ranks: pool.submit(trial.live, f"on{ranks}", ranks, before=killed) for ranks in (3, 2)}
        for ranks, life in resumed.items():
            try:
                out[f"on_{ranks}"] = compare(unbroken, rows(killed), rows(life.result()), half)
            except NotRunError as error:
                out[f"on_{ranks}"] = {"refused": str(error)}
        ranks = 2 if "refused" in out["on_3"] else 3
        out["resume"] = {"ranks": ranks}
        for share, life in earlier.items():
            try:
                names = [f"{share}-{number}" for number in range(rounds)]
                goes_on = [pool.submit(trial.live, name, ranks, before=life.result()) for name in names]
                taken = [seconds(one.result()) for one in goes_on]
                out["resume"][share] = {name: statistics.median(one[name] for one in taken) for name in taken[0]}
            except (NotRunError, ValueError) as error:
                out["resume"][share] = {"refused": str(error)}
    return out


def version(python: str, package: str) -> str:
    """The installed version of a package."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


def main() -> int:
    """Run the protocol on every loader, or write the table again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imagenet-sample")
    parser.add_argument("--peers", type=Path, help="the folder of environments.py; peers without one are not run")
    parser.add_argument("--only", nargs="+", help="programs of benchmarks/peers/resuming; the others keep their result")
    parser.add_argument("--rounds", type=int, default=3, help="resumes that are timed")
    parser.add_argument("--together", type=int, default=1, help="lives of a loader that run at once; CPU seconds stay")
    parser.add_argument("--table", action="store_true", help="write the table from the result, and run nothing")
    parser.add_argument("--keep", type=Path, help="a folder for what the processes wrote; else it is deleted")
    arguments = parser.parse_args()
    if not arguments.table:
        with tempfile.TemporaryDirectory() as folder:
            measure(arguments, arguments.keep or Path(folder))
    for page in PAGES:
        head, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{head}{BEGIN}\n{table(json.loads(RESULT.read_text()))}{END}{rest.partition(END)[2]}")
    return 0


def measure(arguments: argparse.Namespace, scratch: Path) -> None:
    """Run the loaders, one after the other, and keep their results."""
    sys.path.insert(0, str(PROGRAMS.parent))
    from environments import python_of
    from harness import save

    (tars := scratch / "tars").mkdir(parents=True)
    steps = shards(arguments.data, tars) // GLOBAL_BATCH
    for peer in PEERS:
        if arguments.only and peer.program not in arguments.only:
            continue
        python = sys.executable if peer.environment is None else python_of(arguments.peers, peer.environment)
        print(peer.name, flush=True)
        if python is None:
            found = {"not_run": "it has no environment below --peers"}
        else:
            (folder := scratch / peer.program).mkdir()
            found = try_peer(Trial(peer, python, tars, folder, steps), arguments.rounds, arguments.together)
        print(json.dumps(found, indent=1), flush=True)
        known = json.loads(RESULT.read_text())["loaders"] if RESULT.exists() else {}
        known[peer.name] = found
        ordered = {one.name: known[one.name] for one in PEERS if one.name in known}
        save(
            "determinism",
            {"loaders": ordered, "global_batch": GLOBAL_BATCH, "ranks": [2, 3], "rounds": arguments.rounds},
        )


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    head = "same batch, pixels, mixed target"
    titles = ["loader", f"on 3 ranks: {head}", "lost, twice", f"on 2 ranks: {head}", "lost, twice"]
    titles += ["what must stay the same", "CPU s to the first batch from 10%, 90%"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    needs = {peer.name: peer.needs for peer in PEERS}
    for name, row in result["loaders"].items():
        title = f"{name} {row.get('version', '')}".strip()
        if "not_run" in row:
            lines.append(f"| {title} | not run: {row['not_run']} | | | | | |")
            continue
        cells = [cell for ranks in (3, 2) for cell in compared(row[f"on_{ranks}"])]
        times = [row["resume"][share] for share in ("10%", "90%")]
        first = ", ".join("–" if "refused" in one else f"{one['cpu']:.1f}" for one in times)
        lines.append(f"| {title} | {' | '.join(cells)} | {needs[name]} | {first} |")
    return "\n".join(lines) + "\n"


def compared(row: dict[str, Any]) -> list[str]:
    """Two cells: shares, and rows lost and twice."""
    if "refused" in row:
        return [f"refused: {row['refused'].replace('|', '/')}", "–"]
    shares = (row[name] for name in ("same_global_batch", "same_pixels", "same_mixed_targets"))
    return [", ".join(f"{share:.0%}" for share in shares), f"{row['lost']}, {row['twice']}"]


if __name__ == "__main__":
    sys.exit(main())
