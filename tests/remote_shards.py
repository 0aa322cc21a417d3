"""Three small shards and what is asked of any store that holds them."""

import numpy as np

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
