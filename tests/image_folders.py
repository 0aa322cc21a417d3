"""Image folders for tests, and what is in the shards that were made of them."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from streamaug import ShardSet


def image(number=0, kind="JPEG", width=40, height=32, mode="RGB", **options):
    """The bytes of a smooth picture of its own."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
    file = io.BytesIO()
    coarse.resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(file, kind, **options)
    return file.getvalue()


def write_files(root, files):
    """Write {path: bytes} below a folder."""
    for name, data in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(root)


def pets(count=24):
    """{path: bytes} of three classes of JPEGs."""
    names = ("ant", "bee", "cat")
    return {f"{names[i % 3]}/photo{i:03d}.jpg": image(i, width=40 + i) for i in range(count)}


def contents(folder):
    """{name: bytes} of all files of a folder, temporary ones included."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def samples(folder):
    """{key: {suffix: bytes}} of all shards that the manifest lists, in their order."""
    found = {}
    for item in json.loads(Path(folder, "index.json").read_text())["shardlist"]:
        with tarfile.open(Path(folder, item["url"])) as tar:
            for info in tar:
                head, _, name = info.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                key = f"{head}/{stem}" if head else stem
                assert suffix not in found.setdefault(key, {})
                found[key][suffix] = tar.extractfile(info).read()
    return found


def labels(folder):
    """{key: label} of all samples; None where there is none."""
    return {key: int(parts["cls"]) if "cls" in parts else None for key, parts in samples(folder).items()}


def opened(folder, **options):
    """The shard set of the folder's manifest."""
    return ShardSet.open(str(Path(folder, "index.json")), **options)
