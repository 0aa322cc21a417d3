"""Samples written to disk as shards, numbered as data sets are."""

from tars import write_tar


def write_shard(path, samples):
    """A shard of .jpg and .cls members of (key, label, jpeg) rows."""
    members = []
    for key, label, jpeg in samples:
        members += [(f"{key}.jpg", jpeg), (f"{key}.cls", str(label).encode())]
    return write_tar(path, members)


def write_shards(folder, name, samples, sizes):
    """The samples in listed order in shards of these sizes; returns the brace URL of name-000000.tar and so on."""
    start = 0
    for number, size in enumerate(sizes):
        write_shard(folder / f"{name}-{number:06d}.tar", samples[start : start + size])
        start += size
    return str(folder / f"{name}-{{000000..{len(sizes) - 1:06d}}}.tar")
