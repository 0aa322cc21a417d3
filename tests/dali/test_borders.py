"""An operation of one's own may show a border wherever it stands, aligned with the axes or not."""

from dataclasses import dataclass

import numpy as np
import pytest
from augmenting import augmented, encoded_batches, png, refuse

from streamaug import Output, Recipe, ops
from streamaug.dali.layout import Layout
from streamaug.dali.prepare import Preparer
from streamaug.geometry import scaling, transform_points, translation
from streamaug.ops import Border, Geometric, StaticFrame


def letterbox(is_aligned):
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Letterbox(Geometric):
        size: int = 64
        probability: float = 1.0
        aligned = is_aligned

        def matrix(self, draws, height, width):
            scale = self.size / np.maximum(height, width)
            return translation((self.size - width * scale) / 2, (self.size - height * scale) / 2) @ scaling(
                scale, scale
            )

        def frame(self, height, width):
            return np.full_like(height, self.size), np.full_like(width, self.size)

        def static_frame(self, frame):
            return StaticFrame(self.size, self.size, exact=True)

        def shows(self):
            return Border("constant", 114.0)

    return Letterbox()


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("size", [(32, 64), (64, 32), (50, 100), (16, 32), (96, 160)])
@pytest.mark.parametrize("front", [[], [ops.Resize((32, 64))], [ops.HorizontalFlip()]])
def test_a_letterbox_of_ones_own_shows_its_border_and_the_whole_image(aligned, size, front):
    if front and isinstance(front[0], ops.Resize):
        height, width = 32, 64
    else:
        height, width = size
    image = np.full((*size, 3), 250, np.uint8)
    recipe = Recipe([*front, letterbox(aligned)], output=Output(dtype="uint8"))
    got = augmented(recipe, [png(image)] * 3)[:, 0].numpy()
    rows, columns = round(64 * height / max(height, width)), round(64 * width / max(height, width))
    top, left = (64 - rows) // 2, (64 - columns) // 2
    seam = 2 + 64 // max(height, width)  # which is blended, wider where the image is enlarged
    inner = got[:, top + seam : top + rows - seam, left + seam : left + columns - seam]
    assert inner.size > 1000
    assert (inner == 250).all()
    outer = got.copy()
    outer[:, max(top - seam, 0) : top + rows + seam, max(left - seam, 0) : left + columns + seam] = 114
    assert (outer == 114).all()
    assert (got == 114).mean() > 0.2


def test_points_move_with_the_pixels_of_a_letterbox_after_a_crop_and_before_a_rotation():
    image = np.zeros((80, 120, 3), np.uint8)
    image[30:42, 50:62] = 255
    stack = [ops.RandomResizedCrop((60, 90), scale=(0.8, 1.0)), letterbox(True), ops.Rotate(degrees=10, fill=114)]
    recipe = Recipe(stack, output=Output(dtype="uint8"))
    (batch,) = encoded_batches([png(image)] * 8, 8)
    plan = Preparer(Layout(recipe)).prepare(batch, refuse).plan
    got = augmented(recipe, [png(image)] * 8, batch_size=8)[:, 0].numpy()
    centers = transform_points(plan.matrices[0], np.full((8, 1, 2), (56.0, 36.0)))[:, 0]
    for picture, (x, y) in zip(got, centers, strict=True):
        bright = np.argwhere(picture > 185) + 0.5
        assert np.hypot(*(bright.mean(axis=0) - (y, x))) < 1.0
