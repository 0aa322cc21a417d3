"""The views of test-time augmentation: what each shows, from one decode, and by which name."""

import io

import numpy as np
import pytest
from augmenting import encoded_batches, operators, refuse
from PIL import Image

from streamaug import Recipe, RecipeError, ops, recipes
from streamaug.dali.engine import AugmentEngine

SIZE, RESIZE = 64, 72


def shown(photos, views, **options):
    """The views' pixels by name, int (8, SIZE, SIZE, 3) each."""
    recipe = recipes.imagenet_tta(views, SIZE, RESIZE, dtype="uint8", **options)
    (batch,) = AugmentEngine(recipe, device="cpu", num_threads=2).run(encoded_batches(photos[:8], 8), refuse)
    names = recipes.view_names(views)
    assert batch.views == len(names) == len(recipe.views)
    images = batch.images.view(batch.views, 8, 3, SIZE, SIZE).permute(0, 1, 3, 4, 2).numpy().astype(int)
    return dict(zip(names, images, strict=True))


@pytest.fixture(scope="module")
def center(photos):
    return shown(photos, "identity")["center"]


@pytest.mark.slow
@pytest.mark.parametrize("views", recipes.VIEWS)
def test_every_set_of_views_begins_at_the_usual_one_but_for_crops_and_decodes_once(photos, center, views):
    found = shown(photos, views)
    usual = found.get("center", found.get("scale 1"))
    assert np.abs(usual - center).max() <= 1  # a window of more views may be resampled a gray level apart
    decoders = [name for name, _ in operators(recipes.imagenet_tta(views, SIZE, RESIZE), "cpu") if "decoders" in name]
    assert len(decoders) == 1
    again = Recipe.from_json(recipes.imagenet_tta(views, SIZE, RESIZE).to_json())
    assert again == recipes.imagenet_tta(views, SIZE, RESIZE)


def test_flips_are_the_pixels_of_the_center_in_another_order(photos):
    found = shown(photos, "flips")
    center = found["center"]
    assert (found["mirrored"] == center[:, :, ::-1]).all()
    assert (found["upside down"] == center[:, ::-1]).all()
    assert (found["mirrored, upside down"] == center[:, ::-1, ::-1]).all()


def test_d4_is_every_turn_and_mirror_image_pixel_by_pixel(photos):
    found = shown(photos, "d4")
    center = found["center"]
    for quarters, name in enumerate(("center", "turned 90", "turned 180", "turned 270")):
        turned = np.rot90(center, quarters, axes=(1, 2))
        assert (found[name] == turned).all(), name
        assert (found[f"{name}, mirrored"] == turned[:, :, ::-1]).all(), name
    assert len({image[0].tobytes() for image in found.values()}) == 8
    with pytest.raises(RecipeError, match=r"imagenet_tta.size: must be a square"):
        recipes.imagenet_tta("d4", size=(64, 65))
    assert recipes.imagenet_tta("d4", size=(64, 64)).size == (64, 64)


def test_scales_are_centers_of_larger_and_smaller_images(photos):
    found = shown(photos, "multi_scale")
    for factor in (0.9, 1.1, 1.25):
        pixels = max(round(RESIZE * factor), SIZE)
        for image, photo in zip(found[f"scale {factor:g}"], photos, strict=False):
            picture = Image.open(io.BytesIO(photo)).convert("RGB")
            width, height = (int(pixels * side / min(picture.size)) for side in picture.size)
            left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
            resized = picture.resize((width, height), Image.Resampling.BILINEAR)
            expected = np.asarray(resized.crop((left, top, left + SIZE, top + SIZE)), int)
            assert np.abs(image - expected).mean() < 0.4


def test_rotations_show_no_border_and_turn_both_ways(photos):
    found = shown([white()] * 8, "rotations")
    for image in found.values():
        assert image.min() >= 254
    found = shown(photos, "rotations")
    assert list(found) == ["center", "turned -5", "turned 5", "turned -10", "turned 10"]
    for angle in (5, 10):
        turned = []
        for sign in (-1, 1):
            sources = [Image.fromarray(image.astype(np.uint8)) for image in found["center"]]
            expected = np.stack([np.asarray(each.rotate(sign * angle, Image.Resampling.BILINEAR)) for each in sources])
            # In the middle the enlargement hardly matters.
            middle = (slice(None), slice(28, 36), slice(28, 36))
            right, wrong = (
                np.abs(found[f"turned {number}"][middle] - expected[middle]).mean()
                for number in (sign * angle, -sign * angle)
            )
            turned.append(right < wrong)
        assert all(turned)


def white():
    file = io.BytesIO()
    Image.new("RGB", (100, 80), (255, 255, 255)).save(file, "PNG")
    return file.getvalue()


def test_photometric_views_are_darker_brighter_flatter_and_steeper(photos):
    found = shown(photos, "photometric")
    center = found["center"]
    assert np.abs(found["brightness 0.8"] - np.rint(center * 0.8)).max() <= 1
    assert np.abs(found["brightness 1.2"] - np.rint(center * 1.2).clip(0, 255)).max() <= 1
    for factor in (0.8, 1.2):
        expected = np.rint((center - 128) * factor + 128).clip(0, 255)
        assert np.abs(found[f"contrast {factor}"] - expected).max() <= 1


def test_views_of_ones_own_go_with_any_operations(photos):
    own = Recipe(
        [ops.ResizeShortest(RESIZE), ops.CenterCrop(SIZE)],
        views=[(), (ops.Grayscale(probability=1.0),), (ops.Rotate(degrees=(90, 90)), ops.ColorJitter(contrast=(0, 0)))],
    )
    (batch,) = AugmentEngine(own, device="cpu", num_threads=2).run(encoded_batches(photos[:4], 4), refuse)
    plain, gray, flat = batch.images.view(3, 4, 3, SIZE, SIZE)
    assert (gray.amax(1) == gray.amin(1)).all()
    assert (flat == 128).all()
    assert plain.std() > 10


def test_unknown_views_are_named():
    with pytest.raises(RecipeError, match=r'imagenet_tta.views: must be one of "identity", "hflip", .* got "?.?ten'):
        recipes.imagenet_tta("ten")
    with pytest.raises(RecipeError, match=r"imagenet_tta.views"):
        recipes.view_names("ten")
    with pytest.raises(RecipeError, match=r"imagenet_tta.views: .*, got \['hflip'\]"):
        recipes.imagenet_tta(["hflip"])
    assert recipes.view_names("ten_crop")[:5] == recipes.view_names("five_crop")
    assert recipes.view_names("ten_crop")[5] == "mirrored top left"
