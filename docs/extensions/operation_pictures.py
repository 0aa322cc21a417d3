"""Pictures of what operations make of one photograph, by the chain that trains.

In: operations, as Python text. Out: a strip, the photograph and then four draws of the operations; or a sheet with one
picture of each operation of `docs/gallery.md`, which `python docs/extensions/operation_pictures.py` writes.
"""

import dataclasses
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from webdataset import TarWriter

from streamaug import Annotations, Output, Recipe, ShardReader, ShardSet, ops
from streamaug.errors import RecipeError

DOCS = Path(__file__).resolve().parents[1]
#: Chelsea, by Stéfan van der Walt, who gave it to the public domain (CC0); 451×300 pixels.
PHOTOGRAPH = DOCS / "images" / "cat.jpg"
#: Left, top, right and bottom of the cat's face, for operations that keep boxes.
FACE = (105.0, 25.0, 330.0, 245.0)
DRAWS, HEIGHT, GAP = 4, 160, 8


@dataclass(frozen=True)
class Example:
    """The operations of a recipe, and the text that makes them."""

    code: str
    operations: tuple[ops.Operation, ...]

    @classmethod
    def of(cls, code: str) -> "Example":
        """The example that this text makes; it may use `ops`."""
        made = eval(code, {"ops": ops})  # noqa: S307 (it is a page of this repository)
        return cls(code, made if isinstance(made, tuple) else (made,))

    @property
    def recipe(self) -> Recipe:
        """As a recipe of gray levels."""
        return Recipe(list(self.operations), output=Output(dtype="uint8"))

    @property
    def keeps_boxes(self) -> bool:
        """Whether it needs annotations."""
        return any(isinstance(each, ops.Geometric) and each.keeps_boxes for each in self.operations)

    @property
    def is_random(self) -> bool:
        """Whether two samples may come out different."""
        return any(each.draws or getattr(each, "probability", 1.0) < 1 for each in self.operations)


def examples(page: Path = DOCS / "gallery.md") -> Iterator[tuple[str, Example]]:
    """(name, example) of every operation of the page."""
    for name, code in re.findall(r"^```\{operation\} (\w+)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        yield name, Example.of(code)


def draws(example: Example, count: int = DRAWS) -> list[Image.Image]:
    """What the operations make of the photograph, so many times."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/cat.tar"
        with TarWriter(path) as tar:
            for number in range(count):
                note = json.dumps({"boxes": [FACE], "labels": [0]}).encode()
                sample = {"__key__": f"cat{number}", "jpg": PHOTOGRAPH.read_bytes(), "cls": 0, "json": note}
                tar.write(sample)
        components = ("jpg", "cls", "json") if example.keeps_boxes else ("jpg", "cls")
        reader = ShardReader(ShardSet.open(path, components=components), batch_size=count, shuffle=False, seed=4)
        notes = Annotations(component="json") if example.keeps_boxes else None
        chain = reader.augment(example.recipe, device="cpu", num_threads=1, annotations=notes)
        with chain:
            batch = next(iter(chain))
        images = batch.images.permute(0, 2, 3, 1).numpy()
        boxes = [None] * count if batch.boxes is None else [np.asarray(each) for each in batch.boxes]
    return [framed(Image.fromarray(image), box) for image, box in zip(images, boxes, strict=True)]


def framed(image: Image.Image, boxes: np.ndarray | None) -> Image.Image:
    """The image with its boxes drawn."""
    for box in [] if boxes is None else boxes.tolist():
        ImageDraw.Draw(image).rectangle(box, outline=(255, 200, 0), width=2)
    return image


def strip(example: Example) -> Image.Image:
    """The photograph, then the draws beside it; a single one where nothing is random."""
    photograph = Image.open(PHOTOGRAPH).convert("RGB")
    if example.keeps_boxes:
        photograph = framed(photograph, np.array([FACE]))
    tiles = [fitted(photograph), *map(fitted, draws(example, DRAWS if example.is_random else 1))]
    width = sum(tile.width + GAP for tile in tiles) - GAP
    out = Image.new("RGBA", (width, max(tile.height for tile in tiles)))
    left = 0
    for tile in tiles:
        out.paste(tile, (left, 0))
        left += tile.width + GAP
    return out


def fitted(image: Image.Image) -> Image.Image:
    """Reduced to the strip's height, where it is higher."""
    if image.height <= HEIGHT:
        return image
    return image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.LANCZOS)


def sheet(columns: int = 6, side: int = 128, line: int = 22) -> Image.Image:
    """Every operation's first draw, with its name, in rows."""
    found = list(examples())
    rows = -(-len(found) // columns)
    out = Image.new("RGB", (columns * (side + GAP) - GAP, rows * (side + line + GAP) - GAP), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(13)
    for number, (name, example) in enumerate(found):
        left, top = number % columns * (side + GAP), number // columns * (side + line + GAP)
        tile = draws(surely(example), 1)[0]
        tile.thumbnail((side, side))
        out.paste(tile, (left + (side - tile.width) // 2, top + (side - tile.height) // 2))
        pen.text((left + side / 2, top + side + line / 2), name, fill="black", font=font, anchor="mm")
    return out


def surely(example: Example) -> Example:
    """The example with operations that act on every sample."""
    changed = tuple(certain(each) for each in example.operations)
    return Example(example.code, changed)


def certain(operation: ops.Operation) -> ops.Operation:
    """The operation with probability 1, if it has one."""
    try:
        return dataclasses.replace(operation, probability=1.0)  # type: ignore[call-arg]
    except (TypeError, RecipeError):
        return operation


if __name__ == "__main__":
    sheet().save(DOCS / "images" / "operations.webp", quality=75, method=6)
