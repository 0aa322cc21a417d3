"""Pixels move as the matrices say."""

import numpy as np
import pytest
from augmenting import encoded_batches, frames, png, refuse
from scipy import ndimage

from streamaug import geometry, ops
from streamaug.dali.engine import AugmentEngine
from streamaug.dali.layout import Layout
from streamaug.dali.prepare import Preparer
from streamaug.recipes.output import Output
from streamaug.recipes.recipe import Recipe

_OPERATIONS = [
    ops.HorizontalFlip(),
    ops.VerticalFlip(),
    ops.Rotate(degrees=40, probability=0.7),
    ops.RotateCrop(degrees=20, probability=0.7),
    ops.Perspective(distortion_scale=0.3, probability=0.7),
    ops.Affine(degrees=10, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=(-8, 8), probability=0.7),
]


def photos(count=16, shape=(90, 120)):
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (count, 9, 12, 3)).astype(float)
    zoom = (1, shape[0] / 9, shape[1] / 12, 1)
    return list(np.clip(ndimage.zoom(coarse, zoom, order=1), 0, 255).astype(np.uint8))


def disc(height, width, y, x, radius=6):
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.repeat((((rows - y) ** 2 + (columns - x) ** 2 <= radius**2) * np.uint8(255))[..., None], 3, 2)


@pytest.mark.slow
@pytest.mark.parametrize("antialias", [True, False])
def test_a_dot_goes_where_its_point_goes_through_random_stacks(antialias):
    rng = np.random.default_rng(4)
    distances = []
    for trial in range(40):
        sizes = rng.integers(150, 400, (5, 2))
        points = rng.uniform(0.3, 0.7, (5, 2)) * sizes  # y, x
        data = [png(disc(*size, *point)) for size, point in zip(sizes, points, strict=True)]
        first = (
            ops.RandomResizedCrop((160, 240), scale=(0.7, 1), antialias=antialias)
            if trial % 2
            else ops.Resize((160, 240), antialias=antialias)
        )
        stack = [_OPERATIONS[i] for i in rng.integers(0, len(_OPERATIONS), rng.integers(1, 7))]
        recipe = Recipe([first, *stack], Output(dtype="uint8"))
        (batch,) = encoded_batches(data, 5, seed=trial)
        plan = Preparer(Layout(recipe)).prepare(batch, refuse).plan
        (images,) = AugmentEngine(recipe, device="cpu", num_threads=2).run(iter([batch]), refuse)
        expected = geometry.transform_points(plan.matrices[0], points[:, None, ::-1])[:, 0]
        for image, (x, y) in zip(images.images[:, 0].double().numpy(), expected, strict=True):
            inside = image[2:-2, 2:-2].sum() == image.sum() > 255 * 30
            if inside and 12 < x < 228 and 12 < y < 148:
                center_y, center_x = (np.array(ndimage.center_of_mass(image)) + 0.5).tolist()
                distances.append(np.hypot(center_x - x, center_y - y))
    assert len(distances) > 60
    assert max(distances) < 1.0


def test_flips_are_exact():
    images = np.array(photos())
    always = {"probability": 1.0}
    assert np.array_equal(frames([ops.HorizontalFlip(**always)], images), images[:, :, ::-1])
    assert np.array_equal(frames([ops.VerticalFlip(**always)], images), images[:, ::-1])
    both = [ops.HorizontalFlip(**always), ops.VerticalFlip(**always)]
    assert np.array_equal(frames(both, images), images[:, ::-1, ::-1])
    # In the company of an operation that warps nobody, and before one that depends on places.
    company = [ops.HorizontalFlip(**always), ops.Rotate(degrees=20, probability=0.0), ops.GaussianBlur(probability=0.0)]
    assert np.array_equal(frames(company, images), images[:, :, ::-1])
    assert np.array_equal(frames([*both, ops.Rotate(degrees=20, probability=0.0)], images), images[:, ::-1, ::-1])


def test_rotation_is_scipy_s():
    images = photos(4)
    got = frames([ops.Rotate(degrees=(30, 30), fill=0)], images).astype(float)
    for image, turned in zip(images, got, strict=True):
        expected = ndimage.rotate(image.astype(float), 30, reshape=False, order=1, mode="constant", cval=0.0)
        inner = np.s_[8:-8, 8:-8]
        mask = ndimage.binary_erosion(
            ndimage.rotate(np.ones(image.shape[:2]), 30, reshape=False, order=1) > 0.999, iterations=2
        )
        difference = np.abs(expected - turned)[mask]
        assert difference.max() <= 1.01
        assert turned[inner].std() > 5


@pytest.mark.parametrize("border", ["constant", "replicate", "reflect", "reflect_101", "wrap"])
def test_borders_show_what_they_say(border):
    white = [np.full((60, 80, 3), 255, np.uint8)] * 4
    got = frames([ops.Rotate(degrees=(45, 45), border=border, fill=7)], white)
    corner = got[:, 0, 0]
    assert (corner == (7 if border == "constant" else 255)).all()


def test_perspective_moves_the_corners_inward():
    operation = ops.Perspective(distortion_scale=0.6)
    draws = np.random.default_rng(0).random((500, 8))
    height, width = np.full(500, 100.0), np.full(500, 200.0)
    corners = np.broadcast_to(np.array([[0.0, 0], [200, 0], [200, 100], [0, 100]]), (500, 4, 2))
    moved = geometry.transform_points(operation.matrix(draws, height, width), corners)
    inward = (moved - corners) * (1 - 2 * corners / (200, 100))
    assert inward.min() >= -1e-9
    assert (inward <= np.array([60.0, 30.0]) + 1e-9).all()
    assert abs(inward[..., 0].mean() - 30) < 1


def test_affine_shift_zoom_shear_have_their_meaning():
    height, width = np.array([100.0]), np.array([200.0])
    center = np.array([[[100.0, 50.0]]])

    def moved(operation, draws, points=center):
        return geometry.transform_points(operation.matrix(np.array([draws]), height, width), points)[0, 0]

    assert moved(ops.Affine(translate=(0.1, 0.2)), [0.5, 0.5, 0.5, 0.0, 1.0]) == pytest.approx((80, 70))
    right = np.array([[[150.0, 50.0]]])
    assert moved(ops.Affine(scale=(2, 2)), [0.5] * 5, right) == pytest.approx((200, 50))
    assert moved(ops.Affine(degrees=(90, 90)), [0.5] * 5, right) == pytest.approx((100, 0))
    below = np.array([[[100.0, 60.0]]])
    assert moved(ops.Affine(shear=(45, 45)), [0.5] * 5, below) == pytest.approx((110, 60))


def test_rotate_crop_never_shows_a_border():
    rng = np.random.default_rng(0)
    for degrees in (0.5, 3, 17, 45, 89, 90, 135, 180):
        white = [np.full((*rng.integers(20, 90, 2), 3), 255, np.uint8) for _ in range(12)]
        for image in white:
            assert frames([ops.RotateCrop(degrees=(degrees, degrees))], [image], batch_size=1).min() == 255
    # As far as the frame reaches: the corners of the output, taken back, for many sizes and angles.
    height, width = rng.integers(10, 500, (2, 500)).astype(float)
    operation = ops.RotateCrop(degrees=180)
    inverse = np.linalg.inv(operation.matrix(rng.random((500, 1)), height, width))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * np.stack([width, height], 1)[:, None]
    back = geometry.transform_points(inverse, corners)
    assert back.min() > -1e-6
    assert (back[..., 0] < width[:, None] + 1e-6).all()
    assert (back[..., 1] < height[:, None] + 1e-6).all()
    # And not smaller than need be: some corner touches the outline.
    slack = np.minimum(np.minimum(back, np.stack([width, height], 1)[:, None] - back).min(2).min(1), 1e9)
    assert slack.max() < 1e-6


def test_rotate_crop_by_nothing_is_the_identity():
    images = np.array(photos())
    assert np.array_equal(frames([ops.RotateCrop(degrees=(0, 0))], images), images)
