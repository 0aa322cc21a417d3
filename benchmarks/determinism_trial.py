"""The lives of one loader's training: processes of its program that begin, save, are killed, and go on.

In: a loader, the images as tars, a folder. Out: what its ranks write there, see `peers/resuming/protocol.py`; a program
that fails is a `NotRunError` with the last line that it printed.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from determinism_rows import GLOBAL_BATCH

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "benchmarks" / "peers" / "resuming"
SIDE, SHARDS = 64, 20
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
            images += [tar.extractfile(name).read() for name in names]
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
