"""Tars for tests: written member by member, hostile ones included, and read by webdataset as the reference."""

import io
import tarfile
from pathlib import Path

from webdataset.tariterators import group_by_keys, tar_file_expander


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


def as_webdataset_reads(path):
    """What webdataset itself makes of a tar: [(key, {suffix: data})]."""
    with Path(path).open("rb") as stream:
        samples = list(group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}])))
    return [(s["__key__"], {k: v for k, v in s.items() if k not in ("__key__", "__url__")}) for s in samples]
