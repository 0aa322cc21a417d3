"""Draws a small labelled JPEG data set as WebDataset shards, so that everything else runs without a download.

In: a folder, counts and a seed. Out: `train-{000000..000007}.tar` and `val-{000000..000001}.tar`, one `.jpg` and one
`.cls` member a sample, classes shuffled over the shards. The same arguments write the same bytes.
"""

import argparse
import io
import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image, ImageDraw, ImageFilter

Points = list[tuple[float, float]]

OVERSAMPLING = 2  # masks are drawn this much larger and reduced: smooth edges


def regular(corners: int, inner: float = 1.0) -> Points:
    """A regular polygon about the origin with circumradius 1; with inner < 1 a star of that inner radius."""
    count = corners if inner == 1.0 else 2 * corners
    radii = [1.0 if inner == 1.0 or i % 2 == 0 else inner for i in range(count)]
    return [
        (r * math.sin(2 * math.pi * i / count), -r * math.cos(2 * math.pi * i / count)) for i, r in enumerate(radii)
    ]


def polygon(points: Points) -> Callable[[float], Image.Image]:
    """A function of the radius in pixels that draws the polygon as a gray mask."""

    def draw(radius: float) -> Image.Image:
        mask, pen, middle = blank(radius)
        pen.polygon([(middle + radius * x, middle + radius * y) for x, y in points], fill=255)
        return mask

    return draw


def blank(radius: float) -> tuple[Image.Image, ImageDraw.ImageDraw, float]:
    """An empty square mask for a disc of that radius, a pen for it, and the coordinate of its centre."""
    side = 2 * math.ceil(radius) + 4
    mask = Image.new("L", (side, side))
    return mask, ImageDraw.Draw(mask), side / 2


def disc(radius: float) -> Image.Image:
    """A disc."""
    return with_hole(radius, 0.0)


def ring(radius: float) -> Image.Image:
    """A disc with a round hole of half its size."""
    return with_hole(radius, 0.55)


def with_hole(radius: float, hole: float) -> Image.Image:
    """A disc with a concentric hole of that relative radius."""
    mask, pen, middle = blank(radius)
    for r, fill in ((radius, 255), (radius * hole, 0)):
        if r > 0:
            pen.ellipse((middle - r, middle - r, middle + r, middle + r), fill=fill)
    return mask


def bars(radius: float) -> Image.Image:
    """Four parallel bars that fill a square."""
    mask, pen, middle = blank(radius)
    side = radius * 0.75
    for i in range(4):
        top = middle - side + 2 * side * i / 3.5
        pen.rectangle((middle - side, top, middle + side, top + side / 3.5), fill=255)
    return mask


def dots(radius: float) -> Image.Image:
    """Six small discs on a circle, one in its centre."""
    mask, pen, middle = blank(radius)
    size = radius * 0.22
    for x, y in [(0.0, 0.0), *regular(6)]:
        cx, cy = (middle + (radius - size) * v for v in (x, y))
        pen.ellipse((cx - size, cy - size, cx + size, cy + size), fill=255)
    return mask


def crescent(radius: float) -> Image.Image:
    """A disc less a shifted disc."""
    mask, pen, middle = blank(radius)
    pen.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=255)
    shift, inner = 0.45 * radius, 0.85 * radius
    left = middle + shift - inner
    pen.ellipse((left, middle - inner, left + 2 * inner, middle + inner), fill=0)
    return mask


CROSS: Points = [(x / 3, y / 3) for x, y in (
    (-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1), (1, 3), (-1, 3), (-1, 1), (-3, 1), (-3, -1), (-1, -1),
)]  # fmt: skip
CLASSES: dict[str, Callable[[float], Image.Image]] = {
    "disc": disc,
    "ring": ring,
    "crescent": crescent,
    "triangle": polygon(regular(3)),
    "square": polygon(regular(4)),
    "star": polygon(regular(5, inner=0.45)),
    "cross": polygon(CROSS),
    "gear": polygon(regular(9, inner=0.75)),
    "bars": bars,
    "dots": dots,
}


def field(rng: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    """A smooth random colour field, float32 (height, width, 3) in 0..255."""
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def silhouette(rng: np.random.Generator, draw: Callable[[float], Image.Image], width: int, height: int) -> np.ndarray:
    """The shape at a random position, size, tilt and slant, float32 (height, width, 1) in 0..1."""
    radius = min(width, height) * rng.uniform(0.28, 0.46)
    mask = draw(radius * OVERSAMPLING).rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR, expand=True)
    slant = rng.uniform(0.75, 1.0)
    size = (max(1, round(mask.width / OVERSAMPLING)), max(1, round(mask.height * slant / OVERSAMPLING)))
    mask = mask.resize(size, Image.Resampling.BOX)
    place = (
        round(rng.uniform(radius, width - radius) - mask.width / 2),
        round(rng.uniform(radius, height - radius) - mask.height / 2),
    )
    canvas = Image.new("L", (width, height))
    canvas.paste(mask, place)
    return np.asarray(canvas, np.float32)[..., None] / 255


def clutter(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Thin lines and small blobs that belong to no class, an RGBA layer."""
    layer = Image.new("RGBA", (width, height))
    pen = ImageDraw.Draw(layer)
    for _ in range(rng.integers(2, 7)):
        color = (*rng.integers(0, 256, 3).tolist(), int(rng.integers(120, 256)))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        if rng.random() < 0.5:
            pen.line((x, y, rng.uniform(0, width), rng.uniform(0, height)), fill=color, width=int(rng.integers(1, 5)))
        else:
            size = min(width, height) * rng.uniform(0.02, 0.08)
            pen.ellipse((x - size, y - size, x + size, y + size), fill=color)
    return layer


def draw_sample(rng: np.random.Generator, label: int) -> bytes:
    """One JPEG of the class: its shape over a busy ground, in colours at least somewhat unlike it."""
    width, height = (int(side) for side in rng.integers(112, 321, 2))
    ground = 128 + rng.uniform(0.2, 0.6) * (field(rng, width, height, cells=int(rng.integers(2, 5))) - 128)
    paint = field(rng, width, height, cells=2)
    mask = silhouette(rng, list(CLASSES.values())[label], width, height)
    inside = np.average(ground, axis=(0, 1), weights=np.broadcast_to(mask, ground.shape))
    contrast = rng.uniform(45, 110) * rng.choice((-1, 1))
    paint = 0.35 * paint + 0.65 * inside + contrast
    pixels = ground * (1 - mask) + paint * mask + rng.normal(0, rng.uniform(2, 16), (height, width, 1))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    layer = clutter(rng, width, height)
    image.paste(layer, mask=layer.getchannel("A"))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5)))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=int(rng.integers(70, 96)))
    return encoded.getvalue()


def write_shard(path: Path, split: str, labels: Sequence[int], start: int, seed: int) -> None:
    """Write one tar with a sample of each label, numbered from `start`; its bytes depend on the arguments alone."""
    path.with_suffix(".idx").unlink(missing_ok=True)  # the index of an older shard of this name would be wrong
    with webdataset.TarWriter(str(path), mtime=0, encoder=False) as tar:
        for number, label in enumerate(labels, start):
            jpeg = draw_sample(np.random.default_rng([seed, *split.encode(), number]), label)
            tar.write({"__key__": f"{split}{number:06d}", "jpg": jpeg, "cls": str(label).encode()})


def write_split(folder: Path, split: str, *, count: int, shards: int, seed: int) -> str:
    """Write `count` samples as `shards` tars, classes balanced and shuffled; returns their brace pattern."""
    labels = np.random.default_rng([seed, *split.encode()]).permutation(np.arange(count) % len(CLASSES)).tolist()
    borders = [count * i // shards for i in range(shards + 1)]
    with ProcessPoolExecutor() as pool:
        tasks = [
            pool.submit(write_shard, folder / f"{split}-{shard:06d}.tar", split, labels[start:stop], start, seed)
            for shard, (start, stop) in enumerate(itertools.pairwise(borders))
        ]
        for task in tasks:
            task.result()
    return f"{folder}/{split}-{{000000..{shards - 1:06d}}}.tar"


def write_demo_dataset(folder: Path, *, train: int = 2000, val: int = 500, seed: int = 0) -> tuple[str, str]:
    """Write the train split as 8 shards and the validation split as 2; returns their brace patterns."""
    folder.mkdir(parents=True, exist_ok=True)
    return (
        write_split(folder, "train", count=train, shards=8, seed=seed),
        write_split(folder, "val", count=val, shards=2, seed=seed),
    )


def main() -> int:
    """Write the data set and print where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="where the shards go")
    parser.add_argument("--train", type=int, default=2000, help="training images")
    parser.add_argument("--val", type=int, default=500, help="validation images")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(*write_demo_dataset(args.folder, train=args.train, val=args.val, seed=args.seed), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
