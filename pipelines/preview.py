"""Draws a batch on its way to the model: a grid of some images as stored, augmented, their partners, and mixed with λ.

    python preview.py --shards 'demo/data/train-{000000..000007}.tar' --output preview.png

The rows come from three separate chains. They show the same images because a batch is a pure function of (seed, epoch,
position): the chains agree without sharing anything.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from streamaug import Batch, EncodedBatch, ShardReader, ShardSet, recipes
from streamaug.recipes.imagenet import IMAGENET_MEAN, IMAGENET_STD

TILE, GAP, MARGIN, CAPTION, TITLE = 160, 16, 136, 42, 68
PAPER, INK, FAINT = (255, 255, 255), (28, 32, 38), (110, 118, 128)
STEPS = ("as stored", "augmented", "partner", "mixed")


def batches(shards: ShardSet, *, size: int, classes: int, seed: int) -> tuple[EncodedBatch, Batch, Batch]:
    """The first batch of 64 as stored, augmented, and mixed."""

    def reader() -> ShardReader:
        return ShardReader(shards, batch_size=64, seed=seed)

    recipe = recipes.imagenet_train(size=size, scale=(0.35, 1.0))
    augmented = reader().augment(recipe, device="cpu")
    mixed = reader().augment(recipe, device="cpu").mixup_or_cutmix(num_classes=classes)
    return next(iter(reader())), next(iter(augmented)), next(iter(mixed))


def telling_rows(batch: Batch, count: int) -> list[int]:
    """The rows whose λ is nearest to a half, Mixup and CutMix in turn, at most one of a pair."""
    if batch.mix is None:
        return list(range(count))
    plan = batch.mix
    chosen: list[int] = []
    order = np.argsort(np.abs(plan.lam - 0.5), kind="stable").tolist()
    for cut in [False, True] * (count // 2):
        taken = {*chosen, *plan.partner[chosen].tolist()}
        chosen.append(next(row for row in order if row not in taken and bool(plan.is_cutmix[row]) == cut))
    return chosen


def picture(image: torch.Tensor) -> Image.Image:
    """A normalised (3, H, W) tensor as an image."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = (image * std + mean).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((TILE, TILE), Image.Resampling.NEAREST)


def fitted(image: Image.Image) -> Image.Image:
    """The whole image inside a tile."""
    tile = Image.new("RGB", (TILE, TILE), (236, 239, 242))
    image.thumbnail((TILE, TILE))
    tile.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return tile


class Page:
    """A white page with a pen; λ is drawn by hand, since the font that Pillow carries has Latin letters only."""

    def __init__(self, columns: int, rows: int) -> None:
        size = (MARGIN + columns * (TILE + GAP) + GAP, TITLE + rows * (TILE + CAPTION + GAP))
        self.image = Image.new("RGB", size, PAPER)
        self._pen = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, text: str, *, size: int = 15, color: tuple[int, int, int] = INK) -> None:
        """Write one line, (x, y) its top left."""
        font = ImageFont.load_default(size)
        for number, part in enumerate(text.split("λ")):
            if number:
                top, foot, width = y + size * 0.22, y + size * 0.95, size * 0.5
                self._pen.line((x + 1, top, x + width, foot), fill=color, width=max(2, size // 9))
                self._pen.line(
                    (x + width * 0.48, top + (foot - top) * 0.4, x, foot), fill=color, width=max(2, size // 9)
                )
                x += width + size * 0.12
            self._pen.text((x, y), part, fill=color, font=font)
            x += font.getlength(part)

    @staticmethod
    def _fitting(text: str) -> tuple[str, int]:
        """The text with the largest size at which it is no wider than a tile, its end cut off where none is."""
        for size in range(15, 10, -1):
            if ImageFont.load_default(size).getlength(text) <= TILE:
                return text, size
        font, kept = ImageFont.load_default(11), text
        while font.getlength(f"{kept} ...") > TILE:
            kept = kept[:-1]
        return f"{kept} ...", 11

    def tile(self, column: int, row: int, image: Image.Image, lines: Sequence[str]) -> None:
        """Place an image with up to two lines below it."""
        x, y = MARGIN + column * (TILE + GAP), TITLE + row * (TILE + CAPTION + GAP)
        self.image.paste(image, (x, y))
        for number, (line, color) in enumerate(zip(lines, (INK, FAINT), strict=False)):
            text, font_size = self._fitting(line)
            self.text(x, y + TILE + 4 + 18 * number, text, size=font_size, color=color)


def draw(shards: ShardSet, names: Sequence[str], *, size: int = 160, columns: int = 6, seed: int = 0) -> Image.Image:
    """The grid, with a column for each image."""
    encoded, augmented, mixed = batches(shards, size=size, classes=len(names), seed=seed)
    plan, targets = mixed.mix, augmented.targets
    if plan is None or targets is None:
        raise ValueError("preview: needs shards with labels, got none. Give shards with .cls members.")
    page = Page(columns, len(STEPS))
    page.text(MARGIN, 18, "One batch on its way to the model", size=24)
    for row, step in enumerate(STEPS):
        page.text(16, TITLE + row * (TILE + CAPTION + GAP) + TILE / 2 - 10, step, size=19)
    for column, row in enumerate(telling_rows(mixed, columns)):
        partner = int(plan.partner[row])
        name, other = names[int(targets[row])], names[int(targets[partner])]
        stored = Image.open(io.BytesIO(bytes(encoded.data[row]))).convert("RGB")
        width, height = stored.size
        page.tile(column, 0, fitted(stored), [name, f"{width} x {height}"])
        page.tile(column, 1, picture(augmented.images[row]), ["crop, flip", f"{size} x {size}"])
        page.tile(column, 2, picture(augmented.images[partner]), [other])
        lam = float(plan.lam[row])
        caption = f"{'CutMix' if plan.is_cutmix[row] else 'Mixup'}  λ = {lam:.2f}"
        page.tile(column, 3, picture(mixed.images[row]), [caption, f"{lam:.0%} {name}, {1 - lam:.0%} {other}"])
    return page.image


def main() -> int:
    """Draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", required=True, help="labelled shards, a path or URL with braces")
    parser.add_argument("--classes", type=Path, help="a text file with a class name a line; default: numbers up to 999")
    parser.add_argument("--output", type=Path, default=Path("preview.png"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    names = args.classes.read_text().splitlines() if args.classes else [f"class {number}" for number in range(1000)]
    draw(ShardSet.open(args.shards), names, seed=args.seed).save(args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
