"""Boxes and keypoints that follow the image: streams a detection dataset, counts its boxes, and draws a batch.

    python detection.py --output detection.png
    python detection.py --shards '/data/coco-{000000..000117}.tar' --box-format xywh --output detection.png

Without --shards it draws a small dataset of its own: shapes with a box, a class and a keypoint in the middle. A sample
is a .jpg and a .json such as {"boxes": [[x1, y1, x2, y2], …], "labels": [3, …], "keypoints": [[[x, y, 2]], …]}.
"""

import argparse
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image, ImageDraw

from streamaug import Annotations, Augmenter, Batch, Output, Recipe, ShardReader, ShardSet, ops

COLORS = ((230, 60, 60), (60, 160, 230), (80, 190, 90), (240, 180, 40))


def write_shapes(folder: Path, images: int = 128, shards: int = 2) -> str:
    """Discs and squares on a noisy ground, as shards; returns their pattern."""
    rng = np.random.default_rng(0)
    for shard in range(shards):
        with webdataset.TarWriter(str(folder / f"shapes-{shard:06d}.tar"), encoder=False) as tar:
            for number in range(images // shards):
                height, width = rng.integers(200, 420, 2).tolist()
                image = Image.fromarray(rng.normal(110, 18, (height, width, 3)).clip(0, 255).astype(np.uint8))
                pen, boxes, labels = ImageDraw.Draw(image), [], []
                for _ in range(int(rng.integers(1, 5))):
                    side = float(rng.uniform(30, 90))
                    x, y, kind = (
                        float(rng.uniform(0, width - side)),
                        float(rng.uniform(0, height - side)),
                        int(rng.integers(4)),
                    )
                    outline = (x, y, x + side, y + side)
                    (pen.ellipse if kind < 2 else pen.rectangle)(outline, fill=COLORS[kind])
                    boxes.append(list(outline))
                    labels.append(kind)
                points = [[[(x1 + x2) / 2, (y1 + y2) / 2, 2]] for x1, y1, x2, y2 in boxes]
                file = io.BytesIO()
                image.save(file, "JPEG", quality=90)
                note = {"boxes": boxes, "labels": labels, "keypoints": points}
                tar.write(
                    {"__key__": f"{shard}{number:05d}", "jpg": file.getvalue(), "json": json.dumps(note).encode()}
                )
    return str(folder / f"shapes-{{000000..{shards - 1:06d}}}.tar")


def detection_pipe(shards: str, *, size: int, batch_size: int, box_format: str) -> Augmenter:
    """All geometry in one resample, boxes and keypoints through the same matrix; a box with 30% in view is kept."""
    recipe = Recipe(
        [
            ops.RandomResizedCrop(size, scale=(0.4, 1.0)),
            ops.HorizontalFlip(),
            ops.Affine(degrees=15, scale=(0.8, 1.2), shear=(-5, 5), border="reflect"),
            ops.Perspective(distortion_scale=0.15),
            ops.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
        ],
        output=Output(dtype="uint8"),
    )
    annotations = Annotations(component="json", box_format=box_format, min_visibility=0.3)
    reader = ShardReader(ShardSet.open(shards, components=("jpg", "json")), batch_size=batch_size, lanes=8)
    return reader.augment(recipe, device="cpu", annotations=annotations)


def draw(batch: Batch, columns: int = 4, rows: int = 2) -> Image.Image:
    """The first images of a batch with their boxes and keypoints."""
    if batch.boxes is None or batch.box_labels is None or batch.keypoints is None:
        raise ValueError("draw: the batch must have annotations, got none. Pass annotations to augment.")
    size = batch.images.shape[-1]
    page = Image.new("RGB", (columns * size, rows * size), (255, 255, 255))
    for row in range(min(columns * rows, len(batch.images))):
        tile = Image.fromarray(batch.images[row].permute(1, 2, 0).contiguous().numpy())
        pen = ImageDraw.Draw(tile)
        for (x1, y1, x2, y2), label in zip(batch.boxes[row].tolist(), batch.box_labels[row].tolist(), strict=True):
            pen.rectangle((x1, y1, x2, y2), outline=(255, 255, 255), width=2)
            pen.text((x1 + 4, y1 + 2), str(label), fill=(255, 255, 255))
        for x, y, visible in batch.keypoints[row].reshape(-1, 3).tolist():
            if visible > 0:
                pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(20, 20, 20))
        page.paste(tile, (row % columns * size, row // columns * size))
    return page


def main() -> int:
    """Stream an epoch, print the number of boxes, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", help="a path or URL with braces; default: shapes of its own")
    parser.add_argument("--box-format", default="xyxy", choices=("xyxy", "xywh", "cxcywh"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path("detection.png"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shards = args.shards or write_shapes(Path(folder))
        pipe = detection_pipe(shards, size=args.size, batch_size=args.batch_size, box_format=args.box_format)
        images = boxes = 0
        for batch in pipe:
            if images == 0:
                draw(batch).save(args.output)
            images += len(batch.images)
            boxes += sum(len(found) for found in batch.boxes or ())
    print(f"{images} images, {boxes} boxes in view, {pipe.clipped_boxes} clipped to their image; wrote {args.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
