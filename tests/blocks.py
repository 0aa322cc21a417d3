"""Blocks of known bytes, and what a folder of them takes up."""

import numpy as np

from streamaug.storage.options import CACHE_BLOCK


def block(number, size=CACHE_BLOCK):
    """The bytes of one, random and always the same."""
    return memoryview(np.random.default_rng(number).bytes(size))


def on_disk(folder):
    """As `du` adds it up."""
    return sum(max(f.stat().st_size, 512 * f.stat().st_blocks) for f in folder.rglob("*") if f.is_file())
