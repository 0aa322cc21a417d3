"""Tars for tests: written member by member, hostile ones included, and read by webdataset as the reference."""

import io
import tarfile
from pathlib import Path

from webdataset.tariterators import group_by_keys, tar_file_expander

from streamaug.shards.index import group
from streamaug.shards.tar import members


def write_tar(path, members, tar_format=tarfile.USTAR_FORMAT):
    """A tar of (name, data) pairs; data None is a directory, a TarInfo is added as it stands."""
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if data is None:
                info.type = tarfile.DIRTYPE
            info.size = len(data or b"")
            tar.addfile(info, io.BytesIO(data or b""))
    return Path(path)


def pairs(count, size=700, start=0):
    """`count` samples of a pretended image and a label."""
    out = []
    for i in range(start, start + count):
        out += [(f"k{i:05d}.jpg", bytes([i % 251]) * (size + i)), (f"k{i:05d}.cls", str(i % 10).encode())]
    return out


def write_tars(folder, listings, digits=1):
    """One tar for each list of members: x-0.tar and so on, its number in that many digits; returns the folder."""
    for number, listing in enumerate(listings):
        write_tar(folder / f"x-{number:0{digits}d}.tar", listing)
    return folder


def samples_of(path):
    """The samples that we find in a tar."""
    with path.open("rb") as file:
        return list(group(members(file, str(path), path.stat().st_size), str(path)))


def consecutive(counts, size=700):
    """Members of that many samples for each tar; the samples are numbered through."""
    starts = [sum(counts[:number]) for number in range(len(counts))]
    return [pairs(count, size, start) for count, start in zip(counts, starts, strict=True)]


def random_samples(random, count, sizes, prefix):
    """Members of samples whose images are random bytes, sizes (low, high) of them, and whose labels count up."""
    members = []
    for i in range(count):
        image = random.bytes(int(random.integers(*sizes)))
        members += [(f"{prefix}{i:03d}.jpg", image), (f"{prefix}{i:03d}.cls", b"%d" % i)]
    return members


def as_webdataset_reads(path):
    """What webdataset itself makes of a tar: [(key, {suffix: data})]."""
    with Path(path).open("rb") as stream:
        samples = list(group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])))
    return [(s["__key__"], {k: v for k, v in s.items() if k not in ("__key__", "__url__")}) for s in samples]
