"""What many tests share: real JPEGs where the data folder is beside the checkout, and uneven shards of them."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet-sample"
UNEVEN = (31, 1, 120, 64, 99, 7, 67)


def write_shard(path: Path, samples) -> Path:
    """Write (key, label, jpeg) rows as a shard of .jpg and .cls members."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, label, jpeg in samples:
            for suffix, data in (("jpg", jpeg), ("cls", str(label).encode())):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def drawn_samples(count: int, seed: int = 0):
    """(key, label, jpeg) of smooth coloured pictures in many sizes."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(count):
        height, width = rng.integers(80, 260, 2)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        file = io.BytesIO()
        coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(file, "JPEG", quality=88)
        out.append((f"drawn{i:05d}", int(rng.integers(1000)), file.getvalue()))
    return out


@pytest.fixture(scope="session")
def imagenet_sample():
    """500 (key, label, jpeg) of real ImageNet images."""
    if not DATA.exists():
        pytest.skip("the real images, ../shared/data/imagenet-sample, are not here")
    out = []
    for shard in sorted(DATA.glob("*.tar")):
        with tarfile.open(shard) as tar:
            label = None
            for info in tar:
                data = tar.extractfile(info).read()
                key, _, suffix = info.name.partition(".")
                if suffix == "cls":
                    label = int(data)
                else:
                    out.append((key, label, data))
    return out


@pytest.fixture(scope="session")
def drawn():
    """389 drawn (key, label, jpeg), the same on every machine."""
    return drawn_samples(sum(UNEVEN))


@pytest.fixture(scope="session")
def uneven(drawn, tmp_path_factory):
    """The drawn samples in seven shards of 1 to 120 samples; returns (brace url, samples in listed order)."""
    folder = tmp_path_factory.mktemp("uneven")
    start = 0
    for number, size in enumerate(UNEVEN):
        write_shard(folder / f"part-{number:06d}.tar", drawn[start : start + size])
        start += size
    return str(folder / "part-{000000..000006}.tar"), drawn
