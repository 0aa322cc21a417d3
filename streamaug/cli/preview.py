"""`streamaug preview RECIPE SHARDS`: what a recipe does to images of yours, as one picture.

A row a sample; columns: the whole image, each operation alone at the low end, the middle and the high end of its range,
then the whole recipe several times over, or each of its views. Boxes and keypoints are drawn where they are read.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamaug import recipes
from streamaug.cli.source import add_source, storage_options
from streamaug.errors import RecipeError
from streamaug.ops import Annotations, Output, Resize
from streamaug.ops.base import Geometric, Operation
from streamaug.recipe import Recipe
from streamaug.shards import ShardSet
from streamaug.stages.reader import ShardReader

if TYPE_CHECKING:
    from PIL import Image

    from streamaug.batch import Batch

TILE, GAP, HEAD, LEVELS = 128, 6, 40, (("low", 0.0), ("middle", 0.5), ("high", 1.0 - 2**-20))
NAMED: dict[str, Callable[[], Recipe]] = {
    "imagenet_train": recipes.imagenet_train,
    "imagenet_eval": recipes.imagenet_eval,
    "imagenet_tta": recipes.imagenet_tta,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help=f"{', '.join(NAMED)}; a .json file; or module:attribute")
    add_source(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("preview.png"), help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=4, help="samples (default: %(default)s)")
    parser.add_argument("--times", type=int, default=4, help="columns of the whole recipe (default: %(default)s)")
    parser.add_argument("--components", nargs="+", default=["jpg;jpeg;png;webp", "cls"], help="as of ShardSet.open")
    parser.add_argument("--boxes", metavar="COMPONENT", help="the JSON component with boxes and keypoints")
    parser.add_argument("--box-format", default="xyxy", help="xyxy, xywh or cxcywh (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Draw the picture and write it.

    Raises:
        ValueError: If an argument makes no sense.
        RecipeError: If the recipe cannot be had.
    """
    if arguments.rows < 1 or arguments.times < 1:
        raise ValueError(f"--rows, --times: must be at least 1, got {arguments.rows} and {arguments.times}. Write 4.")
    recipe = load_recipe(arguments.recipe)
    components = list(arguments.components)
    if arguments.boxes and arguments.boxes not in components:
        components.append(arguments.boxes)
    shards = ShardSet.open(arguments.shards, components=components, storage=storage_options(arguments))
    notes = Annotations(component=arguments.boxes, box_format=arguments.box_format) if arguments.boxes else None
    picture = draw(recipe, shards, notes, rows=min(arguments.rows, shards.num_samples), times=arguments.times)
    picture.save(arguments.output)
    print(f"{arguments.output}: {picture.width} x {picture.height} pixels")
    return 0


def load_recipe(name: str) -> Recipe:
    """A named recipe, one from a JSON file, or an attribute of a module: a recipe, or a function that makes one.

    Raises:
        RecipeError: If there is none.
    """
    if name in NAMED:
        return NAMED[name]()
    if name.endswith(".json"):
        try:
            return Recipe.from_json(Path(name).read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(
                f"RECIPE: the file must be readable, got {name!r}: {error.strerror}. Check it."
            ) from error
    module, _, attribute = name.partition(":")
    if not attribute:
        raise RecipeError(f"RECIPE: must be one of {', '.join(NAMED)}, a .json file or module:attribute, got {name!r}.")
    sys.path.insert(0, "")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"RECIPE: {name!r} must be importable, got: {error}. Check the name.") from error
    found = found if isinstance(found, Recipe) else found()
    if not isinstance(found, Recipe):
        raise RecipeError(f"RECIPE: {name!r} must be or make a Recipe, got {type(found).__name__}. Return a Recipe.")
    return found


def at_level(operation: Operation, level: float) -> Operation:
    """The operation with every random number of it at one level, and chosen for certain."""
    kind: Any = type(operation)
    methods: dict[str, Any] = {"__slots__": ()}
    for method in ("matrix", "parameters"):
        if hasattr(kind, method):
            methods[method] = _fixed(getattr(kind, method), level)
    still: Operation = object.__new__(type(kind.__name__, (kind,), methods))
    for field in dataclasses.fields(kind):
        object.__setattr__(still, field.name, getattr(operation, field.name))
    if any(field.name == "probability" for field in dataclasses.fields(kind)):
        object.__setattr__(still, "probability", 1.0)
    return still


def _fixed(method: Callable[..., Any], level: float) -> Callable[..., Any]:
    def fixed(self: Operation, draws: Any, *rest: Any) -> Any:
        return method(self, draws * 0.0 + level, *rest)

    return fixed


def columns(recipe: Recipe) -> list[tuple[str, str, Recipe]]:
    """(title, line below it, recipe) of every column but the whole recipe's."""
    plain = Output(dtype="uint8")
    out = [("original", "resized", Recipe([Resize(recipe.size)], output=plain))]
    for operation in recipe.operations:
        sizing = isinstance(operation, Geometric) and operation.static_frame(None) is not None
        for name, level in LEVELS if operation.draws else LEVELS[:1]:
            still = at_level(operation, level)
            front = [still] if sizing else [Resize(recipe.size), still]
            try:
                alone = Recipe(front, output=plain)
            except RecipeError:  # it needs others before it, as CenterCrop after ResizeShortest
                continue
            out.append((type(operation).__name__, name if operation.draws else "always", alone))
    return out


def draw(recipe: Recipe, shards: ShardSet, notes: Annotations | None, *, rows: int, times: int) -> "Image.Image":
    """The whole picture."""
    from PIL import Image, ImageDraw, ImageFont

    whole = dataclasses.replace(recipe, output=Output(dtype="uint8"))
    reader = ShardReader(shards, batch_size=rows, shuffle=False, tail="pad")
    shown = [(*column, 0, 0) for column in columns(recipe)]
    if recipe.views:
        shown += [("whole recipe", f"view {view + 1}", whole, 0, view) for view in range(len(recipe.views))]
    else:
        shown += [("whole recipe", f"draw {epoch + 1}", whole, epoch, 0) for epoch in range(times)]
    page = Image.new("RGB", (GAP + len(shown) * (TILE + GAP), HEAD + rows * (TILE + GAP)), (255, 255, 255))
    pen = ImageDraw.Draw(page)
    for number, (title, line, one, epoch, view) in enumerate(shown):
        chain = reader.augment(one, device="cpu", annotations=notes if len(one.branches) == 1 else None)
        chain.set_epoch(epoch)
        batch = next(iter(chain))
        chain.close()
        x = GAP + number * (TILE + GAP)
        pen.text((x, 4), title, fill=(24, 24, 27), font=ImageFont.load_default(13))
        pen.text((x, 20), line, fill=(110, 113, 120), font=ImageFont.load_default(12))
        for row in range(rows):
            page.paste(tile(batch, view * rows + row), (x, HEAD + row * (TILE + GAP)))
    return page


def tile(batch: "Batch", row: int) -> "Image.Image":
    """One image of a batch, with its boxes and keypoints."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(batch.images[row].permute(1, 2, 0).contiguous().numpy())
    scale = TILE / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    pen = ImageDraw.Draw(image)
    for box in () if batch.boxes is None else batch.boxes[row].tolist():
        pen.rectangle([value * scale for value in box], outline=(255, 64, 64), width=2)
    for x, y, visible in () if batch.keypoints is None else batch.keypoints[row].reshape(-1, 3).tolist():
        if visible > 0:
            pen.ellipse([x * scale - 2, y * scale - 2, x * scale + 2, y * scale + 2], fill=(64, 224, 96))
    square = Image.new("RGB", (TILE, TILE), (236, 239, 242))
    square.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return square
