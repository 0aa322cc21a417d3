"""Three small shards and what is asked of any store that holds them."""

import numpy as np
from reading import reader, rows

NAMES = [f"x-{i:06d}.tar" for i in range(3)]


def ranges(data, count, seed=0):
    rng = np.random.default_rng(seed)
    for start in rng.integers(0, len(data) - 1, count).tolist():
        yield start, min(len(data), start + int(rng.integers(1, 300_000)))


def check_bytes(storage, base, folder, count=20):
    for name in NAMES:
        data = (folder / name).read_bytes()
        assert storage.size(base + name) == len(data)
        for start, stop in ranges(data, count):
            assert bytes(storage.read(base + name, start, stop)) == data[start:stop]


def epoch_of(shards):
    """The rows of an epoch, for a process of its own too."""
    with reader(shards, batch_size=20, lanes=4, window=32) as one:
        return rows(one)
