"""The installed package does what it is for: run by `release/check_dist.py`, outside the tree, in a clean environment.

In: nothing; it draws its images. Out: a line with the versions. Any failure is a traceback.
"""

import io
import platform
import subprocess
import sys
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from webdataset import TarWriter

import streamaug
from streamaug import Recipe, ShardReader, ShardSet, ops


def expect(holds: bool, what: str) -> None:
    """End with a message unless this holds."""
    if not holds:
        raise SystemExit(f"installed.py: {what}")


def write_shards(folder: Path) -> str:
    """Two shards of 32 drawn images."""
    rng = np.random.default_rng(0)
    for shard in range(2):
        with TarWriter(str(folder / f"train-{shard}.tar")) as tar:
            for row in range(32):
                file = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).save(file, "JPEG")
                tar.write({"__key__": f"{shard}{row:02d}", "jpg": file.getvalue(), "cls": row % 10})
    return str(folder / "train-{0..1}.tar")


def make_chain(url: str) -> streamaug.MixupOrCutMix:
    """A chain of every kind of stage that a training has."""
    recipe = Recipe([ops.RandomResizedCrop(64), ops.HorizontalFlip(), ops.Rotate(degrees=10), ops.GaussianBlur()])
    reader = ShardReader(ShardSet.open(url), batch_size=8, seed=3)
    return reader.augment(recipe, device="cpu", num_threads=2).mixup_or_cutmix(num_classes=10)


def main() -> None:
    """Try the package, its command, and exact resume."""
    warnings.simplefilter("error")
    home = Path(streamaug.__file__).resolve()
    expect(home.is_relative_to(Path(sys.prefix).resolve()), f"streamaug must be the installed one, got {home}")
    expect((home.parent / "py.typed").exists(), "py.typed must be installed")
    command = str(Path(sys.prefix) / "bin" / "streamaug")
    text = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    expect("make-shards" in text, "streamaug --help must list make-shards")
    with tempfile.TemporaryDirectory() as folder:
        url = write_shards(Path(folder))
        subprocess.run([command, "index", url], capture_output=True, check=True)
        whole = [batch.images for batch in make_chain(url)]
        first, second = make_chain(url), make_chain(url)
        stream = iter(first)
        head = [next(stream).images for _ in range(3)]
        second.load_state_dict(first.state_dict())
        parts = [*head, *(batch.images for batch in second)]
        expect(len(whole) == len(parts) == len(first), f"an epoch must have {len(first)} batches, got {len(whole)}")
        expect(all(map(torch.equal, whole, parts)), "a resumed run must be the unbroken one")
        first.close()
    found = {name: metadata.version(name) for name in ("streamaug", "torch", "nvidia-dali-cuda120", "numpy", "pillow")}
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    print(f"Python {platform.python_version()}: import, command, a chain, resume; {versions}")


if __name__ == "__main__":
    main()
