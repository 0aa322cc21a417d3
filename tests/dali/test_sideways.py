"""Samples that are resized lying on their side: which they are, and that their pixels are the same."""

import numpy as np
import pytest
from augmenting import augmented, encoded_batches, png, refuse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamaug import ops, recipes
from streamaug.dali import plan
from streamaug.dali.layout import Layout
from streamaug.dali.prepare import Preparer
from streamaug.dali.sideways import sideways
from streamaug.recipes.output import Output
from streamaug.recipes.recipe import Recipe


def lies(height, width, size=(224, 224), support=1.0):
    extent = np.array([[height, width]], np.float64)
    return bool(sideways(np.zeros((1, 2)), extent, extent, size, support)[0])


@pytest.mark.parametrize(("height", "width", "expected"), [(375, 500, True), (500, 375, False), (400, 400, False)])
def test_what_is_wide_lies_on_its_side(height, width, expected):
    assert lies(height, width) == expected


# What DALI 2.4.0 was seen to do by the time it took (one core): the last width that went down the columns first, the
# first that went along the rows first.
@pytest.mark.parametrize(
    ("support", "height", "last", "first"),
    [(1, 260, 264, 270), (1, 400, 432, 448), (2, 260, 264, 270), (2, 400, 464, 500), (3, 260, 270, 276)],
)
def test_the_border_is_where_dali_was_measured_to_have_it(support, height, last, first):
    assert not lies(height, last, support=support)
    assert lies(height, first, support=support)


@given(
    height=st.integers(1, 3000), width=st.integers(1, 3000), size=st.tuples(*[st.integers(1, 512)] * 2),
    support=st.sampled_from([1.0, 2.0, 3.0]),
)  # fmt: skip
def test_what_is_turned_does_not_want_to_be_turned_again(height, width, size, support):
    assert not (lies(height, width, size, support) and lies(width, height, size[::-1], support))


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(224, 224), (97, 160), (160, 97)])
def test_pixels_are_those_of_a_sample_that_stands(photos, monkeypatch, interpolation, size):
    aspect = size[1] / size[0]
    crop = ops.RandomResizedCrop(size, ratio=(0.75 * aspect, 1.33 * aspect), interpolation=interpolation)
    recipe = Recipe([crop, ops.HorizontalFlip()], Output(dtype="uint8"))
    (batch,) = encoded_batches(photos, 64)
    turned = Preparer(Layout(recipe)).prepare(batch, refuse).plan.feeds["geometry0.transposed"]
    assert 5 < turned.sum() < 59
    images = augmented(recipe, photos, batch_size=64).int()
    monkeypatch.setattr(plan, "sideways", lambda low, *_: np.zeros(len(low), np.bool_))
    standing = augmented(recipe, photos, batch_size=64).int()
    difference = (images - standing).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3
    assert (difference[~turned] == 0).all()


def test_a_whole_image_is_turned_to_the_pixel():
    """The filter is the identity down the columns, and Pillow's along the rows."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 400, 3), np.uint8)
    pixels[:, 1::2] = pixels[:, ::2]
    recipe = Recipe([ops.Resize((50, 200))], Output(dtype="uint8"))
    assert lies(50, 400, (50, 200))
    image = augmented(recipe, [png(pixels)], batch_size=1)[0].permute(1, 2, 0).numpy()
    expected = np.asarray(Image.fromarray(pixels).resize((200, 50), Image.Resampling.BILINEAR), np.int64)
    inner = np.s_[:, 1:-1]  # at the border the two differ by definition: one repeats pixels, one leaves them out
    assert np.abs(image[inner] - expected[inner]).max() <= 1


def test_on_a_gpu_every_sample_stands(photos):
    (batch,) = encoded_batches(photos, 64)
    plan = Preparer(Layout(recipes.imagenet_train(), "gpu")).prepare(batch, refuse).plan
    assert not [name for name in plan.feeds if "transposed" in name or "enlarged" in name]
