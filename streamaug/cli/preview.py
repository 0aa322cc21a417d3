"""`streamaug preview RECIPE SHARDS`: draws the effect of a recipe on your images, as one picture.

Each sample has a row. The columns are the whole image, each operation alone at the low end, the middle and the high end
of its range, then the whole recipe several times, or each of its views. It draws boxes and keypoints too.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamaug.cli.output import check_output, writing
from streamaug.cli.recipe_argument import NAMED, load_recipe
from streamaug.cli.source import add_set, open_set
from streamaug.cli.usage import epilog
from streamaug.cli.user_code import prints_to_stderr
from streamaug.errors import RecipeError
from streamaug.ops import RandomChoice, Resize
from streamaug.ops.base import Geometric, Operation, Photometric
from streamaug.recipes.annotations import Annotations
from streamaug.recipes.output import Output
from streamaug.recipes.recipe import Recipe
from streamaug.shards.shard_set import ShardSet
from streamaug.stages.reader import ShardReader

if TYPE_CHECKING:
    from PIL import Image

    from streamaug.batch import Batch

TILE, GAP, HEAD, LEVELS = 128, 6, 40, (("low", 0.0), ("middle", 0.5), ("high", 1.0 - 2**-20))
_EXAMPLES = [
    "streamaug preview imagenet_train shards/train -o train.png",
    "streamaug preview recipe.json 'train-{000000..000007}.tar' --rows 8 --times 2",
    "streamaug preview my_recipes:strong shards --split train --boxes json --box-format xywh",
]
#: The normalisation, undone for display, where an operation works on normalised images.
_NORMALIZED = Output(mean=127.5, std=64.0)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help=f"{', '.join(NAMED)}; a .json file; or module:attribute")
    add_set(parser)
    parser.epilog = epilog(_EXAMPLES)
    parser.add_argument("-o", "--output", type=Path, default=Path("preview.png"), help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=4, help="samples (default: %(default)s)")
    parser.add_argument("--times", type=int, default=4, help="columns of the whole recipe (default: %(default)s)")
    parser.add_argument("--boxes", metavar="COMPONENT", help="the JSON component with boxes and keypoints")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--box-format", default="xyxy", help="xyxy, xywh or cxcywh (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Draw the picture and write it.

    Raises:
        ValueError: If an argument is out of range.
        RecipeError: If the recipe cannot be loaded.
    """
    if arguments.rows < 1 or arguments.times < 1:
        raise ValueError(f"--rows, --times: must be at least 1, got {arguments.rows} and {arguments.times}. Write 4.")
    _check_output(arguments.output)
    with prints_to_stderr():
        recipe = load_recipe(arguments.recipe)
    shards = open_set(arguments, further=[arguments.boxes] if arguments.boxes else [])
    notes = Annotations(component=arguments.boxes, box_format=arguments.box_format) if arguments.boxes else None
    rows = min(arguments.rows, shards.num_samples)
    with prints_to_stderr():  # operations of the user's own run here
        picture = draw(recipe, shards, notes, rows=rows, times=arguments.times)
    with writing("--output", arguments.output):
        picture.save(arguments.output)
    if arguments.json:
        facts = {"output": str(arguments.output), "width": picture.width, "height": picture.height}
        titles = [title for title, *_ in _shown(recipe, arguments.times)]
        print(json.dumps(facts | {"rows": rows, "columns": titles}))
    else:
        print(f"{arguments.output}: {picture.width} x {picture.height} pixels")
    return 0


def _check_output(path: Path) -> None:
    """Raise ValueError, before drawing, unless a picture can be written to the path."""
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"--output: must end like a format of images, got {str(path)!r}. Write preview.png.")
    check_output("--output", path)


def at_level(operation: Operation, level: float) -> Operation:
    """The operation with all of its random numbers at one level, and selected with certainty."""
    kind: Any = type(operation)
    methods: dict[str, Any] = {"__slots__": ()}
    for method in ("matrix", "matrix_keeping", "parameters"):
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
    for operation in (each for listed in recipe.operations for each in _members(listed)):
        sizing = _sets_size(operation)
        for name, level in LEVELS if operation.draws else LEVELS[:1]:
            still = at_level(operation, level)
            front = [still] if sizing else [Resize(recipe.size), still]
            try:
                alone = Recipe(front, output=_output(front))
            except RecipeError:  # it needs others before it, as CenterCrop after ResizeShortest
                continue
            out.append((type(operation).__name__, name if operation.draws else "always", alone))
    return out


def _members(operation: Operation) -> tuple[Operation, ...]:
    """The operations to draw alone: of a choice, all its operations; else the operation itself."""
    if not isinstance(operation, RandomChoice):
        return (operation,)
    return tuple(each for member in operation.operations for each in _members(member))


def _output(operations: Sequence[Operation]) -> Output:
    """Gray levels; normalised ones for operations that paint after normalising."""
    if any(isinstance(each, Photometric) and each.finishes for each in operations):
        return _NORMALIZED
    return Output(dtype="uint8")


def _sets_size(operation: Operation) -> bool:
    try:
        return isinstance(operation, Geometric) and operation.static_frame(None) is not None
    except RecipeError:  # it needs others before it
        return False


def _shown(recipe: Recipe, times: int) -> list[tuple[str, str, Recipe, int, int]]:
    """(title, line below it, recipe, epoch, view) of every column."""
    whole = dataclasses.replace(recipe, output=_output([each for branch in recipe.branches for each in branch]))
    shown = [(*column, 0, 0) for column in columns(recipe)]
    if recipe.views:
        return shown + [("whole recipe", f"view {view + 1}", whole, 0, view) for view in range(len(recipe.views))]
    return shown + [("whole recipe", f"draw {epoch + 1}", whole, epoch, 0) for epoch in range(times)]


def draw(recipe: Recipe, shards: ShardSet, notes: Annotations | None, *, rows: int, times: int) -> "Image.Image":
    """The whole picture."""
    from PIL import Image, ImageDraw, ImageFont

    reader = ShardReader(shards, batch_size=rows, shuffle=False, tail="pad")
    shown = _shown(recipe, times)
    page = Image.new("RGB", (GAP + len(shown) * (TILE + GAP), HEAD + rows * (TILE + GAP)), (255, 255, 255))
    pen = ImageDraw.Draw(page)
    for number, (title, line, shown_recipe, epoch, view) in enumerate(shown):
        with_notes = notes if len(shown_recipe.branches) == 1 else None
        chain = reader.augment(shown_recipe, device="cpu", annotations=with_notes)
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

    levels = batch.images[row].permute(1, 2, 0)
    if levels.is_floating_point():
        levels = (levels * _NORMALIZED.channel_stds[0] + _NORMALIZED.channel_means[0]).round().clamp(0, 255).byte()
    image = Image.fromarray(levels.contiguous().numpy())
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
