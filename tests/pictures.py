"""Small pictures made from nothing, the same each time."""

import numpy as np
from PIL import Image


def pictures(count=12, height=96, width=128):
    """uint8 (height, width, 3) arrays: smooth and colourful, with a little texture and all levels."""
    random = np.random.default_rng(7)
    found = []
    for _ in range(count):
        small = random.integers(0, 256, (*random.integers(3, 12, 2), 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), np.int16)
        texture = random.integers(-12, 13, smooth.shape)
        found.append(np.clip(smooth + texture, 0, 255).astype(np.uint8))
    return found
