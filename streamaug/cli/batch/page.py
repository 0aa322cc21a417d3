"""The page of `streamaug batch`: one HTML file with a card for each row, pictures included.

In: the batches of the ranks. Out: HTML. A card shows the image as the model got it, and the stored image with the
window of the crops.
"""

import base64
import html
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from streamaug.cli.batch.replay import RankBatch
from streamaug.cli.document import document
from streamaug.cli.pictures import picture
from streamaug.recipes.recipe import Recipe

if TYPE_CHECKING:
    from PIL import Image

_THUMBNAIL = 160
_STYLE = """
body { font: 13px/1.45 system-ui, sans-serif; color: #18181b; margin: 24px; overflow-wrap: break-word; }
h1 { font-size: 20px; margin: 0 0 4px; }
p.facts { color: #52525b; margin: 0 0 20px; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(420px, 100%), 1fr)); gap: 16px; }
article { border: 1px solid #e4e4e7; border-radius: 8px; padding: 12px; display: flex; gap: 12px; }
article div.pictures { display: flex; flex-direction: column; gap: 8px; }
img { display: block; border-radius: 4px; max-width: 224px; }
img.stored { max-width: 160px; }
h2 { font-size: 14px; margin: 0 0 6px; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 10px; margin: 0; }
dt { color: #71717a; } dd { margin: 0; overflow-wrap: anywhere; }
.flag { background: #fef3c7; border-radius: 4px; padding: 0 6px; font-weight: normal; }
"""


def page(title: str, facts: str, batches: list[RankBatch], max_rows: int) -> str:
    """The page as HTML text.

    Args:
        title: Its heading.
        facts: The line below it.
        batches: The batch of each rank.
        max_rows: The number of rows with a card, over all batches.
    """
    cards: list[str] = []
    for batch in batches:
        cards += _cards(batch, max_rows - len(cards))
    total = sum(len(batch.rows) for batch in batches)
    if len(cards) < total:
        facts += f" Shown: the first {len(cards)} of {total} rows; --rows shows more."
    return document(title, facts, f"<main>\n{''.join(cards)}</main>", _STYLE)


def _cards(batch: RankBatch, count: int) -> Iterator[str]:
    """The cards of a rank's first rows."""
    for row, facts in enumerate(batch.rows[: max(0, count)]):
        shown = [view * batch.batch.batch_size + row for view in range(batch.batch.views)]
        pictures = "".join(_picture(pixels(batch.batch.images[number], batch.recipe)) for number in shown)
        stored = _stored(batch, row)
        flags = "".join(
            f' <span class="flag">{text}</span>'
            for name, text in (("is_padding", "padding"), ("is_substitute", "stands in for a bad sample"))
            if facts[name]
        )
        terms = "".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in _terms(facts))
        yield (
            f'<article><div class="pictures">{pictures}{stored}</div><div><h2>{html.escape(facts["key"])}{flags}</h2>'
            f"<dl>{terms}</dl></div></article>\n"
        )


def _terms(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, text) of the facts on a row's card."""
    yield "rank, row", f"{facts['rank']}, {facts['row']}"
    yield "position", str(facts["position"])
    yield "sample", str(facts["sample_id"])
    yield "shard", facts["shard"]
    target = facts["target"]
    if isinstance(target, Mapping):
        target = ", ".join(f"{name}: {share:.3g}" for name, share in target.items())
    yield "target", str(target)
    for window in (facts.get("windows") or [])[:1]:
        top, left, bottom, right = window
        yield "window", f"rows {top:g}–{bottom:g}, columns {left:g}–{right:g}"
    mix = facts.get("mix")
    if mix is not None:
        yield "mixed", mix["kind"]
    if mix is not None and mix["kind"] != "none":
        yield "λ", f"{mix['lam']:.4f}"
        yield "partner", f"{mix['partner_key']} (row {mix['partner']})"
    if mix is not None and mix["kind"] == "cutmix":
        y1, y2, x1, x2 = mix["box"]
        yield "box", f"rows {y1}–{y2}, columns {x1}–{x2}"


def pixels(image: torch.Tensor, recipe: Recipe | None) -> npt.NDArray[np.uint8]:
    """An image as uint8 (H, W, 3); the recipe's normalisation is undone, without a recipe the range is stretched."""
    levels = image.detach().float().cpu().permute(1, 2, 0)
    if recipe is not None:
        output = recipe.output
        levels = levels * torch.tensor(output.std or (1.0,)) + torch.tensor(output.mean or (0.0,))
    elif image.dtype != torch.uint8:
        low, high = levels.min(), levels.max()
        levels = (levels - low) / (high - low).clamp_min(1e-12) * 255
    return levels.round().clamp(0, 255).to(torch.uint8).numpy()


def _picture(levels: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    return _element(Image.fromarray(levels), "as the model got it", "model")


def _element(image: "Image.Image", text: str, kind: str) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img class="{kind}" alt="{text}" title="{text}" src="data:image/png;base64,{data}">'


def _stored(batch: RankBatch, row: int) -> str:
    """The stored image, small, with the window of the first view; "" where it cannot be shown."""
    from PIL import ImageDraw

    upright = batch.recipe is not None and batch.recipe.apply_orientation
    image = picture(bytes(batch.stored[row] or b""), upright=upright)
    if image is None:
        return ""
    full = image.size
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    windows = batch.rows[row].get("windows")
    if windows:
        scale = (image.height / full[1], image.width / full[0])
        top, left, bottom, right = (value * scale[number % 2] for number, value in enumerate(windows[0]))
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), outline=(239, 68, 68), width=2)
    return _element(image, "before the crops, with their window", "stored")
